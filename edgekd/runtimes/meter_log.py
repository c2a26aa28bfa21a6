"""A file that a logger writes meanwhile, one reading a line: seconds since 1970, watts; of any meter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .fault import Fault
from .sampling import Reading, integral, within


def find(settings: dict[str, Any]) -> Meter:
    """The log that the settings name as `file`. Raises Fault."""
    name = settings.get("file")
    if not name:
        raise Fault("no log of a power meter was named")
    path = Path(name)
    if not path.is_file():
        raise Fault(f"the power log {path} is not there")
    return Meter(path)


class Meter:
    """Reads the log once it is needed, since it grows while the model runs."""

    def __init__(self, path: Path) -> None:
        self.source = path.name
        self._path = path

    def start(self) -> None:
        """The logger records by itself."""

    def stop(self) -> None:
        """The logger goes on by itself."""

    def joules(self, start: float, end: float) -> tuple[float, float]:
        """Joules of a span, and the log's readings a second in it."""
        readings = within(self._readings(), start, end)
        return integral(readings, start, end), len(readings) / (end - start)

    def _readings(self) -> list[Reading]:
        """Every whole line of two numbers; a heading, and a line that is being written, are passed over."""
        found = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
            left, _, right = line.partition(",")
            try:
                found.append((float(left), float(right)))
            except ValueError:
                continue
        return found
