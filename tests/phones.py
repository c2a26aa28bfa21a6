"""Pretend phones for tests: adbd.py behind the real adb server, on a port and with keys of the test's own."""

import json
import os
import shlex
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import board
from tests.adbd import says, script
from tests.phone_tools import CLIENT, TOOLS

TESTS = Path(__file__).parent
MACHINES = {"x86_64": 62, "aarch64": 183}
# A program that does nothing but start another one with its own arguments: execve(path, argv, envp), else exit(127).
CODE = {
    "x86_64": bytes.fromhex("488d3d2a000000 488d742408 488b0424 488d54c410 b83b000000 0f05 bf7f000000 b83c000000 0f05"),
    "aarch64": bytes.fromhex(
        "e90340f9 e1230091 220c098b 42200091 c0000010 a81b80d2 010000d4 e00f80d2 a80b80d2 010000d4"
    ),
}
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  level: 83
  temperature: 268"""
THERMAL = """IsStatusOverride: false
ThermalEventListeners:
Thermal Status: {status}
Cached temperatures:
	Temperature{{mValue=71.2, mType=0, mName=BIG, mStatus=0}}
HAL Ready: true
Current temperatures from HAL:
	Temperature{{mValue=41.5, mType=0, mName=BIG, mStatus=0}}
	Temperature{{mValue=29.3, mType=3, mName=VIRTUAL-SKIN, mStatus=0}}
	Temperature{{mValue=26.8, mType=2, mName=battery, mStatus=0}}
Current cooling devices from HAL:
	CoolingDevice{{mValue=0, mType=2, mName=thermal-cpufreq-0}}"""


def launcher(path: str, machine: str = "") -> bytes:
    """A real program (ELF) for Linux that starts the one at `path` with its own arguments."""
    machine = machine or os.uname().machine
    code = CODE[machine]
    body = code + path.encode() + b"\0"
    if machine == "x86_64":
        body = body[:3] + struct.pack("<i", len(code) - 7) + body[7:]
    else:
        # adr x0, path: the fifth of ten instructions
        body = body[:16] + struct.pack("<I", 0x10000000 | (len(code) - 16) // 4 << 5) + body[20:]
    size, base = 120 + len(body), 0x400000
    head = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    head += struct.pack("<HHIQQQIHHHHHH", 2, MACHINES[machine], 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return head + body


class Pretend:
    """A pretend phone that is there."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.serial = f"127.0.0.1:{port}"

    def rule(self, **rules: object) -> None:
        """How it behaves from now on."""
        (self.folder / "rules.json").write_text(json.dumps(rules))

    def is_throttled(self, status: int) -> None:
        """What it says of heat from now on."""
        says(self.folder / "system/dumpsys", {"battery": BATTERY, "thermalservice": THERMAL.format(status=status)})

    def left(self) -> list[str]:
        """What lies in its temporary folder."""
        return sorted(path.name for path in (self.folder / "tmp").iterdir())


@contextmanager
def adb(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[int]:
    """The real adb server, on a port of its own and with keys of its own, ended afterwards; its port."""
    adbutils = pytest.importorskip("adbutils")
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port = probing.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("ADB_MDNS_AUTO_CONNECT", "0")
    monkeypatch.setenv("EDGEKD_LOCKS", str(folder / "locks"))
    try:
        yield port
    finally:
        subprocess.run(
            [adbutils.adb_path(), "-P", str(port), "kill-server"], capture_output=True, timeout=20, check=False
        )


@contextmanager
def phone(folder: Path, properties: Mapping[str, str] | None = None, root: Path | None = None) -> Iterator[Pretend]:
    """A pretend phone while the block lasts; with a `root` file system of arm64, what it runs is emulated."""
    (folder / "tmp").mkdir(parents=True)
    told = {
        "ro.product.manufacturer": "Pretend",
        "ro.product.model": "Stand-in 1",
        "ro.product.cpu.abilist": {"x86_64": "x86_64,x86", "aarch64": "arm64-v8a"}[os.uname().machine],
        "ro.build.version.release": "16",
        "ro.build.version.sdk": "36",
        "ro.build.fingerprint": "pretend/1",
        "ro.soc.manufacturer": "Nobody",
        "ro.soc.model": "P1",
        **(properties or {}),
    }
    script(folder / "system/getprop", "cat <<'END'", *(f"[{name}]: [{value}]" for name, value in told.items()), "END")
    there = "/board" if root else folder
    script(folder / "system/cmd", f'echo "$@" >>{there}/commands')
    script(folder / "system/taskset", f'echo "$1" >>{there}/masks', "shift", 'exec "$@"')
    command = [sys.executable, str(TESTS / "adbd.py"), str(folder), *(("--root", str(root)) if root else ())]
    command = board.mounted(root, folder, shlex.join(command)) if root else command
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            pretend = Pretend(folder, int(process.stdout.readline()))
            pretend.is_throttled(0)
            yield pretend
        finally:
            process.kill()  # unshare takes what it has started along
            process.wait(10)


@contextmanager
def quick_tools(folder: Path) -> Iterator[dict[str, Path]]:
    """Both tools by name, in one process that forks for each call: they start as quickly as programs do."""
    folder.mkdir(parents=True)
    (folder / "client.py").write_text(CLIENT)
    with subprocess.Popen([sys.executable, str(TESTS / "phone_tools.py"), "serve", str(folder / "s")]) as process:
        try:
            while not (folder / "s").exists() and process.poll() is None:
                time.sleep(0.05)
            run_by = f'exec {sys.executable} -I -S {folder}/client.py {folder}/s {{}} "$@"'
            yield {name: tool(folder, name, run_by=run_by.format(name)) for name in TOOLS}
        finally:
            process.kill()


def tool(folder: Path, name: str, machine: str = "", run_by: str = "", seen: str = "") -> Path:
    """A stand-in for one of the tools, as a program for a processor; `seen` is where the phone sees its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    inner = folder / f"{name}.sh"
    script(inner, run_by or f'exec {sys.executable} {TESTS / "phone_tools.py"} {name} "$@"')
    path = folder / name
    path.write_bytes(launcher(f"{seen or folder}/{inner.name}", machine))
    path.chmod(0o755)
    return path
