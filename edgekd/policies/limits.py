"""Which limits something breaks, in words, and which limit keeps a student from being larger."""

import math

import numpy as np

from edgekd import units
from edgekd.policies.known import Outlook, tightest
from edgekd.results import Candidate, Latency, Measurement, Option, Profiled, Score, Size
from edgekd.spec import Budget, Effort, Plan
from edgekd.statistics import reach

# Multiply-accumulates that one core trains in a second, forward and backward, and seconds a sample beyond them. Fixed,
# cautious figures rather than measured ones: the same command must choose the same student on a busy day.
TRAINING_RATE = 8e9
PER_SAMPLE = 5e-5
# At most so many students race; of FEW or less, students or recipes, there is one rung. The first has a THIRD of the
# last one's epochs.
RACING, FEW, THIRD = 8, 3, 3
# Of --max-time, what training may take; the rest is for labelling, converting and measuring.
TRAINING_SHARE = 0.75


def training_seconds(plan: Plan, samples: int, macs: int, epochs: int) -> float:
    """An estimate of how long one run takes on one core."""
    return epochs * samples * (3 * macs / TRAINING_RATE + PER_SAMPLE)


def all_training(plan: Plan, samples: int, macs: int) -> float:
    """An estimate of all trainings of a build, on one core, were each candidate a student of so many MACs."""
    effort = plan.effort
    trials = sum(count * epochs for count, epochs in trial_rungs(effort))
    return training_seconds(plan, samples, macs, race_epochs(effort) + trials + 2 * effort.seeds * effort.epochs)


def trial_rungs(effort: Effort) -> tuple[tuple[int, int], ...]:
    """The rungs of the race of recipes: how many trainings, with and without a teacher, of how many epochs each."""
    each, (first, last) = len(effort.control), rungs(effort)
    if each <= FEW or first == last:
        return ((2 * each, last),)
    return ((2 * each, first), (2 * left(each), last))


def left(racing: int) -> int:
    """How many of so many recipes learn on: the best third, two at least."""
    return min(racing, max(2, math.ceil(racing / THIRD)))


def rungs(effort: Effort) -> tuple[int, int]:
    """Epochs of the first and of the last rung of the race between students."""
    return max(1, effort.trial_epochs // THIRD), effort.trial_epochs


def race_epochs(effort: Effort) -> int:
    """The epochs that all students of a race learn together, at most."""
    first, last = rungs(effort)
    racing = min(effort.candidates, RACING)
    if racing <= FEW:
        return racing * last
    return racing * first + (math.ceil(racing / 2) + 1) * last


def too_large(known: Outlook, option: Option) -> tuple[str, ...]:
    """The limits known without measuring that an untrained student breaks."""
    plan, size, budget = known.plan, option.size, tightest(known.plan)
    found = list(exact(budget, size))
    share, teacher = plan.teacher_share, known.teacher
    if teacher is not None and size.params > share * teacher.params:
        found.append(f"{100 * share:g} % of the teacher's parameters")
    if teacher is not None and size.macs > share * teacher.macs:
        found.append(f"{100 * share:g} % of the teacher's MACs")
    samples = known.splits.parts["train"].count
    if training_seconds(plan, samples, size.macs, plan.effort.epochs) > plan.effort.train_seconds:
        found.append(f"training time of effort {plan.effort.name}")
    if (
        plan.max_time is not None
        and all_training(plan, samples, size.macs) / known.cores > TRAINING_SHARE * plan.max_time
    ):
        found.append(f"training time of a build within --max-time {units.show_seconds(plan.max_time)}")
    return tuple(found)


def exact(budget: Budget, size: Size | None) -> tuple[str, ...]:
    """Limits on parameters and MACs that a network breaks; one whose size is not known breaks none."""
    found: list[str] = []
    if size is None:
        return ()
    if budget.max_params is not None and size.params > budget.max_params:
        found.append(f"parameters: {units.show_count(size.params)} over {units.show_count(budget.max_params)}")
    if budget.max_macs is not None and size.macs > budget.max_macs:
        found.append(f"MACs: {units.show_count(size.macs)} over {units.show_count(budget.max_macs)}")
    return tuple(found)


def physical(budget: Budget, size: int, memory: int | None, latency: float | None) -> tuple[str, ...]:
    """Limits on file size, memory and latency that a file breaks; what is None was not measured and breaks nothing."""
    found = []
    if budget.max_latency is not None and latency is not None and latency > budget.max_latency:
        found.append(f"latency: p90 {units.show_seconds(latency)} over {units.show_seconds(budget.max_latency)}")
    weighed = (
        ("size", size, budget.max_size),
        ("memory", memory, budget.max_memory),
        ("arena", memory, budget.max_arena),
        ("flash", size, budget.max_flash),
    )
    for name, value, limit in weighed:
        if limit is not None and value is not None and value > limit:
            found.append(f"{name}: {units.show_size(value)} over {units.show_size(limit)}")
    return tuple(found)


def used(plan: Plan, candidate: Candidate) -> float:
    """The largest share of any target's budget for latency, file size or memory that a priced candidate uses."""
    return max(
        share(
            target.budget,
            candidate.file_size.get(target.name),
            candidate.memory.get(target.name),
            candidate.latency.get(target.name),
        )
        for target in plan.targets
    )


def share(budget: Budget, size: int | None, memory: int | None, latency: float | None) -> float:
    """The largest share of its limits that a file uses; above one it breaks a limit."""
    pairs = ((latency, budget.max_latency), (size, budget.size), (memory, budget.memory))
    return max((cost / limit for cost, limit in pairs if cost and limit), default=0.0)


def accuracy(budget: Budget, score: Score | None, float_score: Score | None) -> tuple[str, ...]:
    """Limits on accuracy, drop against the teacher and loss by quantization that predictions break."""
    if score is None:
        return ()
    found, value, gauge = [], score.accuracy.value, score.gauge
    if budget.min_accuracy is not None and value < budget.min_accuracy:
        found.append(f"{gauge.name}: {gauge.show(value)} under {gauge.show(budget.min_accuracy)}")
    if budget.max_error is not None and value > budget.max_error:
        found.append(f"{gauge.name}: {gauge.show(value)} over {gauge.show(budget.max_error)}")
    if budget.max_drop is not None and score.lost is not None and score.lost > budget.max_drop:
        found.append(f"drop: {gauge.show_lost(score.lost)} over {gauge.show_lost(budget.max_drop)}")
    if budget.max_quantization_loss is not None and float_score is not None:
        loss = gauge.lost(value, float_score.accuracy.value)
        if loss > budget.max_quantization_loss:
            most = gauge.show_lost(budget.max_quantization_loss)
            found.append(f"quantization loss: {gauge.show_lost(loss)} over {most}")
    return tuple(found)


def fallback(budget: Budget, placement: Profiled | None) -> tuple[str, ...]:
    """Limits on operators, and on their time, off the kernels that one wants; what is not known breaks none."""
    limit = budget.max_fallback
    if limit is None or placement is None:
        return ()
    shares = ((placement.fallback, "operators"), (placement.fallback_time, "their time"))
    return tuple(
        f"fallback: {100 * share:.3g} % of {what} over {100 * limit:.3g} %"
        for share, what in shares
        if share is not None and share > limit
    )


def unplaced(budget: Budget, placement: Profiled | None) -> bool:
    """Whether a budget for fallback was asked for that no device has judged: documentation can only break it."""
    return budget.max_fallback is not None and (placement is None or placement.basis != "measured")


# Sessions below which an unstable latency proves nothing: how much sessions differ cannot be seen in fewer.
FEW = 4


def conclusive(budget: Budget, latency: Latency | None) -> bool:
    """Whether a latency can tell if its budget is kept: a stable one can, an unstable one only far from the budget."""
    if latency is None or latency.stable or budget.max_latency is None:
        return latency is not None
    if len(latency.sessions) < FEW:
        return False
    least, most = reach([np.asarray(session) for session in latency.sessions])
    return not least <= budget.max_latency < max(most, latency.bound)


def unknown(budget: Budget, size: Size | None, measurement: Measurement, score: Score | None, stand_in: bool) -> bool:
    """Whether a budget was asked for that could not be judged on this device; a stand-in may judge it if so told."""
    judges = ("measured", "stand-in") if stand_in else ("measured",)
    needs_score = (budget.min_accuracy, budget.max_drop, budget.max_quantization_loss, budget.max_error)
    return (
        (
            budget.max_latency is not None
            and (measurement.basis not in judges or not conclusive(budget, measurement.latency))
        )
        or (budget.memory is not None and measurement.memory is None)
        or (size is None and (budget.max_params, budget.max_macs) != (None, None))
        or (any(limit is not None for limit in needs_score) and score is None)
    )
