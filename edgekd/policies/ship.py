"""From trained networks to judged files: convert, check parity, predict, measure, judge, and choose the precision."""

from collections.abc import Sequence

from edgekd.errors import EdgekdError, StoreError, WorkerKilled
from edgekd.policies import limits, outputs
from edgekd.policies.known import Known, precisions
from edgekd.results import Artifact, Measured, Measurement, Predictions, Program, Role, Row, Score
from edgekd.spec import Part, Precision, Target, Value
from edgekd.steps import Convert, Evaluate, Measure, Policy

ATTEMPTS = 2
TIE = 0.03  # latencies closer than this are equal: then the smaller file wins
LOSS = 0.01  # where no accuracy budget says otherwise, an int8 file that loses more than this does not ship by itself


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


def ship(known: Known, target: Target, networks: Networks, winner: Role) -> Policy[tuple[Row, ...]]:
    """Judge teacher, control and student on one target; the best precision of the `winner` ships."""
    items = yield from _convert(known, target, networks)
    notes: tuple[str, ...] = ()
    if networks.teacher is not None:
        taught, notes = yield from _convert_teacher(known, target, networks.teacher)
        items += taught
    if known.runtime(target):
        items = yield from _score(known, target, items)
        items = yield from _measure(known, target, items)
    elif target.format in known.references:
        items = yield from _score(known, target, items)
    rows = [_row(known, target, items, item) for item in items]
    if not any(row.role == "teacher" for row in rows):
        rows.insert(0, (yield from _teacher_without_file(known, target, (*notes, networks.no_teacher))))
    chosen = _choose(rows, items, winner, target)
    order = {"teacher": 0, "teacher-int8": 1, "control": 2, "student": 3}
    rows = [row.model_copy(update={"ships": row is chosen}) for row in rows]
    return tuple(sorted(rows, key=lambda row: order[row.role]))


def _convert(known: Known, target: Target, networks: Networks) -> Policy[list[Item]]:
    """Student and control in every allowed precision, and in float32 where a loss by quantization is to be judged."""
    judged: tuple[Precision, ...] = ("float32",) if target.budget.max_quantization_loss is not None else ()
    wanted = tuple(dict.fromkeys((*precisions(target), *judged)))
    kinds: tuple[tuple[Role, Program], ...] = (("control", networks.control), ("student", networks.student))
    pairs = [(role, program, precision) for role, program in kinds for precision in wanted]
    artifacts: Sequence[Artifact] = yield [
        Convert(program=program, format=target.format, precision=precision, splits=known.splits)
        for _, program, precision in pairs
    ]
    return [
        Item(role=role, precision=precision, program=program, artifact=artifact)
        for (role, program, precision), artifact in zip(pairs, artifacts, strict=True)
    ]


def _convert_teacher(known: Known, target: Target, program: Program) -> Policy[tuple[list[Item], tuple[str, ...]]]:
    """The teacher in float32 and int8, each on its own: a file that cannot be made is a note, not the end."""
    wanted: tuple[tuple[Role, Precision], ...] = (("teacher", "float32"), ("teacher-int8", "int8"))
    items, notes = [], []
    for role, precision in wanted:
        try:
            (artifact,) = yield [
                Convert(program=program, format=target.format, precision=precision, splits=known.splits)
            ]
        except (WorkerKilled, StoreError):
            raise  # which says nothing about the teacher
        except EdgekdError as error:
            notes.append(f"the teacher has no {precision} file: {_first_line(error)}")
        else:
            items.append(Item(role=role, precision=precision, program=program, artifact=artifact))
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
    for item in scored:
        _gate(target, item)
    return scored


def _gate(target: Target, item: Item) -> None:
    """A file that does not compute what torch computed never leaves edgekd."""
    parity = item.validation.parity if item.validation else None
    if item.role in ("student", "control") and parity is not None and not parity.passed:
        raise EdgekdError(
            f"{target.name} {item.precision} ({item.role}) does not compute what torch computes: {parity.why}. "
            "Nothing was shipped; try another precision or target, and report the network if it is a plain one"
        )


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


def _choose(rows: list[Row], items: Sequence[Item], winner: Role, target: Target) -> Row:
    """The winner's file that ships: keeps its budgets on validation, loses little, is fastest, then smallest."""
    twin = _twin(items, winner)

    def verdict(row: Row) -> tuple[bool, bool, bool]:
        item = _item(items, row)
        off = limits.accuracy(target.budget, item.validation, twin if row.precision != "float32" else None)
        latency = item.measurement.latency
        over = (
            *limits.exact(target.budget, item.program.size),
            *limits.physical(
                target.budget, item.artifact.size, item.measurement.memory, latency.p90_high if latency else None
            ),
        )
        return bool(off or over), bool(off), target.precision == "auto" and _loses(target, item, twin) > LOSS

    def quiet(row: Row) -> float:
        latency = _item(items, row).measurement.latency
        return latency.quiet if latency else 0.0

    candidates = [row for row in rows if row.role == winner and row.precision in precisions(target)]
    best = min(map(verdict, candidates))
    good = [row for row in candidates if verdict(row) == best]
    fastest = min(map(quiet, good))
    ties = [row for row in good if quiet(row) <= fastest * (1 + TIE)]
    if not any(item.measurement.latency for item in items):
        chosen = next((row for row in ties if row.precision == "float32"), ties[0])
    else:
        chosen = min(ties, key=lambda row: _item(items, row).artifact.size)
    loss = _loses(target, _item(items, chosen), twin)
    if target.precision != "auto" or loss <= LOSS:
        return chosen
    note = f"int8 loses {100 * loss:.1f} points on the validation part; it ships because float32 misses the budget"
    rows[rows.index(chosen)] = chosen = chosen.model_copy(update={"notes": (*chosen.notes, note)})
    return chosen


def _item(items: Sequence[Item], row: Row) -> Item:
    return next(item for item in items if item.role == row.role and item.precision == row.precision)


def _twin(items: Sequence[Item], role: Role) -> Score | None:
    """What the same network scores in float32 on validation."""
    return next((item.validation for item in items if item.role == role and item.precision == "float32"), None)


def _loses(target: Target, item: Item, twin: Score | None) -> float:
    """What an int8 file loses on validation against float32; 0 where an accuracy budget says what is allowed."""
    budget = target.budget
    if any(limit is not None for limit in (budget.max_drop, budget.min_accuracy, budget.max_quantization_loss)):
        return 0.0
    if item.precision != "int8" or item.validation is None or twin is None:
        return 0.0
    return twin.accuracy.value - item.validation.accuracy.value


def _first_line(error: EdgekdError) -> str:
    return str(error).partition("\n")[0]
