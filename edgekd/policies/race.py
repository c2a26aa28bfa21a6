"""Which recipe? Methods of distillation, and the control's own rates, race on the validation part.

All learn a little, the best third learns on (successive halving, Jamieson and Talwalkar, Non-stochastic best arm
identification, 2016, https://arxiv.org/abs/1502.07943), with a teacher and without one by the same rules, for the same
optimizer steps. A rung starts anew: the rates of the one before have run out. The two winners are trained on all seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.policies import limits
from edgekd.policies.contenders import TITLES, Contender, beyond_reach, contenders, left_out
from edgekd.policies.course import assisted, descended
from edgekd.policies.known import Known, ground_truth, schedule
from edgekd.results import Checkpoint, Compared, File, Gain, Lesson, Predictions, Terms, Trained, Trial
from edgekd.spec import Architecture, Objective, Schedule, Settings, Value
from edgekd.steps import Compare, Each, Policy, Train

# Share of the epochs and of the learning rate with which a trained network is trained on under fake quantization.
GENTLY = 0.1

Kind = Literal["distilled", "control"]


class Raced(Value):
    """Checkpoints of all seeds, distilled and control, each with its own best settings, and every trial.

    `lessons` are whole trainings on the scheme's way: assistants, peers, generations.
    """

    distilled: tuple[Checkpoint, ...]
    control: tuple[Checkpoint, ...]
    trials: tuple[Trial, ...]
    terms: Terms
    lessons: tuple[Lesson, ...] = ()


class Entrant(NamedTuple):
    """One that races: what is told of it, and its training for so many epochs with a seed."""

    kind: Kind
    method: str
    settings: Settings
    train: Callable[[int, int], Train]


class Tried(NamedTuple):
    """What one rung made of an entrant: its checkpoint, or why there is none."""

    entrant: Entrant
    epochs: int
    checkpoint: Checkpoint | None
    why: str = ""


def race(known: Known, network: Architecture) -> Policy[Raced]:
    """Let methods and rates race, then train the two winners fully, on every seed and for the same number of steps."""
    plan, effort, base = known.plan, known.plan.effort, known.plan.schedule
    found = contenders(known, network)

    def whole(known: Known, network: Architecture, seed: int) -> Train:
        return distil(known, network, found[0], effort.epochs, seed)

    helped = yield from assisted(known, network, whole)
    taught = helped.known
    left = [_distilled(taught, network, one) for one in found]
    # a recipe's own objectives meet a control that is tuned all the same
    grid = [(base.learning_rate * rate, base.weight_decay * decay) for rate, decay in effort.control]
    right = [_control(known, network, rates) for rates in (grid if plan.objectives else grid[: len(found)])]
    tried = yield from _rungs(known, left, right)
    best, rival = _best(known, tried, left), _best(known, tried, right)
    seeds = range(plan.seed, plan.seed + effort.seeds)
    full: Sequence[Trained] = yield [
        *(_together(known, best.train(effort.epochs, seed)) for seed in seeds),
        *(rival.train(effort.epochs, seed) for seed in seeds),
    ]
    peers, control = full[: effort.seeds], tuple(trained.checkpoints[0] for trained in full[effort.seeds :])
    chosen = found[left.index(best)]

    def like_it(known: Known, network: Architecture, seed: int) -> Train:
        return distil(known, network, chosen, effort.epochs, seed)

    line = yield from descended(taught, [_strongest(known, trained) for trained in peers], like_it)
    trials = (*(yield from _judged(known, tried)), *_left_out(known, network))
    return Raced(
        distilled=line.checkpoints,
        control=control,
        trials=trials,
        terms=_terms(known, chosen, line.checkpoints, control, trials, grid[right.index(rival)]),
        lessons=(*helped.lessons, *_of_peers(peers), *line.lessons),
    )


def _rungs(known: Known, left: Sequence[Entrant], right: Sequence[Entrant]) -> Policy[list[Tried]]:
    """Every training of the race, in the order of its rungs. Raises the failure of a side that failed as a whole.

    Where one side has a single entrant there is nothing to choose on it; few race over the last rung alone.
    """
    first, last = limits.rungs(known.plan.effort)
    racing, tried = [*left, *right], list[Tried]()
    if max(len(left), len(right)) > limits.FEW and first < last:
        tried = yield from _rung(known, racing, first)
        racing = [one for side in (left, right) for one in _better(known, tried, side)]
    tried += yield from _rung(known, racing, last)
    return tried


def _rung(known: Known, racing: Sequence[Entrant], epochs: int) -> Policy[list[Tried]]:
    """Train all for so many epochs. One that cannot be trained is told; a side on which none can fails the race."""
    answers: Sequence[Trained | EdgekdError] = yield Each(one.train(epochs, known.plan.seed) for one in racing)
    found = []
    for one, answer in zip(racing, answers, strict=True):
        if isinstance(answer, EdgekdError):
            alike = [told for other, told in zip(racing, answers, strict=True) if other.kind == one.kind]
            if all(isinstance(told, EdgekdError) for told in alike):
                raise answer
            found.append(Tried(one, epochs, None, str(answer).partition("\n")[0]))
        else:
            found.append(Tried(one, epochs, answer.checkpoints[0]))
    return found


def _better(known: Known, tried: Sequence[Tried], side: Sequence[Entrant]) -> list[Entrant]:
    """The best third of a side, the earlier ones of equals."""
    quality = {id(one.entrant): _quality(known, one) for one in tried if one.checkpoint}
    able = [one for one in side if id(one) in quality]
    ranked = sorted(able, key=lambda one: -quality[id(one)])
    return ranked[: limits.left(len(side))]


def _best(known: Known, tried: Sequence[Tried], side: Sequence[Entrant]) -> Entrant:
    """Who was best over the longest trial; the earlier one of equals."""
    longest = max(one.epochs for one in tried)
    of_side = [one for one in tried if one.checkpoint and one.epochs == longest and one.entrant.kind == side[0].kind]
    order = [id(one) for one in side]
    found = max(of_side, key=lambda one: (_quality(known, one), -order.index(id(one.entrant))))
    return found.entrant


def _quality(known: Known, one: Tried) -> float:
    """What a trial came to on the validation part, more of it the better."""
    return known.gauge.good(one.checkpoint.validation_accuracy if one.checkpoint else None)


def _distilled(known: Known, network: Architecture, one: Contender) -> Entrant:
    def train(epochs: int, seed: int) -> Train:
        return distil(known, network, one, epochs, seed)

    return Entrant("distilled", one.method, one.settings, train)


def _control(known: Known, network: Architecture, rates: tuple[float, float]) -> Entrant:
    def train(epochs: int, seed: int) -> Train:
        return control(known, network, rates, epochs, seed)

    return Entrant("control", "", dict(zip(("learning_rate", "weight_decay"), rates, strict=True)), train)


def distil(known: Known, network: Architecture, one: Contender, epochs: int, seed: int) -> Train:
    """Train with the teacher by one method."""
    return _train(known, network, one.objectives, schedule(known.plan.schedule, epochs), seed, True, one.live)


def control(known: Known, network: Architecture, rates: tuple[float, float], epochs: int, seed: int) -> Train:
    """Train from labels alone at one (learning rate, weight decay)."""
    return _train(known, network, ground_truth(known), schedule(known.plan.schedule, epochs, rates), seed, taught=False)


def _together(known: Known, step: Train) -> Train:
    """The training of as many peers as the scheme wants, together and by its loss, where it has one of its own."""
    scheme, peers = known.plan.scheme, known.course.get("peers", 1)
    if "loss" not in plugins.declared("schemes", scheme.name).offers:
        return step
    return step.model_copy(update={"networks": step.networks * peers, "scheme": scheme})


def _strongest(known: Known, trained: Trained) -> Checkpoint:
    """The peer that is best on the validation part; the first of equals."""
    return max(trained.checkpoints, key=lambda one: known.gauge.good(one.validation_accuracy))


def _of_peers(trained: Sequence[Trained]) -> tuple[Lesson, ...]:
    """What each peer came to, over the seeds."""
    if len(trained[0].checkpoints) == 1:
        return ()
    return tuple(
        Lesson(
            what="peer",
            validation=tuple(one.validation_accuracy for one in line),
            seconds=sum(one.seconds for one in line) / len(trained[0].checkpoints),
            steps=line[0].steps,
        )
        for line in zip(*(one.checkpoints for one in trained), strict=True)
    )


def again(known: Known, raced: Raced, network: Architecture, seed: int, taught: bool) -> Train:
    """Train another network just as the one that was chosen, but for the scheme."""
    terms = raced.terms
    when = schedule(known.plan.schedule, known.plan.effort.epochs, _rates(terms, taught))
    return _train(
        known, network, terms.objectives if taught else ground_truth(known), when, seed, taught, taught and terms.live
    )


def under_fake_quantization(known: Known, raced: Raced, trained: Checkpoint, taught: bool) -> Train:
    """Train a network on, briefly and gently, with the rounding of 8 bits in its forward pass."""
    step, (rate, decay) = again(known, raced, trained.architecture, trained.seed, taught), _rates(raced.terms, taught)
    epochs = max(1, round(GENTLY * known.plan.effort.epochs))
    when = schedule(known.plan.schedule, epochs, (GENTLY * rate, decay))
    return step.model_copy(update={"init": (trained,), "fake_quant": True, "schedule": when})


def _rates(terms: Terms, taught: bool) -> tuple[float, float]:
    """The learning rate and weight decay of a side."""
    if taught:
        return terms.learning_rate, terms.weight_decay
    return terms.control_learning_rate, terms.control_weight_decay


def _train(
    known: Known,
    network: Architecture,
    objectives: tuple[Objective, ...],
    when: Schedule,
    seed: int,
    taught: bool,
    live: bool = False,
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
        teacher=known.plan.teacher if live else None,
    )


def _judged(known: Known, tried: Sequence[Tried]) -> Policy[tuple[Trial, ...]]:
    """Every trial, the distilled ones against the best control after equally many epochs, paired by sample."""
    rivals = {epochs: _rival(known, tried, epochs) for epochs in {one.epochs for one in tried}}
    pairs = [(one, rivals[one.epochs]) for one in tried if one.entrant.kind == "distilled"]
    steps = [
        Compare(
            distilled=(_said(one.checkpoint),),
            control=(_said(rival),),
            splits=known.splits,
            metric=known.plan.data.metric,
        )
        for one, rival in pairs
        if one.checkpoint and rival and one.checkpoint.validation_outputs and rival.validation_outputs
    ]
    answers: Sequence[Compared] = (yield steps) if steps else ()
    gains = {step.distilled[0].outputs: answer.gain for step, answer in zip(steps, answers, strict=True)}
    return tuple(_trial(one, gains) for one in tried)


def _left_out(known: Known, network: Architecture) -> Iterator[Trial]:
    """Methods that did not race, and why."""
    why = beyond_reach(known, network)
    for one in left_out(known, network):
        yield Trial(
            kind="distilled",
            method=TITLES[one.method],
            settings=one.settings,
            epochs=0,
            validation_accuracy=None,
            seconds=0.0,
            why=why,
        )


def _rival(known: Known, tried: Sequence[Tried], epochs: int) -> Checkpoint | None:
    """The best control after so many epochs."""
    found = [one for one in tried if one.entrant.kind == "control" and one.epochs == epochs]
    return max(found, key=lambda one: _quality(known, one)).checkpoint if found else None


def _said(checkpoint: Checkpoint) -> Predictions:
    """What a trained network said of the validation part, as torch computed it."""
    assert checkpoint.validation_outputs is not None
    return Predictions(outputs=checkpoint.validation_outputs, part="validation", basis="reference", why="torch")


def _trial(one: Tried, gains: dict[File, Gain]) -> Trial:
    told, entrant = one.checkpoint, one.entrant
    gain = gains.get(told.validation_outputs) if told and told.validation_outputs else None
    return Trial(
        kind=entrant.kind,
        method=TITLES.get(entrant.method, ""),
        settings=entrant.settings,
        epochs=one.epochs,
        validation_accuracy=told.validation_accuracy if told else None,
        against_control=gain.difference if gain and entrant.kind == "distilled" else None,
        seconds=told.seconds if told else 0.0,
        steps=told.steps if told else 0,
        why=one.why,
    )


def _terms(
    known: Known,
    chosen: Contender,
    distilled: Sequence[Checkpoint],
    control: Sequence[Checkpoint],
    trials: Sequence[Trial],
    rates: tuple[float, float],
) -> Terms:
    sides = {kind: [one for one in trials if one.kind == kind and one.epochs] for kind in ("distilled", "control")}
    return Terms(
        steps_distilled=distilled[0].steps,
        steps_control=control[-1].steps,
        trials_distilled=len(sides["distilled"]),
        trials_control=len(sides["control"]),
        trial_steps_distilled=sum(one.steps for one in sides["distilled"]),
        trial_steps_control=sum(one.steps for one in sides["control"]),
        method=TITLES[chosen.method],
        settings=chosen.settings,
        objectives=chosen.objectives,
        live=chosen.live,
        teacher_seconds=sum(one.teacher_seconds for one in distilled),
        learning_rate=known.plan.schedule.learning_rate,
        weight_decay=known.plan.schedule.weight_decay,
        control_learning_rate=rates[0],
        control_weight_decay=rates[1],
    )
