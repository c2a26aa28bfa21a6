"""One cell of the table: one network in one format and precision, from its program to a verdict."""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.asking import Asked, Stopped
from benchmarks.zoo.entries import Entry
from benchmarks.zoo.making import Specimen
from edgekd import plugins
from edgekd.errors import EdgekdError, NotConverted, Unsuited
from edgekd.policies.files import Wanted, convert, reason
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, DeviceFacts, Diffed, GoldenSet, Located, Profiled, Rehearsed
from edgekd.spec import Precision, Ranges, Target, Value
from edgekd.steps import Diff, Golden, Locate, Profile, Rehearse

# A file in 8 bits is right if its noise has at most a tenth of the power of what torch's outputs tell of the sample.
# Rounding alone leaves 15 to 40 dB of these networks; one layer with its weights in another order leaves less than 6.
RIGHT = 10.0
Ranked = Literal["right", "unsuited", "lossy", "wrong", "not verified", "failed", "not run"]
STATES: tuple[Ranked, ...] = ("right", "unsuited", "lossy", "wrong", "not verified", "failed", "not run")


class Cell(Value):
    """What became of it. `noise` is the error as a share of what varies, `why` the reason of all but "right".

    `named`: the reason says at which operator, or what no file could do. `delegated` is the share of operators that run
    where one wants them, `stays` what does not; `ranges` how ranges were found where not in the first way, `route` the
    converter where not the first one.
    """

    model: str
    format: str
    precision: Precision
    state: Ranked
    why: str = ""
    named: bool = True
    basis: str = ""
    error: float | None = None
    decibels: float | None = None
    ranges: Ranges | None = None
    route: str = ""
    delegated: float | None = None
    stays: str = ""
    seconds: float | None = None
    size: int | None = None


class Cells:
    """Fills cells on this computer, one after the other."""

    def __init__(self, asked: Asked, facts: DeviceFacts, profile: bool) -> None:
        self._asked, self._facts, self._profile = asked, facts, profile

    def fill(self, entry: Entry, format: str, precision: Precision) -> Cell:
        """Convert, run, compare, and see where operators run; of 8 bits also with the format's other ranges."""
        empty = Cell(model=entry.name, format=format, precision=precision, state="not run")
        try:
            return self._filled(empty, entry)
        except Stopped:
            return empty.model_copy(update={"why": "the run ended before its turn"})

    def _filled(self, empty: Cell, entry: Entry) -> Cell:
        format, precision = empty.format, empty.precision
        found = self._asked.specimen(entry)
        if isinstance(found, str):
            return empty.model_copy(update={"why": found})
        if precision not in plugins.declared("formats", format).precisions:
            return empty.model_copy(update={"state": "unsuited", "why": f"{format} has no {precision}"})
        ways: tuple[Ranges, ...] = plugins.declared("formats", format).ranges if precision == "int8" else ("min-max",)
        first = self._with(empty, found, ways[0])
        for way in ways[1:] if first.state == "lossy" else ():
            other = self._with(empty, found, way).model_copy(update={"ranges": way})
            if other.state == "right":
                return other
        return first

    def _with(self, cell: Cell, found: Specimen, ranges: Ranges) -> Cell:
        target = Target(name=cell.format, format=cell.format, ranges=ranges)
        # of what a build knows, conversion asks for no more than this
        routes = {cell.format: plugins.declared("formats", cell.format).routes}
        known = Outlook.model_construct(splits=found.splits, routes=routes)
        policy = convert(known, target, [Wanted(program=found.program, precisions=(cell.precision,))])
        (made,) = self._asked.follow(policy)
        file = made.files[cell.precision]
        if isinstance(file, EdgekdError):
            return cell.model_copy(update=failed(file))
        cell = cell.model_copy(update={"route": file.route})
        cell = cell.model_copy(update={"seconds": self._asked.seconds("convert", file.file.entry), "size": file.size})
        run = self._asked.ask(
            Rehearse(
                artifact=file, device=target.device, fingerprint=self._facts.fingerprint, runtime=self._runtime(file)
            )
        )
        cell = cell.model_copy(update=judged(run, cell.precision, found.varied))
        if isinstance(run, Rehearsed) and run.stopped:
            cell = cell.model_copy(update=self._stopped(cell, found, file))
        if cell.state == "lossy" and len(file.signature.outputs) > 1:
            cell = cell.model_copy(update=self._by_output(found, file))
        if cell.state in ("wrong", "lossy"):
            cell = cell.model_copy(update=self._blamed(cell, found, file))
        if not self._profile:
            return cell
        try:
            return self._placed(cell, found, file)
        except Stopped:
            return cell

    def _by_output(self, found: Specimen, file: Artifact) -> dict[str, object]:
        """The same verdict by each output for itself: the farthest need not be the one that varies least."""
        recorded: GoldenSet | EdgekdError = self._asked.ask(
            Golden(
                artifact=file,
                splits=found.splits,
                device=Target(name="", format="").device,
                fingerprint=self._facts.fingerprint,
                runtime=self._runtime(file),
            )
        )
        if isinstance(recorded, EdgekdError):
            return {}
        with np.load(self._asked.store.path(recorded.folder) / "golden.npz", allow_pickle=False) as arrays:
            names = [spec.name for spec in file.signature.outputs]
            noise = max(share(arrays[f"runtime:{name}"], arrays[f"output:{name}"]) for name in names)
        return measured(noise, "int8")

    def _runtime(self, file: Artifact) -> str:
        return self._facts.runtimes.get(file.format, "")

    def _blamed(self, cell: Cell, found: Specimen, file: Artifact) -> dict[str, object]:
        """Where a file begins to compute something else, in the network's own names."""
        diff: Diffed | EdgekdError = self._asked.ask(
            Diff(
                program=found.program,
                artifact=file,
                device=Target(name="", format="").device,
                fingerprint=self._facts.fingerprint,
                runtime=self._runtime(file),
            )
        )
        if isinstance(diff, EdgekdError):
            return {"named": False, "why": f"{cell.why}; {reason(diff)}"}
        nodes = {layer.node: layer.name for layer in diff.layers}
        place = diff.first or next(iter(diff.worst), None)
        if place is None:
            return {"named": False}
        return {"why": f"{cell.why}; most at {nodes.get(place, place)}: {diff.cause}"}

    def _stopped(self, cell: Cell, found: Specimen, file: Artifact) -> dict[str, object]:
        """Where a file stops running, in the network's own names."""
        told: Located | EdgekdError = self._asked.ask(
            Locate(
                program=found.program,
                artifact=file,
                device=Target(name="", format="").device,
                fingerprint=self._facts.fingerprint,
                runtime=self._runtime(file),
            )
        )
        if isinstance(told, EdgekdError):
            return {"why": f"{cell.why}; {reason(told)}"}
        return {"named": True, "why": f"{cell.why}; it stops at {told.operator}"} if told.operator else {}

    def _placed(self, cell: Cell, found: Specimen, file: Artifact) -> Cell:
        """With the share of operators that run where one wants them."""
        told: Profiled | EdgekdError = self._asked.ask(
            Profile(
                program=found.program,
                artifact=file,
                splits=found.splits,
                device=Target(name="", format="").device,
                fingerprint=self._facts.fingerprint,
                runtime=self._runtime(file),
            )
        )
        if isinstance(told, EdgekdError) or told.fallback is None:
            return cell.model_copy(update={"stays": reason(told) if isinstance(told, EdgekdError) else told.why})
        off = [one for one in told.placements if not one.wanted]
        kinds = ", ".join(sorted({one.kind for one in off}))
        return cell.model_copy(update={"delegated": 1 - told.fallback, "stays": kinds})


def failed(error: EdgekdError) -> dict[str, object]:
    """What a cell without a file says."""
    if isinstance(error, Unsuited):
        return {"state": "unsuited", "why": reason(error)}
    named = isinstance(error, NotConverted) and "the converter fails at" in str(error)
    return {"state": "failed", "why": reason(error), "named": named}


def judged(run: Rehearsed | EdgekdError, precision: Precision, varied: float) -> dict[str, object]:
    """What a cell with a file says. `varied` is the least share of an output's size that depends on the sample."""
    if isinstance(run, EdgekdError):
        return {"state": "failed", "why": reason(run), "named": False}
    if run.basis == "not measured":
        return {"state": "not verified", "why": run.fault}
    if run.relative_error is None:
        return {"state": "failed", "why": _ends(run.fault), "named": False, "basis": run.basis}
    told = {"basis": run.basis, "error": run.relative_error} | measured(run.relative_error / varied, precision)
    # how far a faulty file is may be told of its good outputs alone
    return {"basis": run.basis, "state": "wrong", "why": run.fault} if run.fault else told


def _ends(text: str) -> str:
    """The first and the last line of what a process left behind: what lies between are paths of its own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ": ".join(dict.fromkeys((lines[0], lines[-1])))


def measured(noise: float, precision: Precision) -> dict[str, object]:
    """The verdict on a file whose noise is so large a share of what its outputs tell of the sample."""
    decibels = -20 * math.log10(max(noise, 1e-9))
    if precision == "int8" and not noise <= 10 ** (-RIGHT / 20):
        return {"decibels": decibels, "state": "lossy", "why": f"{decibels:.1f} dB are left; {RIGHT:g} are wanted"}
    return {"decibels": decibels, "state": "right", "why": ""}


def share(found: NDArray[np.floating[Any]], wanted: NDArray[np.floating[Any]]) -> float:
    """The error as a share of what varies with the sample."""
    gap, signal = found.astype(np.float64) - wanted, wanted - wanted.astype(np.float64).mean(0)
    return float(np.linalg.norm(gap) / max(float(np.linalg.norm(signal)), 1e-30))
