"""Two runs side by side: what ships in each, target by target, and whether the second can replace the first."""

from typing import Literal

from edgekd.gauge import ACCURACY, Gauge
from edgekd.results import Report, Row, Signature
from edgekd.spec import Value

Quantity = Literal["accuracy", "p90 latency", "file size", "memory", "parameters"]


class Change(Value):
    """One number before and after; `worse` is by which share of `before` it got worse (below zero: better).

    `noise` is the share by which such a number differs from itself: no smaller difference is one.
    """

    quantity: Quantity
    gauge: Gauge = ACCURACY
    before: float | None
    after: float | None
    worse: float | None
    noise: float = 0.0
    why: str = ""

    @property
    def name(self) -> str:
        """What a reader calls it: of quality the metric's own name."""
        return self.gauge.name if self.quantity == "accuracy" else self.quantity


class TargetChange(Value):
    """One target that ships in either run; `differences` say why the second is no drop-in for the first."""

    target: str
    changes: tuple[Change, ...] = ()
    differences: tuple[str, ...] = ()
    why: str = ""


def compare(before: Report, after: Report) -> tuple[TargetChange, ...]:
    """Compare what ships, for every target of either run."""
    old, new = ({row.target: row for row in report.rows if row.ships} for report in (before, after))
    return tuple(_target(name, old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new)))


def regressions(found: tuple[TargetChange, ...], allowed: float) -> tuple[list[str], list[str]]:
    """What got worse by more than a share, and what cannot be judged (accuracy, latency, size only)."""
    worse, unknown = [], []
    for target in found:
        if target.why:
            unknown.append(f"{target.target}: {target.why}")
        for change in target.changes:
            if change.quantity not in ("accuracy", "p90 latency", "file size"):
                continue
            if change.worse is None:
                unknown.append(f"{target.target}: {change.name}: {change.why}")
            elif allowed < change.worse <= change.noise:
                told = f"{100 * change.worse:.1f} % worse, within the noise of {100 * change.noise:.2g} %"
                unknown.append(f"{target.target}: {change.name} is {told}")
            elif change.worse > allowed:
                worse.append(f"{target.target}: {change.name} is {100 * change.worse:.1f} % worse")
    return worse, unknown


def _target(name: str, old: Row | None, new: Row | None) -> TargetChange:
    if old is None or new is None:
        return TargetChange(target=name, why=f"ships in the {'second' if old is None else 'first'} run only")
    changes = (
        _quality(old, new),
        _latency(old, new),
        _change("file size", (_bytes(old), _bytes(new))),
        _change("memory", (old.measurement.memory, new.measurement.memory)),
        _change("parameters", (_params(old), _params(new))),
    )
    return TargetChange(target=name, changes=changes, differences=_differences(old, new))


def _quality(old: Row, new: Row) -> Change:
    """The metric of both; of two metrics nothing is compared."""
    before, after = old.score, new.score
    if before is None or after is None:
        return _change("accuracy", (before.accuracy.value if before else None, after.accuracy.value if after else None))
    better = -1 if after.gauge.lower else 1
    change = _change("accuracy", (before.accuracy.value, after.accuracy.value), better)
    if before.metric != after.metric:
        why = f"judged by two metrics: {before.gauge.name} and {after.gauge.name}"
        return change.model_copy(update={"worse": None, "why": why, "before": None})
    return change.model_copy(update={"gauge": after.gauge})


def _bytes(row: Row) -> int | None:
    return row.artifact.size if row.artifact else None


def _params(row: Row) -> int | None:
    return row.size.params if row.size else None


def _p90(row: Row) -> float | None:
    return row.measurement.latency.p90 if row.measurement.latency else None


def _change(quantity: Quantity, both: tuple[float | None, float | None], better: int = -1) -> Change:
    """`both` are old and new; `better` is 1 where more is better, else -1."""
    before, after = both
    if before is None or after is None:
        return Change(quantity=quantity, before=before, after=after, worse=None, why="not measured in both runs")
    worse = better * (before - after) / before if before else None
    return Change(quantity=quantity, before=before, after=after, worse=worse, why="" if before else "was zero")


def _latency(old: Row, new: Row) -> Change:
    """Latencies of two devices, or with different threads, are not compared."""
    first, second = old.measurement, new.measurement
    change = _change("p90 latency", (_p90(old), _p90(new)))
    if not (first.latency and second.latency and first.device and second.device):
        return change
    if first.device.fingerprint != second.device.fingerprint:
        why = f"measured on two devices: {first.device.name} and {second.device.name}"
        return change.model_copy(update={"worse": None, "why": why})
    if first.latency.threads != second.latency.threads:
        return change.model_copy(update={"worse": None, "why": "measured with different numbers of threads"})
    floors = [one.noise.p90.margin for one in (first.latency, second.latency) if one.noise]
    return change.model_copy(update={"noise": max(floors, default=0.0)})


def _differences(old: Row, new: Row) -> tuple[str, ...]:
    """Why code that feeds the first file cannot feed the second unchanged; empty: a drop-in."""
    if old.artifact is None or new.artifact is None:
        return ("one of the two has no file",)
    before, after = old.artifact.signature, new.artifact.signature
    return (*_tensors(before, after, "inputs"), *_tensors(before, after, "outputs"), *_classes(before, after))


def _classes(before: Signature, after: Signature) -> tuple[str, ...]:
    if [(one.name, one.unit) for one in before.columns] != [(one.name, one.unit) for one in after.columns]:
        return ("the numbers that they tell differ",)
    same = (before.classes, before.heads) == (after.classes, after.heads)
    return () if same else ("classes or their order differ",)


def _tensors(before: Signature, after: Signature, side: Literal["inputs", "outputs"]) -> tuple[str, ...]:
    old, new = ({spec.name: spec for spec in getattr(signature, side)} for signature in (before, after))
    if list(old) != list(new):
        return (f"{side} are {', '.join(old)} and then {', '.join(new)}",)
    pairs = [(old[name].model_dump(), new[name].model_dump()) for name in old]
    return tuple(
        f"{side.removesuffix('s')} {first['name']}: {key} was {first[key]} and is {second[key]}"
        for first, second in pairs
        for key in first
        if first[key] != second[key]
    )
