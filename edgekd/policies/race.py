"""Which recipe? Temperature and teacher weight, and the control's own rates, chosen on the validation part."""

from collections.abc import Sequence

from edgekd.policies.known import GROUND_TRUTH, Known, distillation, schedule
from edgekd.results import Checkpoint, Terms, Trained, Trial
from edgekd.spec import Architecture, Objective, Schedule, Value
from edgekd.steps import Policy, Train

# Share of the epochs and of the learning rate with which a trained network is trained on under fake quantization.
GENTLY = 0.1


class Raced(Value):
    """Checkpoints of all seeds, distilled and control, each with its own best settings, and every trial."""

    distilled: tuple[Checkpoint, ...]
    control: tuple[Checkpoint, ...]
    trials: tuple[Trial, ...]
    terms: Terms


def race(known: Known, network: Architecture) -> Policy[Raced]:
    """Try both grids briefly, then train the two winners fully, on every seed and for the same number of steps."""
    plan, effort = known.plan, known.plan.effort
    base = plan.schedule
    grid = [(base.learning_rate * rate, base.weight_decay * decay) for rate, decay in effort.control]
    brief: Sequence[Trained] = yield [
        *(distil(known, network, point, effort.trial_epochs, plan.seed) for point in effort.distill),
        *(control(known, network, rates, effort.trial_epochs, plan.seed) for rates in grid),
    ]
    found = [trained.checkpoints[0] for trained in brief]
    distilled, controls = found[: len(effort.distill)], found[len(effort.distill) :]
    best = effort.distill[_best(distilled)]
    rates = grid[_best(controls)]
    seeds = range(plan.seed, plan.seed + effort.seeds)
    full: Sequence[Trained] = yield [
        *(distil(known, network, best, effort.epochs, seed) for seed in seeds),
        *(control(known, network, rates, effort.epochs, seed) for seed in seeds),
    ]
    checkpoints = [trained.checkpoints[0] for trained in full]
    return Raced(
        distilled=tuple(checkpoints[: effort.seeds]),
        control=tuple(checkpoints[effort.seeds :]),
        trials=(
            *(
                _trial("distilled", ("temperature", "teacher_weight"), p, c)
                for p, c in zip(effort.distill, distilled, strict=True)
            ),
            *(_trial("control", ("learning_rate", "weight_decay"), p, c) for p, c in zip(grid, controls, strict=True)),
        ),
        terms=Terms(
            steps_distilled=checkpoints[0].steps,
            steps_control=checkpoints[-1].steps,
            trials_distilled=len(effort.distill),
            trials_control=len(grid),
            temperature=best[0],
            teacher_weight=best[1],
            learning_rate=base.learning_rate,
            weight_decay=base.weight_decay,
            control_learning_rate=rates[0],
            control_weight_decay=rates[1],
        ),
    )


def distil(known: Known, network: Architecture, point: tuple[float, float], epochs: int, seed: int) -> Train:
    """Train with the teacher at one (temperature, teacher_weight)."""
    return _train(known, network, distillation(*point), schedule(known.plan.schedule, epochs), seed, taught=True)


def control(known: Known, network: Architecture, rates: tuple[float, float], epochs: int, seed: int) -> Train:
    """Train from labels alone at one (learning rate, weight decay), for the same number of steps."""
    return _train(known, network, GROUND_TRUTH, schedule(known.plan.schedule, epochs, rates), seed, taught=False)


def again(known: Known, raced: Raced, network: Architecture, seed: int, taught: bool) -> Train:
    """Train another network just as the one that was chosen."""
    terms, epochs = raced.terms, known.plan.effort.epochs
    if taught:
        return distil(known, network, (terms.temperature, terms.teacher_weight), epochs, seed)
    return control(known, network, (terms.control_learning_rate, terms.control_weight_decay), epochs, seed)


def under_fake_quantization(known: Known, raced: Raced, trained: Checkpoint, taught: bool) -> Train:
    """Train a network on, briefly and gently, with the rounding of 8 bits in its forward pass."""
    terms, plan = raced.terms, known.plan
    rates = (
        (terms.learning_rate, terms.weight_decay)
        if taught
        else (terms.control_learning_rate, terms.control_weight_decay)
    )
    when = schedule(plan.schedule, max(1, round(GENTLY * plan.effort.epochs)), (GENTLY * rates[0], rates[1]))
    objectives = distillation(terms.temperature, terms.teacher_weight) if taught else GROUND_TRUTH
    step = _train(known, trained.architecture, objectives, when, trained.seed, taught)
    return step.model_copy(update={"init": (trained,), "fake_quant": True})


def _train(
    known: Known, network: Architecture, objectives: tuple[Objective, ...], when: Schedule, seed: int, taught: bool
) -> Train:
    return Train(
        networks=(network,),
        objectives=objectives,
        splits=known.splits,
        schedule=when,
        soft_targets=known.soft_targets if taught else None,
        views=known.soft_targets.views,
        view_seed=known.soft_targets.seed,
        augment=known.plan.augment,
        mirror=known.plan.mirror,
        metric=known.plan.data.metric,
        seed=seed,
    )


def _best(checkpoints: Sequence[Checkpoint]) -> int:
    """Index of the highest validation accuracy; the earlier one of equals."""
    return max(range(len(checkpoints)), key=lambda i: (checkpoints[i].validation_accuracy, -i))


def _trial(kind: str, names: tuple[str, str], point: tuple[float, float], checkpoint: Checkpoint) -> Trial:
    return Trial.model_validate(
        {
            "kind": kind,
            "settings": dict(zip(names, point, strict=True)),
            "validation_accuracy": checkpoint.validation_accuracy,
            "seconds": checkpoint.seconds,
            "steps": checkpoint.steps,
        }
    )
