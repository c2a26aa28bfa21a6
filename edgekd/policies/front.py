"""The Pareto front: students that no other beats in accuracy, latency, file size and memory at once."""

from collections.abc import Sequence

from edgekd.gauge import ACCURACY, Gauge
from edgekd.results import Candidate

NAMES = ("smallest", "middle", "best")


def mark(candidates: Sequence[Candidate], gauge: Gauge = ACCURACY) -> tuple[Candidate, ...]:
    """The candidates, those on the front marked; only those that fit and were trained for equally long can be."""
    longest = max((one.epochs for one in candidates), default=0)
    judged = [one for one in candidates if one.fits and one.validation_accuracy is not None and one.epochs == longest]
    return tuple(
        one.model_copy(update={"front": one in judged and not any(beats(other, one, gauge) for other in judged)})
        for one in candidates
    )


def beats(one: Candidate, other: Candidate, gauge: Gauge = ACCURACY) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    mine, its = _costs(one, other, gauge), _costs(other, one, gauge)
    return all(a <= b for a, b in zip(mine, its, strict=True)) and mine != its


def _costs(one: Candidate, other: Candidate, gauge: Gauge) -> tuple[float, ...]:
    """What is better small: lost accuracy, then whatever both were priced by, target by target."""
    pairs = ((one.latency, other.latency), (one.file_size, other.file_size), (one.memory, other.memory))
    priced = (float(mine[name]) for mine, its in pairs for name in sorted(mine.keys() & its.keys()))
    return (-gauge.good(one.validation_accuracy), *priced)


def pick(candidates: Sequence[Candidate], gauge: Gauge = ACCURACY) -> dict[str, Candidate]:
    """At most three of the front by name: the smallest, the best, and one between them in size."""
    front = sorted((one for one in candidates if one.front), key=lambda one: one.size.macs)
    if not front:
        return {}
    best = max(front, key=lambda one: (gauge.good(one.validation_accuracy), -one.size.macs))
    found = {"best": best}
    if front[0] != best:
        found = {"smallest": front[0], "best": best}
    between = [one for one in front if front[0].size.macs < one.size.macs < best.size.macs]
    if between:
        found = {"smallest": front[0], "middle": between[len(between) // 2], "best": best}
    return found
