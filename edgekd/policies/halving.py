"""Which of the students that fit learns best? All learn a little, the better half learns on (successive halving,
Jamieson and Talwalkar, Non-stochastic best arm identification, 2016, https://arxiv.org/abs/1502.07943).

The last rung is the race's own first trial, so the student that is chosen is not trained for that twice; a rung
therefore starts anew rather than from the one before it, whose rates have run out.
"""

import math
from collections.abc import Mapping, Sequence

from edgekd.policies import limits
from edgekd.policies.contenders import contenders
from edgekd.policies.explore import used
from edgekd.policies.known import Known
from edgekd.policies.limits import FEW, RACING
from edgekd.policies.race import distil
from edgekd.results import Candidate, Trained
from edgekd.steps import Policy

NO_MARGIN: Mapping[str, float] = {}


def halve(
    known: Known, fitting: Sequence[Candidate], margin: Mapping[str, float] = NO_MARGIN
) -> Policy[list[Candidate]]:
    """Race candidates on the validation part; those that were trained come back with their accuracy, smallest first."""
    racing = entrants(known, fitting, margin)
    if len(racing) == 1:
        return racing
    first, last = limits.rungs(known.plan.effort)
    out: list[Candidate] = []
    if len(racing) > FEW and first < last and not known.plan.pareto:  # a front wants all to learn for equally long
        tried = yield from _train(known, racing, first)
        racing = _better_half(known, tried)
        out = [one for one in tried if one not in racing]
    found = yield from _train(known, racing, last)
    return sorted((*out, *found), key=lambda one: one.size.macs)


def entrants(known: Known, fitting: Sequence[Candidate], margin: Mapping[str, float] = NO_MARGIN) -> list[Candidate]:
    """At most RACING of those that fit: those that use most of the budget, and others of all sizes."""
    if len(fitting) <= RACING:
        return list(fitting)
    by_use = sorted(fitting, key=lambda one: (used(known, one, margin), one.size.macs), reverse=True)
    chosen = by_use[: RACING // 2]
    rest = sorted((one for one in fitting if one not in chosen), key=lambda one: one.size.macs)
    wanted = RACING - len(chosen)
    chosen += [rest[round(i * (len(rest) - 1) / (wanted - 1))] for i in range(wanted)]
    return sorted(chosen, key=lambda one: one.size.macs)


def noise(known: Known, judged: Sequence[Candidate]) -> float:
    """The standard error of the best accuracy on the validation part; of other metrics the one that Train found."""
    finest = max(judged, key=lambda one: known.gauge.good(one.validation_accuracy))
    if finest.validation_spread is not None:
        return finest.validation_spread
    best = finest.validation_accuracy or 0.0
    return math.sqrt(best * (1 - best) / known.splits.parts["validation"].labelled)


def _better_half(known: Known, tried: Sequence[Candidate]) -> list[Candidate]:
    """The better half, and the smallest that is no worse than the best but for noise: it may be what is wanted."""
    quality = known.gauge.good
    ranked = sorted(tried, key=lambda one: (-quality(one.validation_accuracy), one.size.macs))
    least = quality(ranked[0].validation_accuracy) - noise(known, tried)
    good = [one for one in tried if quality(one.validation_accuracy) >= least]
    kept = [*ranked[: math.ceil(len(ranked) / 2)], min(good, key=lambda one: one.size.macs)]
    return [one for one in tried if one in kept]


def _train(known: Known, racing: Sequence[Candidate], length: int) -> Policy[list[Candidate]]:
    """Train candidates for so many epochs with the teacher, and note their validation accuracy."""
    first = contenders(known)[0]
    trained: Sequence[Trained] = yield [
        distil(known, candidate.architecture, first, length, known.plan.seed) for candidate in racing
    ]
    return [
        one.model_copy(
            update={
                "validation_accuracy": told.checkpoints[0].validation_accuracy,
                "validation_spread": told.checkpoints[0].validation_spread,
                "epochs": length,
            }
        )
        for one, told in zip(racing, trained, strict=True)
    ]
