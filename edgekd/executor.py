"""Where workers run: processes of this computer, side by side up to its cores, alone where a device is being timed."""

import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekd.errors import (
    FREE_SPACE,
    DeviceError,
    EdgekdError,
    NotConverted,
    Problem,
    StepFailed,
    StoreError,
    Unreachable,
    Unsuited,
    UsageError,
    WorkerKilled,
)
from edgekd.processes import ForkServer, Fresh, Process
from edgekd.steps import Step
from edgekd.turns import Turns

POLL = 0.05
# Told of a step: how much of it is done, in words, and the seconds that it has run.
Tell = Callable[[float, str, float], None]
# A disk with fewer bytes left than that is full.
FULL = 64 * 1024
# Errors of a worker that the asking process must be able to tell from others.
KINDS: dict[str, type[UsageError]] = {kind.__name__: kind for kind in (Unsuited, NotConverted)}


class Executor:
    """Runs workers. `cores` bounds how many run at once; `locks` is where device locks are (one place per user)."""

    def __init__(self, scratch: Path, cores: int | None = None, locks: Path | None = None) -> None:
        self.cores = cores or len(
            os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        )
        self._turns = Turns(locks)
        self._scratch = scratch
        self._free = self.cores
        self._turn = threading.Condition()
        self._servers: dict[tuple[str, ...], ForkServer] = {}
        self._closed = threading.Event()

    def run(self, step: Step[Any], folder: Path, tell: Tell) -> float:
        """Run the worker of `folder` to its end; afterwards result.json is there. Raises what the worker raised.

        Returns the seconds that the worker took, without those that it waited for its turn.
        """

        def waiting(text: str) -> None:
            tell(0.0, text, 0.0)

        with self._cores(step.cores or self.cores), self._turns.take(step.exclusive, waiting, self._closed.is_set):
            if self._closed.is_set():
                raise EdgekdError("stopped")
            started = time.monotonic()
            # libraries leave files behind that a worker, which is ended and never exits, would not take away
            with tempfile.TemporaryDirectory(prefix="edgekd-", ignore_cleanup_errors=True) as temporary:
                process = self._start(step, folder, temporary)
                try:
                    status = self._wait(process, step, folder, tell)
                finally:
                    process.kill()
            seconds = time.monotonic() - started
        if status == 0 and (folder / "result.json").is_file():
            return seconds
        raise failure(step.stage, folder, status)

    def close(self) -> None:
        """End all workers and servers."""
        self._closed.set()
        for server in self._servers.values():
            server.close()

    def _start(self, step: Step[Any], folder: Path, temporary: str) -> Process:
        modules = step.warm()
        if not modules or not hasattr(os, "fork"):
            return Fresh(folder, temporary)
        with self._turn:
            server = self._servers.get(modules)
            if server is None or not server.alive():
                name = "-".join(m.removeprefix("edgekd.") for m in modules)
                server = self._servers[modules] = ForkServer(
                    modules, self._scratch / f"server-{os.getpid()}-{name}.log"
                )
        return server.start(folder, temporary)

    def _wait(self, process: Process, step: Step[Any], folder: Path, tell: Tell) -> int:
        started, seen = time.monotonic(), 0.0
        limit = 0.85 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        progress = folder / "progress.json"
        while (status := process.poll()) is None:
            if self._closed.is_set():
                raise EdgekdError("stopped")
            now = time.monotonic()
            if now - started > step.seconds:
                raise StepFailed(step.stage, f"took longer than {step.seconds:.0f} s", *_where(folder))
            if now - seen > 0.5:
                seen = now
                if _resident(process.pid()) > limit:
                    raise StepFailed(step.stage, "used more than 85 % of this computer's memory", *_where(folder))
                if progress.is_file():
                    state = json.loads(progress.read_text(encoding="utf-8"))
                    tell(state["done"], state["text"], now - started)
                else:
                    tell(0.0, "", now - started)
            time.sleep(POLL)
        return status

    @contextmanager
    def _cores(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` of the cores."""
        wanted = min(wanted, self.cores)
        with self._turn:
            self._turn.wait_for(lambda: self._free >= wanted or self._closed.is_set())
            self._free -= wanted
        try:
            yield
        finally:
            with self._turn:
                self._free += wanted
                self._turn.notify_all()


def _resident(pid: int | None) -> int:
    """Resident bytes of a process, 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _where(folder: Path) -> tuple[str, str]:
    """The log of a step and the command that repeats it."""
    return str(folder / "log.txt"), f"{sys.executable} -m edgekd.worker {folder}"


def failure(stage: str, folder: Path, status: int) -> EdgekdError:
    """The error that a worker left behind, or what can be said of its end."""
    error, kind = folder / "error.json", StepFailed
    if error.is_file():
        told = json.loads(error.read_text(encoding="utf-8"))
        if "problems" in told:
            return KINDS.get(told.get("kind", ""), UsageError)(*(Problem(**problem) for problem in told["problems"]))
        reason = told["message"]
        if told.get("exit") == DeviceError.exit_status:
            if told.get("kind") == Unreachable.__name__:
                return Unreachable(reason)
            return DeviceError(f"{reason}\n  log: {folder / 'log.txt'}")
    elif status < 0:
        reason = f"ended by signal {signal.Signals(-status).name}"
        if -status in (signal.SIGKILL, signal.SIGTERM):
            kind, reason = WorkerKilled, f"{reason}, from outside or for want of memory; the same command goes on"
    else:
        reason = f"ended with status {status}"
    log = folder / "log.txt"
    if log.is_file() and not error.is_file():
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
        reason = "\n    ".join([reason, *last])
    # a worker cannot always leave a word where no byte is left to write it
    if shutil.disk_usage(folder).free < FULL or os.strerror(errno.ENOSPC) in reason:
        return StoreError(f"{stage} failed: the disk of {folder.parent.parent} is full. {FREE_SPACE}")
    return kind(stage, reason, *_where(folder))
