"""Which untrained students are measured: some that fill the space of what students do, then those near the budget.

After the first wave each unmeasured student's latency, memory and file size are predicted from the measured ones
(stages/foretell.py); the next to be measured are those whose predicted share of the budget may lie in the last fifth.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, mean, median

import numpy as np
from numpy.typing import NDArray

from edgekd.policies import limits
from edgekd.policies.known import Outlook
from edgekd.policies.pricing import cheaper, judged, price
from edgekd.results import Candidate, Cost, Estimate, Estimated, Option, Predictor, Series, Work
from edgekd.spec import Target, Value
from edgekd.steps import Foretell, Policy

# Share of the measurements that go into the first wave, and how many are taken at once after it.
FIRST, AT_ONCE = 8 / 15, 2
# Shares of a budget: of what is looked for, and from which on a student is as large as it need be.
EDGE, USED = (0.8, 1.0), 0.85
# Where even the largest uses less than this share, there is no edge to look for.
IDLE = 0.2
# Of the measurements allowed, one in so many is to give a student that uses the budget.
ONE_IN = 5
# Fewer networks than these say nothing of a law.
LEAST = 4
# A latency is doubted that is longer than what the others say of it by more than this share of that.
DOUBTED = 0.3


class Explored(Value):
    """Students that were priced, smallest first, and how well the prices of each were predicted from the others."""

    priced: tuple[Candidate, ...] = ()
    predictors: tuple[Predictor, ...] = ()


def explore(
    known: Outlook, within: Sequence[Option], margin: Mapping[str, float], before: Sequence[Candidate] = ()
) -> Policy[Explored]:
    """Price at most the effort's number of students: a first wave, then the edge of what fits.

    A later round has what the first one priced, `before`: that is its first wave. Of what that left of the effort's
    number it takes half, AT_ONCE at least. Students that are not `within` any more still tell what others cost.
    """
    names, again = {_name(option) for option in within}, [judged(known, one, margin) for one in before]
    priced, gone = ([one for one in again if (_name(one) in names) == kept] for kept in (True, False))
    count = known.plan.effort.candidates
    end = len(priced) + max((count - len(before)) // 2, AT_ONCE) if before else count
    sure: set[str] = set()
    if not before:
        priced = yield from price(known, fill(within, _first(count)), margin)
        priced = yield from recheck(known, priced, margin, sure)
    while len(priced) < end and _bounded(known) and not _settled(known, priced, within, margin):
        picks = yield from _pick(known, priced, gone, within, margin)
        if not picks:
            break
        priced += yield from price(known, picks[: end - len(priced)], margin)
        priced = yield from recheck(known, priced, margin, sure)
    if not priced:  # and nothing to tell which of those left are worth it
        priced = yield from price(known, fill(within, AT_ONCE), margin)
    predictors = yield from _predictors([one for one in (*gone, *priced) if not one.fault])
    return Explored(priced=tuple(sorted(priced, key=lambda c: c.size.macs)), predictors=predictors)


def recheck(
    known: Outlook, priced: Sequence[Candidate], margin: Mapping[str, float], sure: set[str]
) -> Policy[list[Candidate]]:
    """Price once more those that take far longer than the others say: something else may have had the device meanwhile.

    `sure` gets the names of those that were; none is priced a third time.
    """
    good = [one for one in priced if not one.fault]
    series = tuple(one for one in _series(good) if one.cost == "latency") if len(good) > LEAST else ()
    if not series:
        return list(priced)
    (told,) = yield [_ask(good, series, ())]
    worst = [max(errors) for errors in zip(*(one.errors for one in told.estimates), strict=True)]
    doubted = [one for one, error in zip(good, worst, strict=True) if error > DOUBTED and _name(one) not in sure]
    if not doubted:
        return list(priced)
    sure.update(map(_name, doubted))
    options = [Option(architecture=one.architecture, size=one.size, work=one.work) for one in doubted]
    again = {_name(one): one for one in (yield from price(known, options, margin, attempt=1))}
    return [cheaper(known, one, again[_name(one)], margin) if _name(one) in again else one for one in priced]


def _pick(
    known: Outlook,
    priced: Sequence[Candidate],
    gone: Sequence[Candidate],
    within: Sequence[Option],
    margin: Mapping[str, float],
) -> Policy[list[Option]]:
    """Whom to measure next, by what was measured so far; none where nothing was, or is left."""
    seen, good = {_name(one) for one in priced}, [one for one in (*gone, *priced) if not one.fault]
    others = [option for option in within if _name(option) not in seen]
    if not others or not good:
        return []
    series = _series(good)
    (told,) = yield [_ask(good, series, others)]
    shares = _shares(known, good, series, told, len(others), margin)
    return _next(others, shares, [(used(known, one, margin), one.fits) for one in priced if not one.fault])


def fill(options: Sequence[Option], count: int) -> list[Option]:
    """At most `count` options: the largest, the smallest, and each next the farthest from all before it.

    Distances are between logarithms of what the networks do, each scaled by how much it varies (Kennard and Stone,
    Computer aided design of experiments, Technometrics 11, 1969). `options` are sorted by MACs.
    """
    if len(options) <= count:
        return list(options)
    picks, places = [len(options) - 1, 0][:count], _places(options)
    while len(picks) < count:
        gaps = np.min([np.linalg.norm(places - places[i], axis=1) for i in picks], axis=0)
        picks.append(int(np.argmax(gaps)))
    return [options[i] for i in sorted(set(picks))]


def work_of(one: Option | Candidate) -> Work:
    """What a network does; where nobody looked, all its products are taken for dense ones."""
    return one.work or Work(dense=one.size.macs, params=one.size.params, moved=4 * one.size.params)


def _first(count: int) -> int:
    return max(1, math.ceil(FIRST * count))


def _name(one: Option | Candidate) -> str:
    return one.architecture.model_dump_json()


def _places(options: Sequence[Option]) -> NDArray[np.float64]:
    """A point for each network, each coordinate of deviation one."""
    works = [work_of(option) for option in options]
    found = np.log1p([(w.dense, w.pointwise, w.depthwise, w.moved, w.params, sum(w.operators.values())) for w in works])
    deviation = found.std(0)
    return np.asarray(found[:, deviation > 0] / deviation[deviation > 0])


def _bounded(known: Outlook) -> bool:
    """Whether any limit is set that only a measured file can keep."""
    return any(_limits(target) for target in known.plan.targets)


def _limits(target: Target) -> dict[str, float]:
    budget = target.budget
    found = {"latency": budget.max_latency, "memory": budget.memory, "size": budget.size}
    return {cost: float(limit) for cost, limit in found.items() if limit is not None}


def used(known: Outlook, one: Candidate, margin: Mapping[str, float]) -> float:
    """The largest share of any budget that a student uses, its latency lengthened as it is where it is judged."""
    latency = {target: value * margin.get(target, 1.0) for target, value in one.latency.items()}
    return limits.used(known.plan, one.model_copy(update={"latency": latency}))


def _settled(
    known: Outlook, priced: Sequence[Candidate], within: Sequence[Option], margin: Mapping[str, float]
) -> bool:
    """Whether more measurements would change nothing: enough students that fit use the budget, or none comes near it,
    not even the largest."""
    near = [one for one in priced if one.fits and used(known, one, margin) >= USED]
    if len(near) >= max(1, known.plan.effort.candidates // ONE_IN):
        return True
    shares = {_name(one): used(known, one, margin) for one in priced if not one.fault}
    return _name(max(within, key=lambda o: o.size.macs)) in shares and max(shares.values()) < IDLE


def _series(priced: Sequence[Candidate]) -> tuple[Series, ...]:
    """Every cost that all priced students have, by target and precision."""
    found = []
    for cost in priced[0].costs:
        same = [_cost(one, cost.target, cost.precision) for one in priced]
        kinds: dict[str, list[float | None]] = {
            "latency": [one.quiet for one in same],
            "memory": [one.memory for one in same],  # none over the empty runtime's is none to fit a law on
            "size": [float(one.size) for one in same],
        }
        for kind, values in kinds.items():
            if all(values):
                told = {"target": cost.target, "precision": cost.precision, "cost": kind, "values": values}
                found.append(Series.model_validate(told))
    return tuple(found)


def _cost(one: Candidate, target: str, precision: str) -> Cost:
    return next(cost for cost in one.costs if (cost.target, cost.precision) == (target, precision))


def _ask(priced: Sequence[Candidate], series: tuple[Series, ...], others: Sequence[Option]) -> Foretell:
    return Foretell(measured=tuple(map(work_of, priced)), series=series, others=tuple(map(work_of, others)))


class Share(Value):
    """The share of its budgets that an unmeasured student is expected to use, and the deviation of its logarithm."""

    value: float
    spread: float

    def chance(self, low: float, high: float) -> float:
        """The probability that it lies between two shares."""
        normal = NormalDist(math.log(max(self.value, 1e-12)), max(self.spread, 1e-3))
        return normal.cdf(math.log(high)) - normal.cdf(math.log(low))

    def meets(self, low: float, high: float) -> bool:
        """Whether the 95 % interval meets these shares."""
        reach = math.exp(2 * self.spread)
        return self.value / reach <= high and self.value * reach >= low


def _shares(
    known: Outlook,
    priced: Sequence[Candidate],
    series: Sequence[Series],
    told: Estimated,
    count: int,
    margin: Mapping[str, float],
) -> list[Share]:
    """Of each unmeasured student: the worst target's best precision's largest share."""
    found = []
    for i in range(count):
        worst = Share(value=0.0, spread=0.0)
        for target in known.plan.targets:
            shares: dict[str, Share] = {}
            for one, estimate in zip(series, told.estimates, strict=True):
                limit = _limits(target).get(one.cost)
                if one.target != target.name or limit is None:
                    continue
                over = _ratio(priced, one) * margin.get(target.name, 1.0) if one.cost == "latency" else 1.0
                share = Share(value=estimate.values[i] * over / limit, spread=estimate.spread[i])
                shares[one.precision] = max(shares.get(one.precision, share), share, key=lambda s: s.value)
            if shares:
                worst = max(worst, min(shares.values(), key=lambda s: s.value), key=lambda s: s.value)
        found.append(worst)
    return found


def _ratio(priced: Sequence[Candidate], series: Series) -> float:
    """How much longer the upper bound of p90 is than the quiet latency, as a rule."""
    same = [_cost(one, series.target, series.precision) for one in priced]
    return median(cost.p90_high / cost.quiet for cost in same if cost.p90_high and cost.quiet)


def _next(others: Sequence[Option], shares: Sequence[Share], priced: Sequence[tuple[float, bool]]) -> list[Option]:
    """The students to measure next: likely at the edge of the budget, else the nearest to it from below.

    `priced` are the shares that measured students use, and whether they fit. Where nothing fits yet, the leanest: it
    fits, or what it costs is the nearest budget.
    """
    near = [i for i, share in enumerate(shares) if share.meets(*EDGE)]
    if near:
        # of students that are as likely there the larger one, which may learn more
        best = sorted(near, key=lambda i: (round(shares[i].chance(*EDGE), 1), others[i].size.macs), reverse=True)
        return [others[i] for i in best[:AT_ONCE]]
    fitting, least = [share for share, fits in priced if fits], min(range(len(shares)), key=lambda i: shares[i].value)
    if priced and not fitting:
        return [others[least]] if shares[least].value < min(share for share, _ in priced) else []
    between = [i for i, share in enumerate(shares) if max(fitting, default=0.0) < share.value < EDGE[0]]
    if between:
        return [others[max(between, key=lambda i: shares[i].value)]]
    return [] if priced else [others[least]]


def _predictors(priced: Sequence[Candidate]) -> Policy[tuple[Predictor, ...]]:
    """The errors of predicting each priced student from the others."""
    if len(priced) < LEAST:
        return ()
    series = _series(priced)
    (told,) = yield [_ask(priced, series, ())]
    return tuple(_predictor(one, estimate) for one, estimate in zip(series, told.estimates, strict=True))


def _predictor(series: Series, estimate: Estimate) -> Predictor:
    errors = [abs(error) for error in estimate.errors]
    return Predictor(
        target=series.target,
        precision=series.precision,
        cost=series.cost,
        students=len(errors),
        mean_error=mean(errors),
        worst_error=max(errors),
        within=sum(error <= 0.1 for error in errors) / len(errors),
    )
