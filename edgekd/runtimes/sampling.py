"""Readings of a file taken as fast as it allows, in a thread, and what they add up to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from .fault import Fault

# Seconds between two readings: a little faster than what meters give at best.
PAUSE = 0.0005
Reading = tuple[float, float]


class Sampler:
    """Takes (time.time(), value) again and again between `start` and `stop`."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.readings: list[Reading] = []

    def start(self) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _record(self) -> None:
        while not self._over.is_set():
            self.readings.append((time.time(), self._read()))
            time.sleep(PAUSE)


def within(readings: Sequence[Reading], start: float, end: float) -> list[Reading]:
    """The readings of a span. Raises Fault where there are not two."""
    found = [one for one in readings if start <= one[0] <= end]
    if len(found) < 2:
        raise Fault(f"the meter gave {len(found)} readings in {end - start:.1f} s")
    return found


def integral(readings: Sequence[Reading], start: float, end: float) -> float:
    """Joules of a span from readings of watts: trapezoids, the first and the last reading held to the span's ends."""
    inside = [(start, readings[0][1]), *readings, (end, readings[-1][1])]
    steps = ((inside[i], inside[i + 1]) for i in range(len(inside) - 1))
    return sum((after[0] - before[0]) * (before[1] + after[1]) / 2 for before, after in steps)
