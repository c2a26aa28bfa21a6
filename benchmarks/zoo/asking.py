"""Ask a store for the zoo's files. What failed is kept too, by question: a run that goes on does not fail anew."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.zoo import making
from benchmarks.zoo.entries import Entry
from benchmarks.zoo.making import Specimen
from edgekd import files, keys
from edgekd.errors import EdgekdError, Problem, UsageError
from edgekd.executor import KINDS
from edgekd.policies.files import reason
from edgekd.steps import Policy, Step
from edgekd.store import Store

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


class Stopped(Exception):
    """The time is up, and this answer is not known yet."""


class Asked:
    """A store and what failed in it before. After `seconds` only what is known is told, else it raises Stopped."""

    def __init__(self, store: Store, seconds: float | None = None) -> None:
        self.store = store
        self._until = float("inf") if seconds is None else time.monotonic() + seconds
        self._file = store.root / "zoo" / "failures.json"
        told = self._file.read_text(encoding="utf-8") if self._file.is_file() else "{}"
        self._failures: dict[str, dict[str, Any]] = json.loads(told)

    def specimen(self, entry: Entry) -> Specimen | str:
        """A network's program, made in a process of its own where it is not known; else why there is none."""
        described = self.store.root / "zoo" / f"{entry.name}.json"
        if described.is_file():
            known = Specimen.model_validate_json(described.read_text(encoding="utf-8"))
            if known.source == making.source(entry):
                return known
        if making.missing(entry):
            return f"not installed: {', '.join(making.missing(entry))}"
        if time.monotonic() > self._until:
            raise Stopped
        command = [sys.executable, "-m", "benchmarks.zoo.making", entry.name, str(self.store.root.absolute())]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            return next(line for line in reversed(done.stderr.splitlines()) if line.strip())
        return Specimen.model_validate_json(described.read_text(encoding="utf-8"))

    def ask(self, step: Step[Any]) -> Any:
        """The answer of a step, or its error. Raises WorkerKilled, which says nothing of the step."""
        key = keys.key(step)
        if key in self._failures:
            return _raised(self._failures[key])
        if time.monotonic() > self._until and not (self.store.entries / key[:2] / key).is_dir():
            raise Stopped
        (found,) = self.store.attempt(step)
        if isinstance(found, EdgekdError):
            self._failures[key] = _told(found)
            files.write(self._file, json.dumps(self._failures, indent=1))
        return found

    def follow(self, policy: Policy[T]) -> T:
        """Run a policy whose steps may fail one by one."""
        try:
            wanted = next(policy)
            while True:
                wanted = policy.send(tuple(self.ask(step) for step in wanted))
        except StopIteration as stop:
            found: T = stop.value
            return found

    def seconds(self, step: str, key: str) -> float | None:
        """What an answer took when it was found, by the entry that holds its files."""
        return next((one.seconds for one in self.store.records if one.stage == step and one.key == key), None)


def _told(error: EdgekdError) -> dict[str, Any]:
    if isinstance(error, UsageError):
        problems = [{"where": one.where, "message": one.message, "hint": one.hint} for one in error.problems]
        return {"kind": type(error).__name__, "problems": problems}
    return {"kind": type(error).__name__, "message": reason(error)}


def _raised(told: dict[str, Any]) -> EdgekdError:
    if "problems" in told:
        return KINDS.get(told["kind"], UsageError)(*(Problem(**one) for one in told["problems"]))
    return EdgekdError(told["message"])
