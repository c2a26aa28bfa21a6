"""One file while it is being judged, and what can be said of it beside the same network's other files."""

from collections.abc import Sequence

from edgekd.results import Artifact, Latency, Measurement, Profiled, Program, Role, Row, Score
from edgekd.spec import FLOATS, Budget, Precision, Target, Value

TIE = 0.03  # latencies closer than this are equal: then the smaller file wins
LOSS = 0.005  # where no accuracy budget says otherwise, a quantized file that loses more does not ship by itself


class Item(Value):
    """One file of one network on a target while it is being judged.

    `compared` is the measurement that was taken in turn with the other files', where `measurement` is a later one.
    """

    role: Role
    precision: Precision
    program: Program
    artifact: Artifact
    validation: Score | None = None
    test: Score | None = None
    measurement: Measurement = Measurement(basis="not measured", why="")
    compared: Measurement | None = None
    placement: Profiled | None = None
    notes: tuple[str, ...] = ()
    faithful: bool = True


def p90(item: Item) -> float | None:
    """What is held against a budget while files are chosen: of a quick measurement the p90 itself, since its bound is
    wide, and what ships is measured again; of any other the bound on which the budget is judged.
    """
    latency = item.measurement.latency
    if latency is None:
        return None
    return latency.p90 if latency.protocol == "quick" else latency.bound


def quiet(item: Item) -> float:
    """What files are compared by: of the measurement that was taken in turn with the others'."""
    latency = _compared(item)
    return latency.quiet if latency else 0.0


def _compared(item: Item) -> Latency | None:
    return (item.compared or item.measurement).latency


def float_latency(items: Sequence[Item], role: Role) -> float | None:
    """The latency of a network's fastest faithful float file; None where nothing was timed."""
    timed = [i for i in items if i.role == role and i.precision in FLOATS and i.faithful and _compared(i)]
    return min(map(quiet, timed), default=None)


def pointless(item: Item, limit: float | None) -> bool:
    """Whether a file is quantized without being known to be faster than float for it, beyond what noise would do."""
    latency = _compared(item)
    margin = max(TIE, latency.floor if latency else 0.0)
    return item.precision not in FLOATS and (limit is None or quiet(item) * (1 + margin) > limit)


def item_of(items: Sequence[Item], row: Row) -> Item:
    return next(item for item in items if item.role == row.role and item.precision == row.precision)


def twin_score(items: Sequence[Item], role: Role) -> Score | None:
    """What the same network scores in float32 on validation."""
    return next((item.validation for item in items if item.role == role and item.precision == "float32"), None)


def loses(target: Target, item: Item, twin: Score | None) -> float:
    """What a file loses on validation against float32; 0 where an accuracy budget says what is allowed.

    Of an error it is the share by which it is larger.
    """
    budget = target.budget
    if any(limit is not None for limit in limits_of_quality(budget)):
        return 0.0
    if item.precision in FLOATS or item.validation is None or twin is None:
        return 0.0
    return twin.gauge.lost(item.validation.accuracy.value, twin.accuracy.value)


def limits_of_quality(budget: Budget) -> tuple[float | None, ...]:
    """The limits that predictions are held to."""
    return budget.max_drop, budget.min_accuracy, budget.max_quantization_loss, budget.max_error
