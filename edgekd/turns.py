"""Whose turn this computer is: all work side by side, or one that times it, alone. Across all processes of a user."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.05
# Seconds of waiting before it is said, and until it is said again.
PATIENCE, SAY_AGAIN = 2.0, 15.0


def own_folder() -> Path:
    """Where processes of this user meet: EDGEKD_LOCKS, or a folder of theirs among the temporary files."""
    folder = Path(os.environ.get("EDGEKD_LOCKS") or Path(tempfile.gettempdir()) / f"edgekd-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class Turns:
    """Turns at this computer, by locks in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or own_folder()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def take(
        self, alone: bool, waiting: Callable[[str], None], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Share this computer with other work of edgekd, or have it alone; no longer waits once `stop` says so.

        Who waits to have it alone holds the gate, so that no new work starts and the wait ends.
        """
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        gate, lock = (
            os.open(self._folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600) for name in ("gate", "device")
        )
        try:
            _lock(gate, kind, waiting, stop)
            _lock(lock, kind, waiting, stop)
            fcntl.flock(gate, fcntl.LOCK_UN)
            yield
        finally:
            os.close(gate)
            os.close(lock)


def _lock(handle: int, kind: int, waiting: Callable[[str], None], stop: Callable[[], bool]) -> None:
    say = time.monotonic() + PATIENCE
    while not stop():
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > say:
                say = time.monotonic() + SAY_AGAIN
                waiting("waits for other edgekd work on this computer to end")
            time.sleep(POLL)
