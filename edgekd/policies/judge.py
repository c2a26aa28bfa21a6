"""Judging files: predict, hold them against torch and the teacher, time them, and choose the one that ships."""

from collections.abc import Mapping, Sequence

from edgekd.errors import EdgekdError
from edgekd.policies import limits, outputs
from edgekd.policies.blame import blame
from edgekd.policies.items import (
    LOSS,
    TIE,
    Item,
    float_latency,
    item_of,
    loses,
    p90,
    pointless,
    quiet,
    twin_score,
)
from edgekd.policies.known import Outlook
from edgekd.policies.measuring import certifies, first, measure
from edgekd.policies.places import place
from edgekd.policies.recover import Case, recover, too_lossy
from edgekd.results import File, Measurement, Predictions, Role, Row, Rung, Score
from edgekd.spec import CALIBRATED, Part, Target, Value
from edgekd.steps import Evaluate, Policy, Train

# Whose files must compute what torch computes; a teacher's may differ, and is told.
JUDGED: tuple[Role, ...] = ("student", "control", "model")


class Judged(Value):
    """A row for each file of a target, and what was tried to win back accuracy."""

    rows: tuple[Row, ...]
    rungs: tuple[Rung, ...] = ()


def judge(
    known: Outlook,
    target: Target,
    items: list[Item],
    teacher: Mapping[Part, File],
    winner: Role,
    train: Train | None = None,
) -> Policy[Judged]:
    """Judge all files of a target; the best precision of the `winner` ships.

    `teacher` are outputs that drops are counted from; without them they count from the same network's float32 file.
    `train` is how the winner is trained under fake quantization, should that be needed. Raises EdgekdError for a file
    that does not compute what torch computed.
    """
    if known.checkable(target):
        items = yield from _score(known, target, items, teacher)
    if known.runtime(target):
        items = yield from measure(known, target, items, first(known.plan.bench))
    rungs: tuple[Rung, ...] = ()
    lossy = _to_recover(known, target, items, winner)
    if lossy is not None:
        items, rungs = yield from _recovered(known, target, items, lossy, teacher, train)
    items = yield from place(known, target, items, winner)
    items = yield from _certified(known, target, items, winner)
    rows, chosen = _choose(known, target, items, winner)
    return Judged(rows=tuple(row.model_copy(update={"ships": row is chosen}) for row in rows), rungs=rungs)


def _to_recover(known: Outlook, target: Target, items: Sequence[Item], winner: Role) -> Item | None:
    """The quantized file whose accuracy is worth winning back: the one asked for, or the fastest that would ship."""
    twin = next((i for i in items if i.role == winner and i.precision == "float32"), None)
    lossy = [i for i in items if i.role == winner and i.precision in CALIBRATED and twin and too_lossy(target, i, twin)]
    if target.precision != "auto":
        return next((item for item in lossy if item.precision == target.precision), None)
    _, chosen = _choose(known, target, items, winner)
    shipped = item_of(items, chosen)
    faster = [i for i in lossy if i.measurement.latency and quiet(i) < quiet(shipped) * (1 - TIE)]
    return min(faster, key=quiet, default=None)


def _recovered(
    known: Outlook,
    target: Target,
    items: list[Item],
    lossy: Item,
    teacher: Mapping[Part, File],
    train: Train | None,
) -> Policy[tuple[list[Item], tuple[Rung, ...]]]:
    """The items, the lossy one replaced by one that keeps its accuracy if there is any, and all that was tried."""
    twin = next(item for item in items if item.role == lossy.role and item.precision == "float32")
    against = teacher.get("validation")
    if against is None:
        (own,) = yield [outputs.ask(known, target, twin.artifact, "validation")]
        against = own.outputs
    found = yield from recover(Case(known=known, target=target, item=lossy, twin=twin, teacher=against, train=train))
    if found.item is None:
        return items, found.rungs
    items = [found.item if item is lossy else item for item in items]
    items = yield from _score(known, target, items, teacher)
    if known.runtime(target):
        items = yield from measure(known, target, items, first(known.plan.bench))
    return items, found.rungs


def _certified(known: Outlook, target: Target, items: list[Item], winner: Role) -> Policy[list[Item]]:
    """Time what ships as its budget asks for, beside the teacher; if that changes what ships, again."""
    wanted = certifies(known.plan.bench, target.budget)
    if wanted is None or not known.runtime(target):
        return items
    for _ in items:
        _, chosen = _choose(known, target, items, winner)
        item = item_of(items, chosen)
        if item.measurement.latency is None or item.measurement.latency.protocol == wanted:
            break
        beside = [i for i in items if (i.role, i.precision) == ("teacher", "float32") and wanted == "reportable"]
        timed = yield from measure(known, target, [item, *beside], wanted, decisive=1)
        # the files were chosen among by measurements that were taken in turn: these stay what they are compared by
        before = {(one.role, one.precision): one.compared or one.measurement for one in items}
        found = {
            (one.role, one.precision): one.model_copy(update={"compared": before[one.role, one.precision]})
            for one in timed
        }
        items = [found.get((one.role, one.precision), one) for one in items]
    return items


def _score(known: Outlook, target: Target, items: Sequence[Item], teacher: Mapping[Part, File]) -> Policy[list[Item]]:
    """Predict validation and test; validation is judged against torch (parity), both against the teacher.

    An item whose outputs nothing here can work out keeps no score, and a note says why.
    """
    parts: tuple[Part, ...] = ("validation", "test")
    predictions: Sequence[Predictions] = yield [
        outputs.ask(known, target, item.artifact, part) for item in items for part in parts
    ]
    pairs = list(zip(predictions[::2], predictions[1::2], strict=True))
    told = [
        item.model_copy(update={"notes": tuple(dict.fromkeys((*item.notes, *outputs.basis(pair))))})
        for item, pair in zip(items, pairs, strict=True)
    ]
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
    return (yield from _gate(known, target, scored))


def _gate(known: Outlook, target: Target, items: Sequence[Item]) -> Policy[list[Item]]:
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
            blamed = yield from blame(known, target, item.program, item.artifact)
            advice = blamed or "Try another precision or target, and report the network if it is a plain one"
            raise EdgekdError(
                f"{target.name} {item.precision} ({item.role}) does not compute what torch computes: {parity.why}. "
                f"Nothing was shipped. {advice}"
            )
        kept.append(item.model_copy(update={"faithful": faithful}))
    return kept


def _row(known: Outlook, target: Target, items: Sequence[Item], item: Item) -> Row:
    """Judge one file against the target's budget."""
    measurement, budget = item.measurement, target.budget
    if not known.runtime(target):
        why = f"{target.format} does not run on {known.facts[target.device.name].name}"
        measurement = Measurement(basis="not measured", why=why, device=known.facts[target.device.name])
    twin = next((i.test for i in items if i.role == item.role and i.precision == "float32"), None)
    latency = measurement.latency.bound if measurement.latency else None
    missed = (
        *(() if item.faithful else ("it does not compute what torch computes",)),
        *limits.exact(budget, item.program.size),
        *limits.physical(budget, item.artifact.size, measurement.memory, latency),
        *limits.accuracy(budget, item.test, twin if item.precision != "float32" else None),
        *limits.fallback(budget, item.placement),
    )
    unknown = limits.unknown(budget, item.program.size, measurement, item.test, known.plan.accept_stand_in)
    unknown = unknown or limits.unplaced(budget, item.placement)
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
        placement=item.placement,
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


def _choose(known: Outlook, target: Target, items: Sequence[Item], winner: Role) -> tuple[list[Row], Row]:
    """All rows, and that of the winner's file that ships: keeps its budgets on validation, loses little, is fastest,
    then smallest.

    A quantized file that is no faster than float ships only where it keeps a budget that float does not.
    """
    rows = [_row(known, target, items, item) for item in items]
    twin = twin_score(items, winner)
    limit = float_latency(items, winner)

    def verdict(row: Row) -> tuple[bool, bool, bool, bool]:
        item = item_of(items, row)
        off = limits.accuracy(target.budget, item.validation, twin if row.precision != "float32" else None)
        over = (
            *limits.exact(target.budget, item.program.size),
            *limits.physical(target.budget, item.artifact.size, item.measurement.memory, p90(item)),
            *limits.fallback(target.budget, item.placement),
        )
        lossy = target.precision == "auto" and loses(target, item, twin) > LOSS
        return bool(off or over), bool(off), lossy, pointless(item, limit)

    tried = known.tried(target)
    for i, row in enumerate(rows):
        if row.role == winner and pointless(item_of(items, row), limit) and limit is not None:
            rows[i] = row.model_copy(update={"notes": (*row.notes, f"{row.precision} is no faster than float here")})
    candidates = [row for row in rows if row.role == winner and row.precision in tried and item_of(items, row).faithful]
    best = min(map(verdict, candidates))
    good = [row for row in candidates if verdict(row) == best]
    fastest = min(quiet(item_of(items, row)) for row in good)
    ties = [row for row in good if quiet(item_of(items, row)) <= fastest * (1 + TIE)]
    chosen = min(ties, key=lambda row: item_of(items, row).artifact.size)
    loss = loses(target, item_of(items, chosen), twin)
    if target.precision != "auto" or loss <= LOSS:
        return rows, chosen
    note = (
        f"{chosen.precision} loses {_told(known, loss)} on the validation part; it ships because no other precision "
        "keeps the budget"
    )
    rows[rows.index(chosen)] = chosen = chosen.model_copy(update={"notes": (*chosen.notes, note)})
    return rows, chosen


def _told(known: Outlook, loss: float) -> str:
    return f"{100 * loss:.1f} points" if known.gauge.share else known.gauge.show_lost(loss)
