"""What works on this machine: read from plug-ins and what is installed; heavy packages are never imported here."""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from edgekd import plugins, units
from edgekd.spec import Value

PYTHONS = ((3, 11), (3, 13))
LEAST_DISK = 2 * 1024**3
FACTS_TIMEOUT = 120.0


class Finding(Value):
    """One thing that works, is missing, or cannot be had here; `fix` is the one command that puts it right."""

    what: str
    state: Literal["works", "missing", "not possible on this platform", "broken"]
    versions: str = ""
    why: str = ""
    fix: str = ""


def here() -> str:
    """This platform as plug-ins name it, e.g. linux-x86_64 or darwin-arm64."""
    return f"{platform.system()}-{platform.machine()}".lower()


def examine(store: Path) -> tuple[Finding, ...]:
    """Look at Python, the store's disk, training, every target's two sides, and the report's pictures."""
    facts = _facts()
    found = [_python(), _disk(store), _packages("train students", ("torch", "lightning-fabric"), "train")]
    for name in plugins.names("formats"):
        found += [_converts(name), _runs(name, facts)]
    found.append(_packages("pictures in reports", ("matplotlib",), "report"))
    return tuple(found)


def _python() -> Finding:
    now, (low, high) = sys.version_info[:2], PYTHONS
    if low <= now <= high:
        return Finding(what="Python", state="works", versions=platform.python_version())
    why = f"edgekd needs Python {low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return Finding(what="Python", state="broken", versions=platform.python_version(), why=why)


def _disk(store: Path) -> Finding:
    """Room where the store is or will be."""
    folder = next(path for path in (store.absolute(), *store.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    text = f"{units.show_size(free)} free at {store}"
    if free >= LEAST_DISK:
        return Finding(what="store", state="works", versions=text)
    return Finding(what="store", state="broken", versions=text, why="little room", fix="edgekd store gc --keep 1GiB")


def _installed(packages: tuple[str, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _packages(what: str, packages: tuple[str, ...], extra: str = "") -> Finding:
    """Whether packages are installed, and the extra that has them, or else their own names."""
    found = _installed(packages)
    versions = ", ".join(f"{name} {known}" for name, known in found.items() if known)
    missing = [name for name, known in found.items() if not known]
    if not missing:
        return Finding(what=what, state="works", versions=versions)
    fix = f"pip install 'edgekd[{extra}]'" if extra else f"pip install {' '.join(missing)}"
    return Finding(what=what, state="missing", versions=versions, why=f"{', '.join(missing)} missing", fix=fix)


def _possible(declared: plugins.Declared) -> bool:
    """Are there packages of a plug-in for this platform?"""
    return not declared.platforms or here() in declared.platforms


def _converts(name: str) -> Finding:
    """Whether files of a format can be made here."""
    what, declared = f"{name}: convert", plugins.declared("formats", name)
    if not _possible(declared):
        why = f"its converter has no packages for {here()}"
        return Finding(what=what, state="not possible on this platform", why=why)
    return _packages(what, declared.packages, declared.extra)


def _runs(name: str, facts: dict[str, Any]) -> Finding:
    """Whether files of a format run here: what a fresh process without torch found, not what pip says."""
    what, runtimes, missing = f"{name}: run", facts.get("runtimes", {}), facts.get("missing", {})
    if name in runtimes:
        return Finding(what=what, state="works", versions=str(runtimes[name]))
    why = str(missing.get(name, facts.get("error", "its runtime did not answer")))
    if name not in plugins.names("runtimes"):
        return Finding(what=what, state="missing", why="nothing of edgekd runs it")
    declared = plugins.declared("runtimes", name)
    if not _possible(declared):
        return Finding(what=what, state="not possible on this platform", why=why)
    installed, fix = all(_installed(declared.packages).values()), declared.install(declared.packages)
    told = why if installed else why.partition(". Run there: ")[0]
    return Finding(what=what, state="broken" if installed else "missing", why=told, fix=fix)


def _facts() -> dict[str, Any]:
    """What the device side says of this computer, from a process of its own."""
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        request = Path(name, "request.json")
        request.write_text(json.dumps({"verb": "facts"}), encoding="utf-8")
        command = [sys.executable, "-m", "edgekd.runtimes", str(request)]
        try:
            subprocess.run(command, capture_output=True, timeout=FACTS_TIMEOUT, check=False)
            answer: dict[str, Any] = json.loads(request.with_name("result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return {"error": f"the process that looks at this computer gave no answer: {error}"}
        return answer
