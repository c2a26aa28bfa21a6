"""Energy counters of the processor packages (RAPL), which Linux shows below /sys/class/powercap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import sensors
from .fault import Fault
from .sampling import Reading, Sampler, within
from .sensors import text

ZONES = "sys/class/powercap/intel-rapl:*"


def find(settings: dict[str, Any]) -> Meter:
    """The counters of all packages. Raises Fault where there is none, or it must not be read."""
    zones = [zone for zone in sorted(sensors.ROOT.glob(ZONES)) if zone.name.count(":") == 1]
    if not zones:
        raise Fault("this device has no energy counters (powercap)")
    if any(not (text(zone / "energy_uj") or "").isdigit() for zone in zones):
        raise Fault("the energy counters (powercap) must not be read: allow it with chmod a+r on their energy_uj")
    return Meter(zones)


class Meter:
    """Counters of microjoules, each of which begins again at zero when it is full."""

    def __init__(self, zones: list[Path]) -> None:
        self.source = "powercap"
        self._files = [zone / "energy_uj" for zone in zones]
        self._full = [int(text(zone / "max_energy_range_uj") or 0) for zone in zones]
        self._last = [self._count(i) for i in range(len(zones))]
        self._sum = 0
        self._sampler = Sampler(self._read)
        self.start, self.stop = self._sampler.start, self._sampler.stop

    def joules(self, start: float, end: float) -> tuple[float, float]:
        """Joules of a span, between its first and last change scaled to its length, and changes a second."""
        changes = _changes(within(self._sampler.readings, start, end))
        if len(changes) < 2:
            raise Fault("the energy counters (powercap) do not change")
        (first, low), (last, high) = changes[0], changes[-1]
        return (high - low) / (last - first) * (end - start), (len(changes) - 1) / (last - first)

    def _count(self, i: int) -> int:
        return int(text(self._files[i]) or 0)

    def _read(self) -> float:
        """Joules since the beginning, of all packages."""
        for i in range(len(self._files)):
            now = self._count(i)
            passed = now - self._last[i]
            self._sum += passed if passed >= 0 else passed + self._full[i]
            self._last[i] = now
        return self._sum * 1e-6


def _changes(readings: list[Reading]) -> list[Reading]:
    """The readings at which the counter had a new value."""
    return [one for i, one in enumerate(readings) if i == 0 or one[1] != readings[i - 1][1]]
