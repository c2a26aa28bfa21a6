"""Quantities as people write them ("20ms", "1.5M", "256KiB", "1pp") to numbers, and back for printing."""

import difflib
import math
import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-zA-Zµ%]*)\s*\Z")
_TIME = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_COUNT = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SHARE = {"%": 0.01, "pp": 0.01}


def _read(text: str | int | float, units: dict[str, float], noun: str, example: str, plain: bool = False) -> float:
    """Parse `text` as a positive, finite amount of `noun`; a bare number is taken only where `plain`."""
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not {noun}; write for example {example}")
    if isinstance(text, int | float):
        text = repr(text)
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is not {noun}; write for example {example}")
    unit = match[2]
    if unit not in units and not (plain and not unit):
        known = ", ".join(name for name in units if name)
        got = f"has the unknown unit {unit!r}" if unit else "has no unit"
        near = difflib.get_close_matches(unit.lower(), folded := {name.lower(): name for name in units}, 1, 0.4)
        better = f". Did you mean {match[1]}{folded[near[0]]}?" if unit and near else f", for example {example}"
        raise ValueError(f"{text!r} {got}; units of {noun}: {known}{better}")
    value = float(match[1]) * units.get(unit, 1.0)
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{text!r} must be above zero, for example {example}")
    return value


def _whole(text: str | int | float, value: float) -> int:
    """Round down to a whole number, but for what a float product loses (2.3k is 2300)."""
    whole = math.floor(round(value, 6))
    if whole < 1:
        raise ValueError(f"{text!r} must be at least 1")
    return whole


def seconds(text: str | int | float) -> float:
    """ "20ms", "1.5 s", "10m" -> seconds. A float that is already in seconds passes."""
    return _read(text, _TIME, "a time", "20ms", plain=isinstance(text, float))


def count(text: str | int | float) -> int:
    """ "100k", "1.5M", 5000 -> a whole number."""
    return _whole(text, _read(text, _COUNT, "a count", "100k", plain=True))


def size(text: str | int | float) -> int:
    """ "256KiB", "1.5MB" -> bytes. An int is already in bytes."""
    return _whole(text, _read(text, dict(_BYTES), "a size", "256KiB", plain=isinstance(text, int)))


def share(text: str | int | float) -> float:
    """ "1pp", "90%" -> a share of one. A float between 0 and 1 passes."""
    value = _read(text, _SHARE, "a share", "1pp", plain=isinstance(text, float))
    if value > 1:
        raise ValueError(f"{text!r} is more than 100%")
    return value


def _show(value: float, scales: Sequence[tuple[str, float]]) -> str:
    """Three significant digits in the largest unit that keeps the number at one or more, never an exponent."""
    for (unit, scale), (_, above) in zip(scales, (("", math.inf), *scales), strict=False):
        shown = float(f"{value / scale:.3g}")
        if shown >= 1 and value < above:
            return f"{shown:.0f} {unit}" if shown >= 100 else f"{shown:.3g} {unit}"
    unit, scale = scales[-1]
    return f"{value / scale:.3g} {unit}"


def show_seconds(value: float) -> str:
    """0.00123 -> "1.23 ms"; 95.0 -> "1 min 35 s"."""
    if value >= 3600:
        return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"
    if value >= 60:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return _show(value, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)))


def show_count(value: float) -> str:
    """12345 -> "12.3 k"; 999 -> "999"."""
    return _show(value, (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))).rstrip()


def show_size(value: float) -> str:
    """2048 -> "2 KiB"; 1500000 -> "1.43 MiB"."""
    return _show(value, (("GiB", 1024.0**3), ("MiB", 1024.0**2), ("KiB", 1024.0), ("B", 1.0)))


def show_share(value: float) -> str:
    """0.9123 -> "91.2 %"."""
    return f"{100 * value:.1f} %"


def show_points(value: float) -> str:
    """-0.0123 -> "-1.2 pp"."""
    return f"{100 * value:+.1f} pp"


def plain(text: object, most: int = 60) -> str:
    """What somebody else wrote, as a short line: a terminal must not be told what to do by a phone."""
    return "".join(sign for sign in str(text) if sign.isprintable())[:most]
