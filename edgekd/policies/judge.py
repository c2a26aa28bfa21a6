"""Judging files: predict, hold them against torch and the teacher, time them, and choose the one that ships."""

from collections.abc import Mapping, Sequence

from edgekd.errors import EdgekdError
from edgekd.policies import limits, outputs
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, File, Measured, Measurement, Predictions, Program, Role, Row, Score
from edgekd.spec import FLOATS, Part, Precision, Target, Value
from edgekd.steps import Evaluate, Measure, Policy

ATTEMPTS = 2
TIE = 0.03  # latencies closer than this are equal: then the smaller file wins
LOSS = 0.005  # where no accuracy budget says otherwise, a quantized file that loses more does not ship by itself
# Whose files must compute what torch computes; a teacher's may differ, and is told.
JUDGED: tuple[Role, ...] = ("student", "control", "model")


class Item(Value):
    """One file of one network on a target while it is being judged."""

    role: Role
    precision: Precision
    program: Program
    artifact: Artifact
    validation: Score | None = None
    test: Score | None = None
    measurement: Measurement = Measurement(basis="not measured", why="")
    notes: tuple[str, ...] = ()
    faithful: bool = True


def judge(
    known: Outlook, target: Target, items: list[Item], teacher: Mapping[Part, File], winner: Role
) -> Policy[list[Row]]:
    """A row for each file of a target; the best precision of the `winner` ships.

    `teacher` are outputs that drops are counted from; without them they count from the same network's float32 file.
    Raises EdgekdError for a file that does not compute what torch computed.
    """
    if known.checkable(target):
        items = yield from _score(known, target, items, teacher)
    if known.runtime(target):
        items = yield from _measure(known, target, items)
    rows = [_row(known, target, items, item) for item in items]
    chosen = _choose(known, target, rows, items, winner)
    return [row.model_copy(update={"ships": row is chosen}) for row in rows]


def _score(known: Outlook, target: Target, items: Sequence[Item], teacher: Mapping[Part, File]) -> Policy[list[Item]]:
    """Predict validation and test; validation is judged against torch (parity), both against the teacher.

    An item whose outputs nothing here can work out keeps no score, and a note says why.
    """
    parts: tuple[Part, ...] = ("validation", "test")
    predictions: Sequence[Predictions] = yield [
        outputs.ask(known, target, item.artifact, part) for item in items for part in parts
    ]
    pairs = list(zip(predictions[::2], predictions[1::2], strict=True))
    told = [item.model_copy(update={"notes": outputs.basis(pair)}) for item, pair in zip(items, pairs, strict=True)]
    judged = [(item, pair) for item, pair in zip(told, pairs, strict=True) if outputs.answered(pair)]
    if not judged:
        return told
    own = {(item.role, p.part): p.outputs for item, pair in judged for p in pair if item.precision == "float32"}
    scores: Sequence[Score] = yield [
        Evaluate(
            predictions=p,
            splits=known.splits,
            teacher=teacher.get(p.part) or own.get((item.role, p.part)),
            reference=item.program.reference if p.part == "validation" else None,
            precision=item.precision,
            metric=known.plan.data.metric,
        )
        for item, pair in judged
        for p in pair
    ]
    found = iter(scores)
    scored = [
        item.model_copy(update={"validation": next(found), "test": next(found)}) if outputs.answered(pair) else item
        for item, pair in zip(told, pairs, strict=True)
    ]
    return _gate(target, scored)


def _gate(target: Target, items: Sequence[Item]) -> list[Item]:
    """A file that does not compute what torch computed never leaves edgekd.

    In float32, from which all others are made, and in the precision that was asked for, that is the end; any other is
    left out of the choice.
    """
    kept = []
    for item in items:
        parity = item.validation.parity if item.validation else None
        faithful = parity is None or parity.passed or item.role not in JUDGED
        if not faithful and item.precision in ("float32", target.precision):
            assert parity is not None
            raise EdgekdError(
                f"{target.name} {item.precision} ({item.role}) does not compute what torch computes: {parity.why}. "
                "Nothing was shipped; try another precision or target, and report the network if it is a plain one"
            )
        kept.append(item.model_copy(update={"faithful": faithful}))
    return kept


def _measure(known: Outlook, target: Target, items: Sequence[Item]) -> Policy[list[Item]]:
    """Time all files of the target interleaved; once more if a session was unstable."""
    for attempt in range(ATTEMPTS):
        answer: tuple[Measured] = yield [
            Measure(
                artifacts=tuple(item.artifact for item in items),
                splits=known.splits,
                device=target.device,
                fingerprint=known.facts[target.device.name].fingerprint,
                runtime=known.runtime(target),
                threads=target.threads,
                attempt=attempt,
            )
        ]
        measurements = answer[0].measurements
        if all(m.latency is None or m.latency.stable for m in measurements):
            break
    return [item.model_copy(update={"measurement": m}) for item, m in zip(items, measurements, strict=True)]


def _row(known: Outlook, target: Target, items: Sequence[Item], item: Item) -> Row:
    """Judge one file against the target's budget."""
    measurement, budget = item.measurement, target.budget
    if not known.runtime(target):
        why = f"{target.format} does not run on {known.facts[target.device.name].name}"
        measurement = Measurement(basis="not measured", why=why, device=known.facts[target.device.name])
    twin = next((i.test for i in items if i.role == item.role and i.precision == "float32"), None)
    latency = measurement.latency.p90_high if measurement.latency else None
    missed = (
        *(() if item.faithful else ("it does not compute what torch computes",)),
        *limits.exact(budget, item.program.size),
        *limits.physical(budget, item.artifact.size, measurement.memory, latency),
        *limits.accuracy(budget, item.test, twin if item.precision != "float32" else None),
    )
    unknown = limits.unknown(budget, item.program.size, measurement, item.test, known.plan.accept_stand_in)
    if not limits.conclusive(budget, measurement.latency):  # neither kept nor missed
        missed = tuple(reason for reason in missed if not reason.startswith("latency"))
    fits = False if missed else None if unknown else True
    return Row(
        role=item.role,
        target=target.name,
        precision=item.precision,
        size=item.program.size,
        artifact=item.artifact,
        measurement=measurement,
        score=_with_parity(item),
        fits=fits,
        missed=missed,
        notes=(*item.artifact.notes, *item.notes, *_disagreement(item)),
    )


def _with_parity(item: Item) -> Score | None:
    """The test score, with the parity that was checked on the whole validation part."""
    if item.test is None or item.validation is None:
        return item.test
    return item.test.model_copy(update={"parity": item.validation.parity})


def _disagreement(item: Item) -> tuple[str, ...]:
    """A teacher's file may differ from torch without stopping the build, but not without a word."""
    parity = item.validation.parity if item.validation else None
    return (f"differs from torch: {parity.why}",) if parity is not None and not parity.passed else ()


def _choose(known: Outlook, target: Target, rows: list[Row], items: Sequence[Item], winner: Role) -> Row:
    """The winner's file that ships: keeps its budgets on validation, loses little, is fastest, then smallest.

    A quantized file that is no faster than float ships only where it keeps a budget that float does not.
    """
    twin = _twin(items, winner)
    limit = _float_latency(items, winner)

    def verdict(row: Row) -> tuple[bool, bool, bool, bool]:
        item = _item(items, row)
        off = limits.accuracy(target.budget, item.validation, twin if row.precision != "float32" else None)
        over = (
            *limits.exact(target.budget, item.program.size),
            *limits.physical(target.budget, item.artifact.size, item.measurement.memory, _p90(item)),
        )
        lossy = target.precision == "auto" and _loses(target, item, twin) > LOSS
        return bool(off or over), bool(off), lossy, _pointless(item, limit)

    tried = known.tried(target)
    for i, row in enumerate(rows):
        if row.role == winner and _pointless(_item(items, row), limit) and limit is not None:
            rows[i] = row.model_copy(update={"notes": (*row.notes, f"{row.precision} is no faster than float here")})
    candidates = [row for row in rows if row.role == winner and row.precision in tried and _item(items, row).faithful]
    best = min(map(verdict, candidates))
    good = [row for row in candidates if verdict(row) == best]
    fastest = min(_quiet(_item(items, row)) for row in good)
    ties = [row for row in good if _quiet(_item(items, row)) <= fastest * (1 + TIE)]
    chosen = min(ties, key=lambda row: _item(items, row).artifact.size)
    loss = _loses(target, _item(items, chosen), twin)
    if target.precision != "auto" or loss <= LOSS:
        return chosen
    note = (
        f"{chosen.precision} loses {100 * loss:.1f} points on the validation part; it ships because no other precision "
        "keeps the budget"
    )
    rows[rows.index(chosen)] = chosen = chosen.model_copy(update={"notes": (*chosen.notes, note)})
    return chosen


def _p90(item: Item) -> float | None:
    return item.measurement.latency.p90_high if item.measurement.latency else None


def _quiet(item: Item) -> float:
    return item.measurement.latency.quiet if item.measurement.latency else 0.0


def _float_latency(items: Sequence[Item], role: Role) -> float | None:
    """The latency of a network's fastest faithful float file; None where nothing was timed."""
    timed = [i for i in items if i.role == role and i.precision in FLOATS and i.faithful and i.measurement.latency]
    return min(map(_quiet, timed), default=None)


def _pointless(item: Item, limit: float | None) -> bool:
    """Whether a file is quantized without being known to be faster than float for it."""
    return item.precision not in FLOATS and (limit is None or _quiet(item) > limit * (1 - TIE))


def _item(items: Sequence[Item], row: Row) -> Item:
    return next(item for item in items if item.role == row.role and item.precision == row.precision)


def _twin(items: Sequence[Item], role: Role) -> Score | None:
    """What the same network scores in float32 on validation."""
    return next((item.validation for item in items if item.role == role and item.precision == "float32"), None)


def _loses(target: Target, item: Item, twin: Score | None) -> float:
    """What a file loses on validation against float32; 0 where an accuracy budget says what is allowed."""
    budget = target.budget
    if any(limit is not None for limit in (budget.max_drop, budget.min_accuracy, budget.max_quantization_loss)):
        return 0.0
    if item.precision in FLOATS or item.validation is None or twin is None:
        return 0.0
    return twin.accuracy.value - item.validation.accuracy.value
