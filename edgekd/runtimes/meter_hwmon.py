"""A power monitor on the board (INA219, INA226 and their like) that Linux shows below /sys/class/hwmon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import sensors
from .fault import Fault
from .sampling import Sampler, integral, within
from .sensors import text

CHIPS = ("ina209", "ina219", "ina220", "ina226", "ina230", "ina231", "ina237", "ina238", "ina3221")


def find(settings: dict[str, Any]) -> Meter:
    """The first power monitor that tells watts. Raises Fault where there is none."""
    for folder in sorted(sensors.ROOT.glob("sys/class/hwmon/hwmon*")):
        if text(folder / "name") in CHIPS and (text(folder / "power1_input") or "").isdigit():
            return Meter(folder)
    raise Fault("this device has no power monitor (INA219, INA226) that the kernel shows (hwmon)")


class Meter:
    """`power1_input` is in microwatts and new every `update_interval` milliseconds."""

    def __init__(self, folder: Path) -> None:
        self.source = f"{text(folder / 'name')} (hwmon)"
        interval = text(folder / "update_interval")
        self._most = 1000 / int(interval) if interval and interval.isdigit() and int(interval) else float("inf")
        self._file = folder / "power1_input"
        self._sampler = Sampler(lambda: int(text(self._file) or 0) * 1e-6)
        self.start, self.stop = self._sampler.start, self._sampler.stop

    def joules(self, start: float, end: float) -> tuple[float, float]:
        """Joules of a span, and readings a second: no more than the chip makes."""
        readings = within(self._sampler.readings, start, end)
        return integral(readings, start, end), min(self._most, len(readings) / (end - start))
