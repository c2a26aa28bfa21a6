"""Intervals, quantiles and verdicts about repeated measurements, by seeded bootstrap in bounded memory.

Sources: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (percentile intervals);
Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 4 (widened for few groups).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 3

Values = NDArray[np.float64]
Groups = NDArray[np.int64]
# What is told of each resample, where counts (resamples, N) say how often each sample is in it; NaN: nothing can be.
Told = Callable[[NDArray[np.int64]], Values]

# Weights of resampled samples are drawn in blocks of at most this many numbers (8 bytes each).
_BLOCK = 1 << 21
# Runs of one session that a bootstrap of quantiles looks at, and its rounds.
_RUNS, _ROUNDS = 512, 1000
# Sessions whose medians vary by more than this share of their mean are not one and the same measurement, nor is one
# whose p90 is more than TAIL times its p50, whatever the medians are.
UNSTABLE, TAIL = 0.10, 2.0
# Quantiles that are told of latencies, and which of them is called quiet.
QUANTILES = {"quiet": 0.05, "p50": 0.5, "p90": 0.9, "p99": 0.99}
# Student's t at 0.95 and at 0.975 for 1, 2, ... degrees of freedom, then the normal distribution's.
T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
Z95, Z975 = 1.645, 1.960


@dataclass(frozen=True)
class Span:
    """A quantile of latencies in seconds, its 95 % interval, and its one-sided upper 95 % bound."""

    value: float
    low: float
    high: float
    most: float


@dataclass(frozen=True)
class Spread:
    """Quantiles of latencies in seconds over all sessions, by name, and whether the sessions agree.

    `quiet`, the 5 % quantile, is what an undisturbed device needs; `variation` is the standard deviation of the
    sessions' medians over their mean; `why` says why they are not `stable`.
    """

    spans: dict[str, Span]
    variation: float
    stable: bool
    why: str


def spread(sessions: Sequence[Values], seed: int = 0) -> Spread:
    """Summarize the latencies of several sessions; nothing is left out. Raises ValueError where there is none."""
    kept = [_finite(session) for session in sessions]
    if not kept:
        raise ValueError("there are no sessions")
    spans = dict(zip(QUANTILES, quantile_spans(kept, tuple(QUANTILES.values()), seed), strict=True))
    variation, tail = _variation(kept), spans["p90"].value / spans["p50"].value
    found = []
    if variation > UNSTABLE:
        found.append(
            f"the median varies by {100 * variation:.0f} % between sessions (at most {100 * UNSTABLE:.0f} % is stable)"
        )
    if tail > TAIL:
        found.append(f"p90 is {tail:.1f} times p50 (at most {TAIL:g} is stable)")
    return Spread(spans=spans, variation=variation, stable=not found, why="; ".join(found))


def quantile_spans(sessions: Sequence[Values], shares: Sequence[float], seed: int = 0) -> list[Span]:
    """Quantiles over all runs with intervals, by a bootstrap over sessions, then over runs within each.

    Sessions are the larger source of variation: each is one process with its own memory layout and neighbours. They
    are few, so the bootstrap's spread is widened to what Student's t allows. Of a long session, evenly spaced runs
    stand for all.
    """
    table = [session[np.linspace(0, len(session) - 1, min(len(session), _RUNS)).astype(int)] for session in sessions]
    lengths = np.array([len(session) for session in table])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    flat, width = np.concatenate(table), int(lengths.max())
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(_ROUNDS):
        picked = generator.integers(0, len(table), size=len(table))
        runs = (generator.random((len(table), width)) * lengths[picked, None]).astype(int) + starts[picked, None]
        inside = np.arange(width) < lengths[picked, None]
        found.append(np.quantile(flat[runs[inside]], shares))
    values = np.quantile(np.concatenate(list(sessions)), shares)
    rounds = np.array(found)
    return [_span(float(value), rounds[:, i], len(sessions)) for i, value in enumerate(values)]


def _span(value: float, resampled: Values, sessions: int) -> Span:
    """The interval of a quantile from its resamples, in logarithms, as wide as so many sessions allow."""
    if value <= 0:
        raise ValueError("latencies must be above zero")
    away = np.log(resampled / value)
    low, high, most = (float(q) for q in np.quantile(away, (0.025, 0.975, 0.95)))
    wide, one = widening(sessions, T975, Z975), widening(sessions, T95, Z95)
    return Span(
        value=value,
        low=value * math.exp(min(0.0, wide * low)),
        high=value * math.exp(max(0.0, wide * high)),
        most=value * math.exp(max(0.0, one * most)),
    )


def widening(groups: int, table: Sequence[float], normal: float) -> float:
    """By how much the spread of a bootstrap over so few groups is too narrow; of one group, as if there were two."""
    groups = max(2, groups)
    t = table[groups - 2] if groups - 2 < len(table) else normal
    return t / normal * math.sqrt(groups / (groups - 1))


def noise_floor(sessions: Sequence[Values], share: float) -> tuple[float, float, float]:
    """A/A: how many times the quantile of every second session is that of the others, and its 95 % interval.

    Both are one and the same artifact, so the truth is one. Student's t on logarithms of the sessions' quantiles, with
    the variance that both halves share. Raises ValueError for fewer than four sessions.
    """
    logs = [math.log(float(np.quantile(_finite(session), share))) for session in sessions]
    halves = [np.array(logs[0::2]), np.array(logs[1::2])]
    degrees = len(logs) - 2
    if degrees < 2:
        raise ValueError("two halves of two sessions each are the least")
    squares = sum(float(((half - half.mean()) ** 2).sum()) for half in halves)
    error = math.sqrt(squares / degrees * sum(1 / len(half) for half in halves))
    return _student(float(halves[1].mean() - halves[0].mean()), error, degrees)


def paired_ratio(first: Sequence[Values], second: Sequence[Values], share: float) -> tuple[float, float, float]:
    """How many times a quantile of `first` is that of `second`, and its 95 % interval: (value, low, high).

    The sessions of both were taken in turn, so each pair met the same device. Student's t on logarithms of the ratios.
    Raises ValueError where there are not two pairs.
    """
    pairs = list(zip(first, second, strict=True))
    if len(pairs) < 2:
        raise ValueError("two pairs of sessions are the least")
    logs = np.array(
        [math.log(float(np.quantile(_finite(a), share) / np.quantile(_finite(b), share))) for a, b in pairs]
    )
    return _student(float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(len(logs)), len(logs) - 1)


def _student(centre: float, error: float, degrees: int) -> tuple[float, float, float]:
    """Of a mean of logarithms and its standard error: (value, low, high) of the ratio."""
    reach = error * (T975[degrees - 1] if degrees <= len(T975) else Z975)
    return math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)


def reach(sessions: Sequence[Values], share: float = 0.9) -> tuple[float, float]:
    """Least and most that a further session's quantile may be, should it differ from these as much as they differ.

    From the lowest and the highest of the sessions' quantiles, each moved outwards by the ratio between the two.
    """
    found = [float(np.quantile(_finite(session), share)) for session in sessions]
    low, high = min(found), max(found)
    return low * low / high, high * high / low


def _variation(sessions: Sequence[Values]) -> float:
    """Coefficient of variation of the sessions' medians."""
    medians = np.array([np.median(session) for session in sessions])
    return float(medians.std(ddof=1) / medians.mean()) if len(medians) > 1 else 0.0


def _resampled_means(
    values: Values, rounds: int, generator: np.random.Generator, groups: Groups | None = None
) -> Values:
    """Means of `rounds` resamples of values (K, N) with replacement along N, as (rounds, K); rows stay paired.

    Equal columns are counted once, so that the cost follows the number of different outcomes, not of samples.
    """
    if groups is not None and len(np.unique(groups)) > 1:
        return _means_of_groups(values, rounds, generator, groups)
    columns, counts = np.unique(values, axis=1, return_counts=True)
    total = values.shape[1]
    shares = counts / total
    step = max(1, _BLOCK // columns.shape[1])
    blocks = [
        generator.multinomial(total, shares, size=min(step, rounds - start)) @ columns.T / total
        for start in range(0, rounds, step)
    ]
    return np.concatenate(blocks)


def _means_of_groups(values: Values, rounds: int, generator: np.random.Generator, groups: Groups) -> Values:
    """The same where whole groups (N,) are resampled, since their samples are alike; widened where groups are few.

    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    """
    names, member = np.unique(groups, return_inverse=True)
    sizes, sums = np.bincount(member), np.stack([np.bincount(member, weights=row) for row in values])
    step, count = max(1, _BLOCK // len(names)), len(names)
    blocks = []
    for start in range(0, rounds, step):
        picked = generator.multinomial(count, np.full(count, 1 / count), size=min(step, rounds - start))
        blocks.append(picked @ sums.T / (picked @ sizes)[:, None])
    centre: Values = values.mean(axis=1)
    return centre + widening(count, T975, Z975) * (np.concatenate(blocks) - centre)


def _percentile_interval(value: float, resampled: Values) -> tuple[float, float, float]:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return value, min(float(low), value), max(float(high), value)


def mean_interval(
    values: Values, seed: int = 0, rounds: int = 2000, groups: Groups | None = None
) -> tuple[float, float, float]:
    """Mean of per-sample values (N,) and its 95 % bootstrap interval over samples: (value, low, high).

    With `groups` (N,), who or what each sample is of, the interval is over whole groups. Raises ValueError where there
    is no value, or one that is not finite.
    """
    flat = _finite(values)
    resampled = _resampled_means(flat[None], rounds, np.random.default_rng(seed), groups)
    return _percentile_interval(float(flat.mean()), resampled[:, 0])


def paired_interval(
    first: Sequence[Values],
    second: Sequence[Values],
    seed: int = 0,
    rounds: int = 2000,
    groups: Groups | None = None,
) -> tuple[float, float, float]:
    """Mean of `first` minus mean of `second` and its 95 % bootstrap interval: (value, low, high).

    Each holds one array (N,) of per-sample values a training seed, over the same samples in the same order. Samples are
    resampled in pairs; seeds are resampled too (each side for itself: their networks were trained independently)
    where a side has more than one; with `groups` (N,) whole groups of samples are. Raises ValueError where shapes
    differ or a value is not finite.
    """
    one, two = np.stack([_finite(v) for v in first]), np.stack([_finite(v) for v in second])
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"paired values need the same samples: {one.shape[1]} and {two.shape[1]} were given")
    generator = np.random.default_rng(seed)
    means = _resampled_means(np.concatenate((one, two)), rounds, generator, groups)
    resampled = _difference(means[:, : len(one)], means[:, len(one) :], generator)
    return _percentile_interval(float(one.mean() - two.mean()), resampled)


def _difference(first: Values, second: Values, generator: np.random.Generator) -> Values:
    """Means of resampled seeds of one side (rounds, seeds) minus those of the other."""
    sides = []
    for side in (first, second):
        picked = generator.integers(0, side.shape[1], size=side.shape)
        centre, seeds = side.mean(axis=1), side.shape[1]
        # resampling n seeds shows only (n - 1) / n of their variance, which matters with three of them
        widen = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 1.0
        sides.append(centre + widen * (np.take_along_axis(side, picked, axis=1).mean(axis=1) - centre))
    gap: Values = sides[0] - sides[1]
    return gap


def told_interval(
    told: Told, count: int, seed: int = 0, rounds: int = 2000, groups: Groups | None = None
) -> tuple[float, float, float]:
    """A value of `count` samples that is no mean of theirs, and its 95 % bootstrap interval: (value, low, high).

    With `groups` (N,) whole groups are resampled. Raises ValueError where the value is not finite.
    """
    generator = np.random.default_rng(seed)
    value, resampled = _resampled([told], count, rounds, generator, groups)
    return _percentile_interval(float(value[0]), resampled[:, 0])


def told_gap(
    first: Sequence[Told],
    second: Sequence[Told],
    count: int,
    seed: int = 0,
    rounds: int = 2000,
    groups: Groups | None = None,
) -> tuple[float, float, float]:
    """Mean of `first` minus mean of `second`, each a value of the same samples for a training seed, and its interval.

    Resamples as `paired_interval` does: samples (or whole groups) in pairs, and the seeds of each side.
    """
    generator = np.random.default_rng(seed)
    values, resampled = _resampled([*first, *second], count, rounds, generator, groups)
    gap = float(values[: len(first)].mean() - values[len(first) :].mean())
    return _percentile_interval(gap, _difference(resampled[:, : len(first)], resampled[:, len(first) :], generator))


def standard_error(told: Told, count: int, rounds: int = 200, groups: Groups | None = None) -> float:
    """The standard deviation of a value over resamples of its samples. Source: Efron and Tibshirani, chapter 6."""
    _, resampled = _resampled([told], count, rounds, np.random.default_rng(0), groups)
    return float(resampled.std(ddof=1))


def _resampled(
    told: Sequence[Told], count: int, rounds: int, generator: np.random.Generator, groups: Groups | None
) -> tuple[Values, Values]:
    """The values themselves (K,), and those of resamples (rounds, K) that have all of them."""
    whole = np.ones((1, count), np.int64)
    values: Values = np.array([float(one(whole)[0]) for one in told])
    if not np.isfinite(values).all():
        raise ValueError("the metric has no value for these samples")
    blocks = [np.stack([one(counts) for one in told], axis=1) for counts in _counts(count, rounds, generator, groups)]
    found = np.concatenate(blocks)
    found = found[np.isfinite(found).all(axis=1)]
    if len(found) < rounds // 2:
        raise ValueError("too few samples: most resamples of them have no value")
    if groups is not None and len(np.unique(groups)) > 1:
        found = values + widening(len(np.unique(groups)), T975, Z975) * (found - values)
    return values, found


def _counts(
    count: int, rounds: int, generator: np.random.Generator, groups: Groups | None
) -> Iterator[NDArray[np.int64]]:
    """How often each sample (N,) is in each resample, in blocks (resamples, N)."""
    member = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    if member.max() == 0:  # one group alone cannot be resampled
        member = np.arange(count)
    drawn, step = int(member.max()) + 1, max(1, _BLOCK // count)
    for start in range(0, rounds, step):
        picked = generator.multinomial(drawn, np.full(drawn, 1 / drawn), size=min(step, rounds - start))
        yield picked[:, member]


def share_interval(successes: int, trials: int) -> tuple[float, float, float]:
    """Share of successes and its 95 % interval, which is honest also for few trials and for shares of 0 and 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    share, square = successes / trials, 1.959964**2 / trials
    centre = (share + square / 2) / (1 + square)
    reach = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return share, max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def sign_test(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Two-sided exact probability of so many more successes in one of two paired rows of trials, were both alike.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions", 1947, exact form.
    """
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * at_least(max(won, lost), won + lost, 0.5))


def at_least(successes: int, trials: int, chance: float) -> float:
    """Probability of at least so many successes in independent trials of one chance (binomial, exact)."""
    if successes <= 0:
        return 1.0
    if chance <= 0 or chance >= 1 or successes > trials:
        return float(chance >= 1 and successes <= trials)
    log_win, log_lose, all_ways = math.log(chance), math.log1p(-chance), math.lgamma(trials + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(
                all_ways - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_win + (trials - k) * log_lose
            )
            for k in range(successes, trials + 1)
        ),
    )


def _finite(values: Values) -> Values:
    """Values as a flat float64 array, refused where empty or not finite."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    if not flat.size:
        raise ValueError("there are no values to take a mean of")
    if not np.isfinite(flat).all():
        raise ValueError("values must be finite")
    return flat
