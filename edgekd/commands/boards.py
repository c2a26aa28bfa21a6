"""What a board has, what it lacks, and how the host brings it there: wheels for the board's own platform."""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekd import files, jobs, plugins, units
from edgekd.commands.doctor import Finding
from edgekd.devices import ssh
from edgekd.errors import DeviceError, EdgekdError, Problem, UsageError
from edgekd.results import DeviceFacts
from edgekd.spec import Device

# The device side needs this Python; jobs of a usual model need this much room.
PYTHON, ROOM = (3, 9), 256 * 1024**2
# Packages may take long to fetch, and a small board long to unpack.
FETCH, UNPACK = 1800.0, 900.0
NARROW = (
    "its Python is a 32-bit program: of all runtimes only tflite-runtime 2.14 exists for that. "
    "Use the 64-bit Raspberry Pi OS"
)
UNPACKER = """
import json, os, shutil, sys, zipfile
site, new = sys.argv[1], sys.argv[1] + ".new"
shutil.rmtree(new, ignore_errors=True)
with zipfile.ZipFile("packages.zip") as archive:
    archive.extractall(new)
os.makedirs(site, exist_ok=True)
for name in sorted(os.listdir(new), key=lambda name: name.endswith(".dist-info")):
    old = os.path.join(site, name)
    if os.path.isdir(old):
        shutil.rmtree(old)
    os.replace(os.path.join(new, name), old)
os.rmdir(new)
"""


def examine(device: Device) -> tuple[Finding, ...]:
    """Look at a board: Python, room, numpy and every runtime. Raises Unreachable."""
    try:
        hello = ssh.session(_settings(device), device).hello
        facts = jobs.Reached(device).facts()
    finally:
        ssh.leave(device)
    found = [_system(device, hello, facts), _python(hello), _room(hello)]
    if hello["bits"] == 32:
        found.append(Finding(what="64-bit programs", state="not possible on this platform", why=NARROW))
    found.append(_numpy(hello))
    return (*found, *(_runs(name, hello, facts) for name in plugins.names("runtimes")))


def provision(device: Device, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Fetch here what the board lacks, in wheels for its platform, and unpack it into edgekd's own folder there.

    Nothing of its system is changed and it needs no network. Returns the runtimes that it has then. Raises UsageError
    where there is nothing for it, DeviceError.
    """
    settings = _settings(device)
    try:
        hello, facts = ssh.session(settings, device).hello, jobs.Reached(device).facts()
        wanted = {name: r for name in plugins.names("runtimes") if name in facts.missing and (r := _wheels(name))}
        if not wanted and hello["numpy"]:
            return tuple(facts.runtimes)
        with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
            folder = Path(name)
            there = _fetch(folder / "site", wanted, hello, tell)
            _pack(folder / "site", folder / "job" / "packages.zip")
            size = units.show_size(files.size(folder / "job" / "packages.zip"))
            tell(f"{device.name}: sends and unpacks {size} of packages ({', '.join(('numpy', *there))})")
            files.write(folder / "job" / "unpack.py", UNPACKER)
            connection = ssh.session(settings, device)
            done = connection.run(folder / "job", ("unpack.py", str(hello["site"])), {}, UNPACK, False)
            if done["status"]:
                raise DeviceError(f"{device.name} could not unpack them: {done['output'].strip()[-500:]}")
        return tuple(jobs.Reached(device).facts().runtimes)
    finally:
        ssh.leave(device)


def tags(hello: dict[str, Any]) -> tuple[str, ...]:
    """The platforms whose wheels run on a board, best first: those of its C library and of all older ones.

    Raises UsageError where edgekd knows no wheels for it.
    """
    machine, (library, release) = hello["machine"], hello["libc"]
    if hello["bits"] == 32 and machine in ("aarch64", "armv8l"):
        machine = "armv7l"
    if hello["system"] == "Linux" and library == "glibc":
        newest = int(release.split(".")[1])
        return (*(f"manylinux_2_{n}_{machine}" for n in range(newest, 16, -1)), f"manylinux2014_{machine}")
    if hello["system"] == "Darwin" and hello["macos"]:
        newest = int(hello["macos"].split(".")[0])
        return tuple(f"macosx_{n}_0_{kind}" for n in range(newest, 10, -1) for kind in (machine, "universal2"))
    message = f"there are no wheels for {hello['system']} {machine} with {library or 'another C library than glibc'}"
    raise UsageError(Problem("--provision", message, "Install python3, numpy and the runtime there by hand"))


def _settings(device: Device) -> ssh.Settings:
    if device.reach.name != "ssh":
        raise UsageError(Problem("--at", f"{device.name} is not reached by ssh", "Name a board"))
    return ssh.Settings.model_validate(device.reach.settings)


def _system(device: Device, hello: dict[str, Any], facts: DeviceFacts) -> Finding:
    library = " ".join(hello["libc"])
    told = f"{facts.model}, {facts.system}, {hello['machine']}, {hello['bits']}-bit programs, {library}".rstrip(", ")
    if facts.emulated:
        why = f"it is emulated ({facts.emulated}): files run there, but nothing is timed or weighed"
        return Finding(what=device.name, state="works", versions=f"{told}; {why}")
    return Finding(what=device.name, state="works", versions=told)


def _python(hello: dict[str, Any]) -> Finding:
    version = hello["python"]
    if tuple(map(int, version.split(".")[:2])) >= PYTHON:
        return Finding(what="Python", state="works", versions=version)
    why, fix = f"Python {version} is older than {PYTHON[0]}.{PYTHON[1]}", "sudo apt install python3"
    return Finding(what="Python", state="broken", versions=version, why=why, fix=fix)


def _room(hello: dict[str, Any]) -> Finding:
    text = f"{units.show_size(hello['free'])} free for temporary files"
    enough = hello["free"] >= ROOM
    return Finding(
        what="room", state="works" if enough else "broken", versions=text, why="" if enough else "little room"
    )


def _numpy(hello: dict[str, Any]) -> Finding:
    if hello["numpy"]:
        return Finding(what="numpy", state="works", versions=hello["numpy"])
    return Finding(what="numpy", state="missing", why="numpy is missing", fix=_install(hello, ("numpy",)))


def _runs(name: str, hello: dict[str, Any], facts: DeviceFacts) -> Finding:
    """Whether files of a format run there."""
    what = f"{name}: run"
    if name in facts.runtimes:
        return Finding(what=what, state="works", versions=facts.runtimes[name])
    why = facts.missing.get(name, "its runtime did not answer").partition(". Run there: ")[0]
    wheels = _wheels(name)
    if not wheels and why.endswith("is not installed on the device"):
        why = f"{plugins.declared('runtimes', name).packages[0]} is more than a board's Python should carry"
    if not wheels or not _possible(name, hello):
        return Finding(what=what, state="not possible on this platform", why=NARROW if hello["bits"] == 32 else why)
    return Finding(what=what, state="missing", why=why, fix=_install(hello, ("numpy", *wheels)))


def _possible(name: str, hello: dict[str, Any]) -> bool:
    """Whether there are packages of a runtime for the board."""
    platforms = plugins.declared("runtimes", name).platforms
    return hello["bits"] == 64 and (not platforms or f"{hello['system']}-{hello['machine']}".lower() in platforms)


def _wheels(name: str) -> tuple[str, ...]:
    """What pip installs for a runtime; nothing for one that needs torch or is part of its system."""
    declared = plugins.declared("runtimes", name)
    return tuple(one.partition(";")[0].strip() for one in declared.requires if declared.extra.endswith("-run"))


def _install(hello: dict[str, Any], packages: Sequence[str]) -> str:
    """The command to type on the board: into edgekd's folder, since the system's Python is not to be changed."""
    quoted = " ".join(f"'{package}'" if re.search(r"[<>=]", package) else package for package in packages)
    return f"{hello['executable']} -m pip install --target {hello['site']} {quoted}"


def _fetch(
    site: Path, wanted: dict[str, tuple[str, ...]], hello: dict[str, Any], tell: Callable[[str], None]
) -> list[str]:
    """Put packages of all runtimes that exist for the board into a folder; returns these. Raises UsageError."""
    if hello["bits"] == 32:
        raise UsageError(Problem("--provision", f"nothing can be brought there: {NARROW}"))
    names = [name for name in wanted if _possible(name, hello)]
    tell(f"fetches numpy and packages for {', '.join(names) or 'nothing else'}")
    why = _pip(site, [package for name in names for package in wanted[name]], hello)
    if why:  # where one has no wheel, the others may
        failed = {name: _pip(site, wanted[name], hello) for name in names}
        names = [name for name in names if not failed[name]]
    if names or not (why or wanted):
        return names
    why = why or f"there are no wheels of {', '.join(wanted)} for it"
    raise UsageError(Problem("--provision", f"nothing can be brought there: {why}"))


def _pip(site: Path, packages: Sequence[str], hello: dict[str, Any]) -> str:
    """Have this computer's pip unpack wheels for the board into a folder; returns why it could not."""
    version = ".".join(hello["python"].split(".")[:2])
    platforms = [word for tag in tags(hello) for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    command += [
        "--target",
        str(site),
        "--python-version",
        version,
        "--implementation",
        "cp",
        "--only-binary=:all:",
        "--upgrade",
    ]
    try:
        done = subprocess.run(
            [*command, *platforms, "numpy", *packages], capture_output=True, text=True, timeout=FETCH, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgekdError(f"pip could not fetch packages: {error}") from error
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return (errors or done.stderr.strip().splitlines() or ["pip failed"])[-1]


def _pack(folder: Path, target: Path) -> None:
    """One zip file of a folder: sending thousands of files one by one would take long."""
    target.parent.mkdir(parents=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
