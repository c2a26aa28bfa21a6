"""Progress of a build on standard error: bars with time left in a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edgekd import jobs, units
from edgekd.spec import Device
from edgekd.store import Event

SECONDS_BETWEEN_LINES = 3.0


def sentence(event: Event) -> str:
    """An event in one line: "train 40 % (8 s left): epoch 9 of 24"."""
    if event.kind == "note":
        return event.what
    words = {"start": "started", "cached": "known already", "done": "done", "progress": ""}[event.kind]
    share = f"{100 * event.done:.0f} %" if event.kind == "progress" and event.done is not None else ""
    left = f"({units.show_seconds(event.seconds_left)} left)" if event.seconds_left is not None else ""
    took = f"in {units.show_seconds(event.seconds)}" if event.kind == "done" and event.seconds is not None else ""
    text = " ".join(part for part in (event.stage, words, share, took, left) if part)
    return f"{text}: {event.what}" if event.what else text


class Lines:
    """Plain lines, at most one in a few seconds except for notes and new stages; for logs and pipes."""

    def __init__(self, console: Console, pause: float = SECONDS_BETWEEN_LINES) -> None:
        self._console, self._pause, self._last = console, pause, 0.0
        self._seen: set[str] = set()
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        with self._guard:
            now = time.monotonic()
            first = event.kind == "start" and event.stage not in self._seen
            if event.kind != "note" and not first and (event.kind == "cached" or now - self._last < self._pause):
                return
            self._seen.add(event.stage)
            self._last = now
            self._console.print(sentence(event), markup=False, highlight=False, soft_wrap=True)


class Bars:
    """One bar for each step that runs; a finished one becomes a line above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        with self._guard:
            if event.kind == "start":
                self._tasks[event.key] = self._bars.add_task(event.stage, total=None, left="")
            elif event.kind == "progress" and event.key in self._tasks:
                left = f"{units.show_seconds(event.seconds_left)} left " if event.seconds_left is not None else ""
                total = None if event.done is None else 1.0
                self._bars.update(self._tasks[event.key], completed=event.done, total=total, left=left + event.what)
            elif event.kind in ("done", "note"):
                if event.key in self._tasks:
                    self._bars.remove_task(self._tasks.pop(event.key))
                self._bars.console.print(sentence(event), markup=False, highlight=False, style="dim")


def display() -> Lines | Bars:
    """Bars where standard error is a terminal, else lines."""
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines(console)


def opened(devices: Iterable[Device], observer: Lines | Bars) -> AbstractContextManager[None]:
    """What has to be opened for devices to be reached, while a command lasts; it is said what people must do."""
    return jobs.opened(devices, lambda text: observer(Event(kind="note", stage="", what=text)))
