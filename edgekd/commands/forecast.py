"""What a build will do, about how long it takes, and what will bind, as far as sizes alone can say."""

from collections.abc import Iterator

from edgekd.policies import limits, search
from edgekd.policies.known import Outlook
from edgekd.policies.measuring import certifies
from edgekd.spec import Value

# Seconds on one core of converting, and of measuring and scoring, one small file: cautious round figures.
CONVERTING, JUDGING = 8.0, 15.0
# Seconds that the reportable protocol and the soak take for one file, processes included.
REPORTABLE, SOAK = 80.0, 700.0
# Multiply-accumulates that one core infers in a second, for plain convolutions like most teachers': cautious.
LABELLING_RATE = 12e9


class Ahead(Value):
    """One kind of step that is ahead: how many of them, and about how many seconds on one core for all."""

    stage: str
    what: str
    count: int
    seconds: float


class Forecast(Value):
    """Steps in their order, seconds on this computer's cores, students that the exact limits leave, and what binds.

    `possible` is False where no student keeps the limits that are known without measuring; `nearest` then says what the
    smallest would keep.
    """

    steps: tuple[Ahead, ...]
    seconds: float
    students: int
    within: int
    binds: tuple[str, ...]
    possible: bool
    nearest: str = ""


def forecast(known: Outlook) -> Forecast:
    """Look ahead; nothing is trained."""
    within = [option for option in known.options if not limits.too_large(known, option)]
    largest = max((option.size.macs for option in within), default=0)
    steps = _steps(known, len(within), largest) if within else ()
    return Forecast(
        steps=steps,
        seconds=sum(step.seconds for step in steps) / known.cores,
        students=len(known.options),
        within=len(within),
        binds=_binds(known),
        possible=bool(within),
        nearest="" if within else search.nothing(known, known.options).nearest,
    )


def _steps(known: Outlook, within: int, largest: int) -> tuple[Ahead, ...]:
    """The steps after splitting and counting, each with an upper estimate for the largest student that is allowed."""
    plan, splits = known.plan, known.splits
    effort, samples = plan.effort, splits.parts["train"].count
    teacher = known.teacher.macs if known.teacher else 0
    files = sum(len(known.priced(target)) for target in plan.targets)
    full = limits.training_seconds(plan, samples, largest, effort.epochs)
    priced, runs = min(effort.candidates, within), 2 * effort.seeds
    racing = limits.training_seconds(plan, samples, largest, limits.race_epochs(effort)) if priced > 1 else 0.0
    others = sum(part.count for name, part in splits.parts.items() if name != "train")
    labelling = (effort.views * samples + others) * teacher / LABELLING_RATE
    shipped = files + sum(len(known.tried(target)) for target in plan.targets) + 2 * len(plan.targets)
    return (
        Ahead(stage="label", what=f"teacher outputs, {effort.views} views", count=1, seconds=labelling),
        Ahead(
            stage="convert",
            what="untrained students, priced in their runtime",
            count=priced * files,
            seconds=priced * files * CONVERTING,
        ),
        Ahead(
            stage="train",
            what=f"students that race, {' and '.join(map(str, limits.rungs(effort)))} epochs",
            count=min(priced, limits.RACING) if priced > 1 else 0,
            seconds=racing,
        ),
        *(
            Ahead(
                stage="train",
                what=f"trials of {epochs} epochs",
                count=count,
                seconds=count * limits.training_seconds(plan, samples, largest, epochs),
            )
            for count, epochs in limits.trial_rungs(effort)
        ),
        Ahead(stage="train", what=f"runs of {effort.epochs} epochs", count=runs, seconds=runs * full),
        Ahead(stage="measure", what="files converted, measured, scored", count=shipped, seconds=shipped * JUDGING),
        *_minutes(known, shipped),
    )


def _minutes(known: Outlook, shipped: int) -> Iterator[Ahead]:
    """What is timed for a minute and more: what ships beside the teacher, or every file."""
    bench, count, each = known.plan.bench, 0, REPORTABLE
    for target in known.runnable():
        wanted = certifies(bench, target.budget)
        count += 0 if wanted is None else 2 if wanted == "reportable" else 1
        each = SOAK if wanted == "soak" else each
    count = shipped if bench == "reportable" else count
    if count:
        seconds = count * each * known.cores  # on all of which nothing else runs
        yield Ahead(stage="measure", what="timed to certify the budget", count=count, seconds=seconds)


def _binds(known: Outlook) -> tuple[str, ...]:
    """In words: which limits leave out students already, and which are looked at only when files exist."""
    # "parameters: 12.3 k over 5 k" of each student is one limit, whatever the student's own number
    beyond = [{reason.partition(":")[0] for reason in limits.too_large(known, option)} for option in known.options]
    kinds = dict.fromkeys(kind for reasons in beyond for kind in sorted(reasons))
    told = [_over(sum(kind in reasons for reasons in beyond), kind) for kind in kinds]
    for target in known.plan.targets:
        budget, runs, where = target.budget, known.runtime(target), known.facts[target.device.name].name
        if budget.max_latency and not runs:
            told.append(f"{target.name} does not run on {where}: its latency budget cannot be judged (inconclusive)")
        elif budget.max_latency:
            told.append(f"{target.name}: latency is measured on {where} with untrained students, before training")
        if budget.size or budget.memory:
            told.append(f"{target.name}: size and memory are measured on files of untrained students, before training")
    return tuple(told)


def _over(count: int, limit: str) -> str:
    return f"{count} {'student is' if count == 1 else 'students are'} over the limit: {limit}"
