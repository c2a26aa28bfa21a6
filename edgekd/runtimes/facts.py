"""What this device is: model, processor, memory and installed runtimes. Standard library only, and quick."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import pkgutil
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import sensors
from .fault import Fault
from .sensors import text

MODELS = ("proc/device-tree/model", "sys/devices/virtual/dmi/id/product_name")
SYSTEMS = {"darwin": "macOS", "linux": "Linux", "windows": "Windows"}
OWN = {"win32": "windows"}
NARROW = ("armv7l", "i686")
# cpuinfo's names of a processor, best first: x86, then ARM boards, then what ARM kernels give without a name.
PROCESSORS = ("model name", "Model", "Hardware", "CPU part")


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Facts of this device; None where it has no such sensor. `missing` says why each other runtime is not here."""
    installed, missing = runtimes()
    processor, model, cores = _processor(), _model(), os.cpu_count() or 1
    identity = (model, processor, str(cores), platform.machine(), platform.system())
    return {
        "fingerprint": hashlib.sha256("\0".join(identity).encode()).hexdigest(),
        "model": model,
        "system": _system(),
        "processor": processor,
        "architecture": platform.machine(),
        "cores": cores,
        "memory": _memory(),
        "python": platform.python_version(),
        "runtimes": installed,
        "missing": missing,
        "governor": sensors.governor(),
        "temperature": sensors.temperature(),
    }


def declared(name: str) -> dict[str, Any]:
    """Literals in capitals at the top of a module of this package, read without importing it. Raises Fault."""
    spec = importlib.util.find_spec(f"{__package__}.{name}") if name.isidentifier() else None
    source = getattr(spec.loader, "get_source", lambda _: None)(spec.name) if spec else None
    found: dict[str, Any] = {}
    for node in ast.parse(source or "").body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    if "PACKAGES" not in found:
        raise Fault(f"there is no runtime {name!r}")
    return found


def runtimes() -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the runtimes that are installed, and for each other one the reason why it cannot run here."""
    installed: dict[str, str] = {}
    missing: dict[str, str] = {}
    others: dict[str, tuple[str, str]] = {}
    for module in pkgutil.iter_modules(sys.modules[__package__].__path__):
        try:
            literals = declared(module.name)
        except Fault:
            continue
        package, why = literals["PACKAGES"][0], elsewhere(literals)
        try:
            if why:
                missing[module.name] = why
            else:
                installed[module.name] = version(package)
        except PackageNotFoundError:
            missing[module.name] = f"{package} is not installed on the device. Run there: pip install {package}"
        others[module.name] = literals.get("INSTEAD_OF", ""), package
    for name, (format, package) in others.items():
        if format and name in installed and format in missing:
            why, run, rest = missing[format].partition(". Run there: ")
            hint = f"{package} {installed[name]} is: ask for it with --runtime {package}"
            missing[format] = f"{why}, but {hint}{run}{rest}"
    return installed, {name: why for name, why in missing.items() if not others.get(name, ("", ""))[0]}


def elsewhere(literals: dict[str, Any]) -> str:
    """Why a runtime with these literals cannot run on this system at all; empty where it can."""
    own, known = OWN.get(sys.platform, sys.platform), literals.get("PLATFORMS", ())
    if known and sys.maxsize < 1 << 32 and not any(one.endswith(NARROW) for one in known):
        return "there are no packages of it for 32-bit programs, as this Python is one: use a 64-bit system"
    systems = dict.fromkeys(one.partition("-")[0] for one in known)
    if not systems or own in systems:
        return ""
    wanted, own = " or ".join(SYSTEMS.get(one, one) for one in systems), SYSTEMS.get(own, own)
    return f"its runtime works on {wanted} only, and this is {own}"


def _sysctl(name: str) -> str | None:
    """A kernel value of macOS."""
    if sys.platform != "darwin":
        return None
    try:
        answer = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _model() -> str:
    for path in MODELS:
        found = text(sensors.ROOT / path)
        if found:
            return found
    return _sysctl("hw.model") or f"{platform.machine()} computer"


def _processor() -> str:
    named: dict[str, str] = {}
    for line in (text(sensors.ROOT / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        named.setdefault(key.strip(), value.strip())
    for key in PROCESSORS:
        if named.get(key):
            return f"ARM part {named[key]}" if key == "CPU part" else named[key]
    return _sysctl("machdep.cpu.brand_string") or platform.machine()


def _system() -> str:
    """Distribution and kernel, for example "Debian GNU/Linux 12 (bookworm), Linux 6.1.0"."""
    kernel = f"{platform.system()} {platform.release()}"
    if platform.mac_ver()[0]:
        return f"macOS {platform.mac_ver()[0]}, {kernel}"
    for line in (text(sensors.ROOT / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            name = line.partition("=")[2].strip('"')
            return f"{name}, {kernel}"
    return kernel


def _memory() -> int:
    """Bytes of memory, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return int(_sysctl("hw.memsize") or 0)
