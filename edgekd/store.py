"""Answers of steps, kept by what was asked. `do` returns what is known and has workers find out the rest.

last/<key>.json      the last answer of a question that is asked each time anew, and when that was
entries/<2>/<key>/   one answered step: manifest.json (with the result), request.json, log.txt and its files; whole
                     or absent, digests checked on reading, a damaged one is made again and never used
work/<key>/          a step in progress; a killed one resumes here if its stage can
locks/<key>.lock     held while a step is being answered, so that two builds do not do it twice
"""

import errno
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

from filelock import FileLock, Timeout

from edgekd import files, plugins, units
from edgekd.errors import FREE_SPACE, EdgekdError, StoreError, Unreachable, WorkerKilled
from edgekd.executor import Executor
from edgekd.keys import FORMAT, key, question, relocated, user_files, versions
from edgekd.results import File, StepRecord
from edgekd.spec import Value
from edgekd.steps import Each, Policy, Step
from edgekd.workspace import locate

RECENT = 3600.0  # seconds
ROOM = 1024**3  # bytes that a build wants free
R = TypeVar("R", bound=Value)
T = TypeVar("T")


class Event(Value):
    """Something that happened while steps were answered: for a progress display, never for decisions.

    `done` is a share of one, `seconds_left` an estimate; both are None where unknown.
    """

    kind: Literal["start", "progress", "done", "cached", "note"]
    stage: str
    what: str = ""
    key: str = ""
    done: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None


def _ignore(_: Event) -> None:
    """Watch nothing."""


def _seal(manifest: dict[str, Any]) -> str:
    """The digest of what a manifest says: a result altered in place must be noticed like an altered file."""
    told = json.dumps([manifest["record"], manifest["result"]], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _is_output(path: Path) -> bool:
    """Whether a file in a work folder is part of the answer, not of the asking or of a killed write."""
    return path.name not in ("request.json", "log.txt") and not path.name.startswith(".")


class Store:
    """A folder of answered steps, and the workers that answer new ones. Use it in a `with` block."""

    def __init__(self, root: Path, observer: Callable[[Event], None] = _ignore, cores: int | None = None) -> None:
        self.root, self.observer = root, observer
        whole = root.absolute()  # workers have folders of their own, from which a relative path leads elsewhere
        self.entries, self.work, self.locks = whole / "entries", whole / "work", whole / "locks"
        try:
            for folder in (self.entries, self.work, self.locks):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"cannot write the store at {root}: {error.strerror}. Choose another with --store or EDGEKD_STORE"
            raise StoreError(message) from error
        self._executor = Executor(self.work, cores)
        self._records: dict[str, StepRecord] = {}
        self._known: dict[str, Value] = {}
        self._guard = threading.Lock()
        self._room = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.close()

    @property
    def cores(self) -> int:
        """How many workers run side by side."""
        return self._executor.cores

    @property
    def records(self) -> tuple[StepRecord, ...]:
        """Every step that was asked so far, in order of its first answer."""
        return tuple(self._records.values())

    def path(self, file: File) -> Path:
        """Where a file of an answer is. Read it, never write it."""
        return locate(self.entries, file)

    def do(self, *asked: Step[R]) -> tuple[R, ...]:
        """Answer steps, the unknown ones side by side; results in the order asked. Raises the first failure."""
        keys = [key(step) for step in asked]
        new = {k: step for k, step in zip(keys, asked, strict=True) if k not in self._known or not step.cached}
        if len(new) == 1:
            ((k, step),) = new.items()
            self._known[k] = self._answer(k, step)
        elif new:
            self._side_by_side(new)
        return tuple(cast(R, self._known[k]) for k in keys)

    def attempt(self, *asked: Step[R]) -> tuple[R | EdgekdError, ...]:
        """Like `do`, but the error of a step that fails stands in the place of its answer.

        Raises what says nothing about the step: a store that cannot be used, a worker that was ended from outside,
        a device that could not be asked.
        """

        def one(step: Step[R]) -> R | EdgekdError:
            try:
                return self.do(step)[0]
            except (StoreError, WorkerKilled, Unreachable):
                raise
            except EdgekdError as error:
                return error

        distinct = {key(step): step for step in asked}
        with ThreadPoolExecutor(max_workers=min(32, len(distinct) or 1)) as pool:
            try:
                found = dict(zip(distinct, pool.map(one, distinct.values()), strict=True))
            except KeyboardInterrupt:
                self._executor.close()
                raise
        return tuple(found[key(step)] for step in asked)

    def follow(self, policy: Policy[T]) -> T:
        """Run a policy: do the steps it yields, send it the results (or throw it the failure), return its value."""
        try:
            wanted = next(policy)
            while True:
                try:
                    results = self.attempt(*wanted) if isinstance(wanted, Each) else self.do(*wanted)
                except EdgekdError as error:
                    wanted = policy.throw(error)
                else:
                    wanted = policy.send(results)
        except StopIteration as stop:
            return cast(T, stop.value)

    def last(self, step: Step[R]) -> tuple[R, float] | None:
        """The last answer of a step that is asked each time anew, and when that was (seconds since 1970)."""
        try:
            told = json.loads(self._last(key(step)).read_text(encoding="utf-8"))
            return cast(R, step.answer.model_validate(told["result"])), float(told["when"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _last(self, k: str) -> Path:
        return self.root.absolute() / "last" / f"{k}.json"

    def want_room(self) -> None:
        """Before the next step that has to be run, raise StoreError unless the store's disk has room for a build."""
        self._room = ROOM

    def note(self, text: str) -> None:
        """Tell the observer something that is not about one step."""
        self.observer(Event(kind="note", stage="", what=text))

    def gc(self, keep_bytes: int) -> int:
        """Delete the answers unused for longest until `keep_bytes` are left; returns the bytes freed.

        What was used within the last hour stays: a build that is running may need it again.
        """
        now, total, freed = time.time(), 0, 0
        found = [(p.stat().st_mtime, files.size(p), p) for p in self.entries.glob("*/*") if p.is_dir()]
        for used, size, path in sorted(found, reverse=True):
            total += size
            if total > keep_bytes and now - used > RECENT:
                freed += self._remove(path)
        for path in self.work.iterdir():
            if path.is_dir():
                freed += self._remove(path)
            elif now - path.stat().st_mtime > RECENT:
                path.unlink()
        return freed

    def _remove(self, path: Path) -> int:
        """Delete an answer, or what a killed worker left, unless some build has it locked; returns the bytes freed."""
        try:
            with FileLock(self.locks / f"{path.name}.lock", blocking=False):
                size = files.size(path)
                shutil.rmtree(path)
        except Timeout:
            return 0
        return size

    def _side_by_side(self, new: dict[str, Step[Any]]) -> None:
        with ThreadPoolExecutor(max_workers=min(32, len(new))) as pool:
            futures = {k: pool.submit(self._answer, k, step) for k, step in new.items()}
            try:
                for k, future in futures.items():
                    self._known[k] = future.result()
            except KeyboardInterrupt:
                self._executor.close()
                raise

    def _answer(self, k: str, step: Step[Any]) -> Value:
        """Read the answer of a step, or have it found out, under the lock of its key."""
        entry = self.entries / k[:2] / k
        known = self._read(entry, step) if step.cached else None
        if known is None:
            try:
                with FileLock(self.locks / f"{k}.lock"):
                    known = self._read(entry, step) if step.cached else None
                    if known is None:
                        self._discard(entry, step)
                        known = self._run(k, step, entry)
            except OSError as error:
                hint = f". {FREE_SPACE}" if error.errno == errno.ENOSPC else ""
                raise StoreError(f"cannot write the store at {self.root}: {error.strerror or error}{hint}") from error
        with self._guard:
            record, result = known
            self._records.setdefault(k, record.model_copy(update={"asked": question(step)}))
            if record.cached:
                self.observer(Event(kind="cached", stage=step.stage, key=k))
        return result

    def _read(self, entry: Path, step: Step[Any]) -> tuple[StepRecord, Value] | None:
        """The entry's result if it is there and undamaged."""
        try:
            told = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))
            if told["sha256"] != _seal(told):
                return None
            record = StepRecord.model_validate(told["record"] | {"cached": True})
            result = step.answer.model_validate(relocated(told["result"], user_files(step.model_dump(mode="json"))))
            if any(files.digest(entry / name) != want for name, want in record.files.items()):
                return None
            os.utime(entry)
        except (OSError, ValueError, KeyError, TypeError):  # whatever somebody made of the JSON
            return None
        return record, result

    def _discard(self, entry: Path, step: Step[Any]) -> None:
        """Remove an entry that cannot be read; only under its key's lock."""
        if entry.is_dir():
            self.note(f"the store's answer of {step.stage} was damaged and is made again")
            shutil.rmtree(entry)

    def _run(self, k: str, step: Step[Any], entry: Path) -> tuple[StepRecord, Value]:
        """Have a worker answer the step in its work folder, then move that folder into place."""
        if step.cached:
            self._check_room()
        folder = self.work / k
        resumed = folder.is_dir() and plugins.declared("stages", step.stage).resumes
        if folder.is_dir() and not resumed:
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        for stale in ("result.json", "error.json", "progress.json"):
            (folder / stale).unlink(missing_ok=True)
        request = {
            "stage": step.stage,
            "key": k,
            "entries": str(self.entries),
            "resumed": resumed,
            "step": step.model_dump(mode="json"),
        }
        files.write(folder / "request.json", json.dumps(request, indent=1))
        self.observer(Event(kind="start", stage=step.stage, key=k))
        took = self._executor.run(step, folder, lambda *told: self._progress(step, k, *told))
        record, result = self._keep(k, step, folder, entry, took)
        self.observer(Event(kind="done", stage=step.stage, key=k, seconds=record.seconds))
        return record, result

    def _check_room(self) -> None:
        """Once, before the first work that is to be kept: a build that began with room for it may use that room."""
        free, wanted, self._room = shutil.disk_usage(self.root).free, self._room, 0
        if free < wanted:
            told = f"{units.show_size(free)} left and a build wants {units.show_size(wanted)}"
            raise StoreError(f"{self.root} has {told}. {FREE_SPACE}")

    def _keep(self, k: str, step: Step[Any], folder: Path, entry: Path, seconds: float) -> tuple[StepRecord, Value]:
        told = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        result = step.answer.model_validate(told)
        for name in ("result.json", "progress.json"):
            (folder / name).unlink(missing_ok=True)
        contents = {p.name: files.digest(p) for p in sorted(folder.iterdir()) if _is_output(p)}
        record = StepRecord(
            stage=step.stage, key=k, seconds=seconds, cached=False, versions=versions(step), files=contents
        )
        if not step.keep(result):
            shutil.rmtree(folder)
            if not step.cached:
                files.write(self._last(k), json.dumps({"when": time.time(), "result": told}))
            return record, result
        manifest = {"format": FORMAT, "record": record.model_dump(mode="json"), "result": told}
        files.write(folder / "manifest.json", json.dumps(manifest | {"sha256": _seal(manifest)}))
        entry.parent.mkdir(exist_ok=True)
        folder.replace(entry)
        return record, result

    def _usual(self, step: Step[Any]) -> float:
        """Seconds that steps of this stage took, as far as this build knows."""
        with self._guard:
            took = [record.seconds for record in self._records.values() if record.stage == step.stage]
        return max(median(took), 0.5) if took else step.usual

    def _progress(self, step: Step[Any], k: str, done: float, text: str, passed: float) -> None:
        left: float | None = passed / done * (1 - done) if done > 0.02 else None
        if not done and not text:
            if not step.usual:  # it will tell itself
                return
            usual = self._usual(step)
            done, left = min(passed / usual, 0.95), usual - passed if passed < usual else None
        self.observer(
            Event(kind="progress", stage=step.stage, what=text, key=k, done=done, seconds=passed, seconds_left=left)
        )
