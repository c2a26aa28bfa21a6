"""From trained networks to judged files: convert, check parity, predict, measure, judge, and choose the precision."""

from collections.abc import Sequence

from edgekd.errors import EdgekdError
from edgekd.policies import limits, outputs
from edgekd.policies.files import Wanted, convert, reason
from edgekd.policies.known import PRICED, Known
from edgekd.results import Artifact, Measured, Measurement, Predictions, Program, Role, Row, Score
from edgekd.spec import FLOATS, Part, Precision, Target, Value
from edgekd.steps import Evaluate, Measure, Policy

ATTEMPTS = 2
TIE = 0.03  # latencies closer than this are equal: then the smaller file wins
LOSS = 0.005  # where no accuracy budget says otherwise, a quantized file that loses more does not ship by itself


class Networks(Value):
    """The programs of one round: student and control, and the teacher's where it can be exported (else why not)."""

    student: Program
    control: Program
    teacher: Program | None = None
    no_teacher: str = ""


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


def ship(known: Known, target: Target, networks: Networks, winner: Role) -> Policy[tuple[Row, ...]]:
    """Judge teacher, control and student on one target; the best precision of the `winner` ships."""
    items, notes = yield from _convert(known, target, networks, winner)
    if known.checkable(target):
        items = yield from _score(known, target, items)
    if known.runtime(target):
        items = yield from _measure(known, target, items)
    rows = [_row(known, target, items, item) for item in items]
    if not any(row.role == "teacher" for row in rows):
        rows.insert(0, (yield from _teacher_without_file(known, target, (*notes, networks.no_teacher))))
    chosen = _choose(known, target, rows, items, winner)
    order = {"teacher": 0, "teacher-int8": 1, "control": 2, "student": 3}
    rows = [row.model_copy(update={"ships": row is chosen}) for row in rows]
    return tuple(sorted(rows, key=lambda row: order[row.role]))


def _convert(
    known: Known, target: Target, networks: Networks, winner: Role
) -> Policy[tuple[list[Item], tuple[str, ...]]]:
    """The winner in every precision that may ship, the others in what tells most; float32 of each, to judge the rest.

    A file that is not asked for by name and cannot be made is no end: of the teacher's, the second value says why.
    """
    programs: dict[Role, Program] = {"control": networks.control, "student": networks.student}
    wanted = {
        role: Wanted(program=program, precisions=known.tried(target) if role == winner else known.priced(target))
        for role, program in programs.items()
    }
    if networks.teacher is not None:
        wanted["teacher"] = Wanted(program=networks.teacher, precisions=PRICED)
    made = yield from convert(target, known.splits, list(wanted.values()))
    items, notes = [], []
    for role, files in zip(wanted, made, strict=True):
        for precision, file in files.items():
            if isinstance(file, EdgekdError):
                if role != "teacher" and precision in ("float32", target.precision):
                    raise file
                notes += [f"the teacher has no {precision} file: {reason(file)}"] if role == "teacher" else []
                continue
            as_role: Role = "teacher-int8" if role == "teacher" and precision != "float32" else role
            items.append(Item(role=as_role, precision=precision, program=wanted[role].program, artifact=file))
    return items, tuple(notes)


def _score(known: Known, target: Target, items: Sequence[Item]) -> Policy[list[Item]]:
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
    scores: Sequence[Score] = yield [
        Evaluate(
            predictions=p,
            splits=known.splits,
            teacher=known.soft_targets.parts[p.part],
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
        faithful = parity is None or parity.passed or item.role not in ("student", "control")
        if not faithful and item.precision in ("float32", target.precision):
            assert parity is not None
            raise EdgekdError(
                f"{target.name} {item.precision} ({item.role}) does not compute what torch computes: {parity.why}. "
                "Nothing was shipped; try another precision or target, and report the network if it is a plain one"
            )
        kept.append(item.model_copy(update={"faithful": faithful}))
    return kept


def _measure(known: Known, target: Target, items: Sequence[Item]) -> Policy[list[Item]]:
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


def _row(known: Known, target: Target, items: Sequence[Item], item: Item) -> Row:
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
    unknown = limits.unknown(budget, measurement, item.test, known.plan.accept_stand_in)
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


def _teacher_without_file(known: Known, target: Target, why: Sequence[str]) -> Policy[Row]:
    """The teacher's row where it has no file: its own outputs are scored, nothing is timed."""
    own = Predictions(
        outputs=known.soft_targets.parts["test"], part="test", basis="reference", why="the teacher's own outputs"
    )
    (score,) = yield [Evaluate(predictions=own, splits=known.splits, metric=known.plan.data.metric)]
    reason = "; ".join(filter(None, why)) or "the teacher has no file for this target"
    return Row(
        role="teacher",
        target=target.name,
        precision="float32",
        size=known.teacher,
        measurement=Measurement(basis="not measured", why=reason, device=known.facts[target.device.name]),
        score=score,
        notes=(reason,),
    )


def _choose(known: Known, target: Target, rows: list[Row], items: Sequence[Item], winner: Role) -> Row:
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
