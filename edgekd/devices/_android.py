"""What a phone says of itself and of how it fares, in the words that the other devices have."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from edgekd import units

# One command each, with a line before every part. What the phone does not let adb's user see stays empty.
FACTS = (
    "echo =properties; getprop; echo =cores; cat /sys/devices/system/cpu/possible; "
    "echo =memory; grep MemTotal /proc/meminfo; echo =kernel; uname -r"
)
CPUFREQ = "/sys/devices/system/cpu/cpu*/cpufreq"
READING = (
    f"echo =governor; cat {CPUFREQ}/scaling_governor; echo =current; cat {CPUFREQ}/scaling_cur_freq; "
    f"echo =ceiling; cat {CPUFREQ}/scaling_max_freq; echo =load; cat /proc/loadavg; "
    "echo =pressure; cat /proc/pressure/cpu; echo =battery; dumpsys battery; echo =thermal; dumpsys thermalservice"
)
# What `dumpsys thermalservice` calls its sensors, the one that throttling goes by first: skin, battery, processor.
SENSORS = ("3", "2", "0")
STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def parts(text: str) -> dict[str, str]:
    """What a command of ours printed, by the names of its parts."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.replace("\r", "").splitlines():
        if re.fullmatch(r"=\w+", line):
            name = line[1:]
            found[name] = []
        elif name:
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def properties(text: str) -> dict[str, str]:
    """What `getprop` printed."""
    return dict(re.findall(r"^\[([^\]]+)\]: \[(.*)\]$", text, re.MULTILINE))


def facts(text: str, serial: str, how: str) -> dict[str, Any]:
    """Facts of a phone as runtimes/facts.py gives those of a computer; `how` is what else decides its latency."""
    told = parts(text)
    known = properties(told.get("properties", ""))

    def value(*names: str) -> str:
        return next((units.plain(known[name]) for name in names if known.get(name)), "")

    maker, model = value("ro.product.manufacturer"), value("ro.product.model")
    named = model if maker.lower() in model.lower() else f"{maker} {model}"
    memory = re.search(r"(\d+) kB", told.get("memory", ""))
    cores = re.search(r"(\d+)$", told.get("cores", "").strip())
    build, kernel = value("ro.build.fingerprint", "ro.build.id"), units.plain(told.get("kernel", "").strip())
    fingerprint = hashlib.sha256(repr((serial, build, kernel, how)).encode()).hexdigest()
    return {
        "fingerprint": fingerprint,
        "model": named.strip() or "an Android phone",
        "system": f"Android {value('ro.build.version.release')} (API {value('ro.build.version.sdk')}), Linux {kernel}",
        "processor": " ".join(filter(None, (value("ro.soc.manufacturer"), value("ro.soc.model", "ro.board.platform")))),
        "cores": int(cores[1]) + 1 if cores else 1,
        "memory": int(memory[1]) * 1024 if memory else 0,
        "python": "",
        "emulated": _emulated(known),
    }


def abis(text: str) -> tuple[str, ...]:
    """The kinds of programs that a phone runs, best first, for example arm64-v8a."""
    known = properties(parts(text).get("properties", ""))
    return tuple(filter(None, (known.get("ro.product.cpu.abilist") or known.get("ro.product.cpu.abi", "")).split(",")))


def _emulated(known: dict[str, str]) -> str:
    if known.get("ro.kernel.qemu") == "1" or known.get("ro.boot.qemu") == "1":
        return "it is an Android emulator"
    if known.get("ro.hardware") in ("ranchu", "goldfish", "cutf_cvm"):
        return f"its hardware is {known['ro.hardware']}, an emulator's"
    return ""


def reading(text: str) -> dict[str, Any]:
    """All sensors at one moment, None where there is none; runtimes/sensors.py has the same."""
    told = parts(text)
    status = re.search(r"^\s*Thermal Status: (\d+)", told.get("thermal", ""), re.MULTILINE)
    governors = [word for word in told.get("governor", "").split("\n") if re.fullmatch(r"\w+", word)]
    load = re.match(r"[\d.]+", told.get("load", ""))
    some = re.search(r"^some avg10=([\d.]+)", told.get("pressure", ""), re.MULTILINE)
    return {
        "governor": governors[0] if governors else None,
        # with any other governor a core that just sleeps is at its lowest clock, which says nothing about a run
        "frequency": _hertz(told.get("current", "")) if set(governors) == {"performance"} else None,
        "ceiling": _hertz(told.get("ceiling", "")),
        "temperature": temperature(told),
        "throttled": None if status is None else ["throttled"] * (status[1] != "0"),
        "occurred": None,
        "throttlings": None,
        "battery": _on_battery(told.get("battery", "")),
        "load": float(load[0]) if load else None,
        "pressure": float(some[1]) / 100 if some else None,
        "thermal": STATUS[min(int(status[1]), len(STATUS) - 1)] if status else None,
        "charge": _level(told.get("battery", "")),
    }


def temperature(told: dict[str, str]) -> float | None:
    """Degrees Celsius of the skin, by which phones throttle; else of battery, then processor."""
    found = dict(_temperatures(told.get("thermal", "")))
    for kind in SENSORS:
        if kind in found:
            return found[kind]
    tenths = re.search(r"^\s*temperature: (\d+)$", told.get("battery", ""), re.MULTILINE)
    return int(tenths[1]) / 10 if tenths else None


def _temperatures(text: str) -> Iterator[tuple[str, float]]:
    """(kind, the hottest of them) of the sensors now; the cached ones count where no current ones are told."""
    _, mark, current = text.partition("Current temperatures from HAL:")
    section = current.partition("Current cooling devices")[0] if mark else text
    found: dict[str, float] = {}
    for value, kind in re.findall(r"Temperature\{mValue=([-\d.]+), mType=(-?\d+),", section):
        if float(value) > 0:
            found[kind] = max(float(value), found.get(kind, 0.0))
    yield from found.items()


def _hertz(text: str) -> float | None:
    known = [float(word) * 1000 for word in text.split() if word.isdigit()]
    return max(known) if known else None


def _on_battery(text: str) -> bool | None:
    powered = re.findall(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true|false)$", text, re.MULTILINE)
    return "true" not in powered if powered else None


def _level(text: str) -> int | None:
    level = re.search(r"^\s*level: (\d+)$", text, re.MULTILINE)
    return int(level[1]) if level else None
