"""Sensors of this device: clocks, temperature, what throttles it, and who else works on it. None where it has none.

Linux tells by files below /proc and /sys, a Raspberry Pi also by its `vcgencmd`, macOS by `pmset` and `notifyutil`,
none of which needs root. Standard library only, and a few milliseconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Where /proc and /sys are.
ROOT = Path("/")
CPUFREQ = "sys/devices/system/cpu/cpu*/cpufreq"
# What the bits of `vcgencmd get_throttled` say of now; 16 bits above stands that it has happened since start-up.
BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
OCCURRED = 16
PATIENCE = 5.0
# Cooling down ends this many degrees above where the device was at rest.
CLOSE = 2.0
POLL = 0.5


def governor() -> str | None:
    """The frequency governor of the first core, for example "performance"."""
    return next(filter(None, map(text, _files(f"{CPUFREQ}/scaling_governor"))), None)


def frequency() -> float | None:
    """Current clock of the fastest core in hertz; a Raspberry Pi's firmware knows what the kernel only asked for."""
    told = re.search(r"=(\d+)", _said("vcgencmd", "measure_clock", "arm") or "")
    return float(told[1]) if told else _kilohertz("scaling_cur_freq")


def ceiling() -> float | None:
    """The highest clock that the system allows any core just now, in hertz: heat and power lower it."""
    return _kilohertz("scaling_max_freq")


def temperature() -> float | None:
    """The hottest thermal zone in degrees Celsius, else what a Raspberry Pi's firmware tells."""
    values = (text(zone) for zone in _files("sys/class/thermal/thermal_zone*/temp"))
    degrees = [int(value) / 1000 for value in values if value and value.lstrip("-").isdigit()]
    if degrees:
        return max(degrees)
    told = re.search(r"=([\d.]+)", _said("vcgencmd", "measure_temp") or "")
    return float(told[1]) if told else None


def throttled() -> tuple[list[str] | None, list[str] | None]:
    """What holds the processor back now, and what did since start-up; None where nothing tells."""
    bits = re.search(r"=(0x[\da-fA-F]+)", _said("vcgencmd", "get_throttled") or "")
    if bits:
        value = int(bits[1], 16)
        both = [[name for bit, name in BITS.items() if value >> bit + shift & 1] for shift in (0, OCCURRED)]
        return both[0], both[1]
    alarms = [text(file / "in0_lcrit_alarm") for file in _files("sys/class/hwmon/hwmon*") if _is(file, "rpi_volt")]
    if alarms and alarms[0] is not None:
        return [BITS[0]] if alarms[0] == "1" else [], None
    return _throttled_mac(), None


def _throttled_mac() -> list[str] | None:
    """macOS: the level of thermal pressure (0: none) and the limit on the processor's speed in percent."""
    level = re.search(r"(\d+)\s*$", _said("notifyutil", "-g", "com.apple.system.thermalpressurelevel") or "")
    limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", _said("pmset", "-g", "therm") or "")
    if level is None and limit is None:
        return None
    return ["throttled"] if (level and level[1] != "0") or (limit and int(limit[1]) < 100) else []


def throttlings() -> int | None:
    """How often cores (or the package) were slowed down by heat so far, where the kernel counts (x86)."""
    counts = [text(file) for file in _files("sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")]
    known = [int(count) for count in counts if count and count.isdigit()]
    return sum(known) if known else None


def battery() -> bool | None:
    """Whether the device runs from its battery."""
    drawing = _said("pmset", "-g", "batt")
    if drawing:
        return "AC Power" not in drawing
    mains = [text(file / "online") for file in _files("sys/class/power_supply/*") if text(file / "type") == "Mains"]
    return "1" not in mains if mains else None


def affinity() -> list[int] | None:
    """The cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def reading() -> dict[str, Any]:
    """All sensors at this moment."""
    now, before = throttled()
    some = _pressure()
    return {
        "governor": governor(),
        "frequency": frequency(),
        "ceiling": ceiling(),
        "temperature": temperature(),
        "throttled": now,
        "occurred": before,
        "throttlings": throttlings(),
        "battery": battery(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "pressure": float(some["avg10"]) / 100 if some else None,
    }


def counters() -> dict[str, float | None]:
    """Seconds since start-up: `steal`, given by a hypervisor to others; `waited`, in which some process waited for a
    core; `busy`, of all cores with anybody's work; `own`, of these with this process's own.
    """
    steal = busy = None
    cpu = (text(ROOT / "proc/stat") or "").split("\n", 1)[0].split()
    if len(cpu) > 8:
        ticks = [int(value) / os.sysconf("SC_CLK_TCK") for value in cpu[1:9]]
        steal, busy = ticks[7], ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]
    some = _pressure()
    waited = float(some["total"]) / 1e6 if some else None
    return {"steal": steal, "waited": waited, "busy": busy, "own": time.process_time()}


def cool_down(rest: dict[str, Any] | None, longest: float) -> tuple[float, bool]:
    """Wait until the device is as cool, and its clocks as free, as it was at `rest`: (seconds waited, whether it is).

    `rest` is an earlier `reading`; where there was none, or no sensor, there is nothing to wait for.
    """
    started = time.monotonic()
    while rest and not _rested(rest):
        if time.monotonic() - started >= longest:
            return time.monotonic() - started, False
        time.sleep(min(POLL, longest))
    return time.monotonic() - started, True


def _rested(rest: dict[str, Any]) -> bool:
    warm, free = temperature(), ceiling()
    cool = warm is None or rest["temperature"] is None or warm <= rest["temperature"] + CLOSE
    unbound = free is None or rest["ceiling"] is None or free >= rest["ceiling"]
    return cool and unbound and not throttled()[0]


def _pressure() -> dict[str, str] | None:
    """The first line of the kernel's pressure stall information of the processor, by name."""
    some = (text(ROOT / "proc/pressure/cpu") or "").split("\n", 1)[0]
    found = dict(part.split("=", 1) for part in some.split()[1:] if "=" in part)
    return found if {"avg10", "total"} <= set(found) else None


def _kilohertz(name: str) -> float | None:
    """The highest value of all cores, in hertz."""
    values = (text(file) for file in _files(f"{CPUFREQ}/{name}"))
    known = [float(value) * 1000 for value in values if value and value.isdigit()]
    return max(known) if known else None


def _is(folder: Path, name: str) -> bool:
    return text(folder / "name") == name


def _files(pattern: str) -> Sequence[Path]:
    return sorted(ROOT.glob(pattern))


def _said(program: str, *arguments: str) -> str | None:
    """What a program of the system prints; None where it is not there or fails."""
    path = shutil.which(program)
    if path is None or (program != "vcgencmd" and sys.platform != "darwin"):
        return None
    try:
        answer = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


def text(path: Path) -> str | None:
    """A small file's text without trailing blanks and zeros, None where it cannot be read."""
    try:
        return path.read_bytes().decode(errors="replace").rstrip("\0 \n")
    except OSError:
        return None
