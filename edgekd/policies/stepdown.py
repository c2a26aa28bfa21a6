"""The whole choice: size, recipe, files; and again, smaller, where the file that ships misses its budget."""

from collections.abc import Sequence
from statistics import mean

from edgekd.errors import EdgekdError, StoreError, WorkerKilled
from edgekd.gauge import ACCURACY, Gauge
from edgekd.policies import limits
from edgekd.policies.files import Wanted, all_of, convert
from edgekd.policies.known import Known
from edgekd.policies.race import Raced, race, under_fake_quantization
from edgekd.policies.search import Sized, Tighter, search
from edgekd.policies.ship import Networks, ship
from edgekd.results import Candidate, Checkpoint, Compared, Gain, Program, Role, Row, Rung
from edgekd.spec import Target, Value
from edgekd.steps import Compare, Export, Policy, Predict

ROUNDS = 3


class Outcome(Value):
    """What a build found: sizes, recipes, all rows of all targets, who ships, and what the teacher added.

    `rungs` are the attempts to win back what quantization cost.
    """

    sized: Sized
    raced: Raced | None = None
    rows: tuple[Row, ...] = ()
    rungs: tuple[Rung, ...] = ()
    winner: Role = "student"
    gain: Gain | None = None
    gauge: Gauge = ACCURACY
    rounds: int = 1


def choose(known: Known) -> Policy[Outcome]:
    """Search, race and ship; step down while a measured file misses latency, size or memory."""
    outcome, tighter = Outcome(sized=Sized()), Tighter()
    for turn in range(1, ROUNDS + 1):
        sized = yield from search(known, tighter)
        if sized.chosen is None:
            return _without_smaller(outcome, sized) if outcome.rows else Outcome(sized=sized, rounds=turn)
        raced = yield from race(known, sized.chosen.architecture)
        outcome = yield from _judge(known, sized, raced, turn)
        shipped = [row for row in outcome.rows if row.ships]
        if max((_share(known, row) for row in shipped), default=0.0) <= 1:
            break
        tighter = _tighter(known, tighter, sized.chosen, shipped)
    return (yield from _with_a_larger_student(known, outcome))


def member(known: Known, outcome: Outcome, candidate: Candidate) -> Policy[Outcome]:
    """The whole choice for one student of the front, told with all candidates of the build that found it."""
    alone = [option for option in known.options if option.architecture == candidate.architecture]
    found = yield from choose(known.model_copy(update={"options": tuple(alone)}))
    binds = "nothing: it is one of several students of the front"
    sized = outcome.sized.model_copy(update={"chosen": candidate, "binds": binds})
    return found.model_copy(update={"sized": sized})


def _tighter(known: Known, before: Tighter, chosen: Candidate, shipped: Sequence[Row]) -> Tighter:
    """What the rows that missed teach: how much longer latencies are than priced; else to stay below so many MACs."""
    margin, below = dict(before.margin), before.below
    for row in shipped:
        over = _share(known, row)
        if over <= 1:
            continue
        name, timed = row.target, row.measurement.latency
        priced = [cost.p90_high for cost in chosen.costs if (cost.target, cost.precision) == (name, row.precision)]
        if timed and priced and priced[0] and timed.p90_high > priced[0] * margin.get(name, 1.0):
            margin[name] = timed.p90_high / priced[0]
        else:
            below = int(chosen.size.macs / over)
    return Tighter(without=(*before.without, chosen.architecture.model_dump_json()), below=below, margin=margin)


def _with_a_larger_student(known: Known, outcome: Outcome) -> Policy[Outcome]:
    """The last rung, where a quantized file still misses its accuracy: the next larger student that fits, if any.

    It is kept only if its own file then keeps what the smaller one's did not.
    """
    chosen, shipped = outcome.sized.chosen, [row for row in outcome.rows if row.ships]
    failed = {rung.target for rung in outcome.rungs} - {rung.target for rung in outcome.rungs if rung.kept}
    starved = [row for row in shipped if row.target in failed and row.fits is False]
    larger = [c for c in outcome.sized.candidates if c.fits and chosen and c.size.macs > chosen.size.macs]
    if not starved or not larger:
        return outcome
    sized = outcome.sized.model_copy(update={"chosen": min(larger, key=lambda c: c.size.macs)})
    assert sized.chosen is not None
    raced = yield from race(known, sized.chosen.architecture)
    found = yield from _judge(known, sized, raced, outcome.rounds)
    better = [row for row in found.rows if row.ships and row.target in {one.target for one in starved}]
    kept = all(row.fits is not False for row in found.rows if row.ships)
    rungs = (*outcome.rungs, *found.rungs, *(_as_rung(row, kept) for row in better))
    return (found if kept else outcome).model_copy(update={"rungs": rungs})


def _as_rung(row: Row, kept: bool) -> Rung:
    """The record of a larger student on one target."""
    return Rung(
        target=row.target,
        precision=row.precision,
        name="a larger student",
        drop=row.score.drop if row.score else None,
        latency=row.measurement.latency.p90 if row.measurement.latency else None,
        size=row.artifact.size if row.artifact else None,
        kept=kept,
        why="" if kept else "; ".join(row.missed) or "another target misses its budget then",
        entries=(row.artifact.file.entry,) if row.artifact else (),
    )


def _without_smaller(outcome: Outcome, last: Sized) -> Outcome:
    """The last judged round, with what was found of smaller students that do not fit either."""
    seen = {candidate.architecture.model_dump_json() for candidate in outcome.sized.candidates}
    more = (c for c in last.candidates if c.architecture.model_dump_json() not in seen)
    candidates = sorted((*outcome.sized.candidates, *more), key=lambda c: c.size.macs)
    sized = outcome.sized.model_copy(update={"candidates": tuple(candidates), "nearest": last.nearest})
    return outcome.model_copy(update={"sized": sized})


def _share(known: Known, row: Row) -> float:
    """The largest share of its target's budget that a measured file uses."""
    budget = next(target.budget for target in known.plan.targets if target.name == row.target)
    timed = row.measurement.latency
    latency = timed.bound if timed and limits.conclusive(budget, timed) else None
    return limits.share(budget, row.artifact.size if row.artifact else None, row.measurement.memory, latency)


def _judge(known: Known, sized: Sized, raced: Raced, turn: int) -> Policy[Outcome]:
    """Export the best seeds of both, judge them on every target, and say what the teacher added."""
    taught, alone = (mean(c.validation_accuracy for c in seeds) for seeds in (raced.distilled, raced.control))
    helped = known.gauge.good(taught) > known.gauge.good(alone)
    winner: Role = "student" if helped else "control"
    student, control = yield [
        Export(source=_best(known, raced.distilled), splits=known.splits),
        Export(source=_best(known, raced.control), splits=known.splits),
    ]
    teacher, why = yield from _export_teacher(known)
    finest = _best(known, raced.distilled if helped else raced.control)
    train = under_fake_quantization(known, raced, finest, taught=helped)
    networks = Networks(student=student, control=control, teacher=teacher, no_teacher=why, train=train)
    rows: list[Row] = []
    rungs: list[Rung] = []
    for target in known.plan.targets:
        judged = yield from ship(known, target, networks, winner)
        rows += judged.rows
        rungs += judged.rungs
    gain = yield from _gain(known, raced)
    return Outcome(
        sized=sized,
        raced=raced,
        rows=tuple(rows),
        rungs=tuple(rungs),
        winner=winner,
        gain=gain,
        gauge=known.gauge,
        rounds=turn,
    )


def _export_teacher(known: Known) -> Policy[tuple[Program | None, str]]:
    """The teacher's program, or the reason why it has none."""
    if known.no_teacher:
        return None, known.no_teacher
    try:
        (program,) = yield [Export(source=known.plan.teacher, splits=known.splits)]
    except (WorkerKilled, StoreError):
        raise  # which says nothing about the teacher
    except EdgekdError as error:
        return None, str(error).partition("\n")[0]
    return program, ""


def _gain(known: Known, raced: Raced) -> Policy[Gain | None]:
    """Distilled against control over all seeds, on the test part, as float32 files in a real runtime."""
    target = _judge_target(known)
    if target is None:
        return None
    both = (*raced.distilled, *raced.control)
    programs = yield [Export(source=checkpoint, splits=known.splits) for checkpoint in both]
    made = yield from convert(known, target, [Wanted(program=program, precisions=()) for program in programs])
    artifacts = all_of(made, ("float32",))
    predictions = yield [
        Predict(
            artifact=artifact,
            splits=known.splits,
            part="test",
            device=target.device,
            fingerprint=known.facts[target.device.name].fingerprint,
            runtime=known.runtime(target),
        )
        for artifact in artifacts
    ]
    seeds = len(raced.distilled)
    answer: tuple[Compared] = yield [
        Compare(
            distilled=predictions[:seeds],
            control=predictions[seeds:],
            splits=known.splits,
            metric=known.plan.data.metric,
        )
    ]
    return answer[0].gain


def _judge_target(known: Known) -> Target | None:
    """The first target that runs here; where none does, ONNX on this computer if its runtime is installed."""
    runnable = known.runnable()
    if runnable:
        return runnable[0]
    onnx = Target(name="onnx", format="onnx", device=known.plan.targets[0].device)
    return onnx if known.runtime(onnx) else None


def _best(known: Known, checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The seed that is best on the validation part."""
    return max(checkpoints, key=lambda c: (known.gauge.good(c.validation_accuracy), -c.seed))
