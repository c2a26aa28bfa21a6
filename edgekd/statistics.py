"""Intervals, quantiles and verdicts about repeated measurements, by seeded bootstrap in bounded memory.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (percentile intervals).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 2

Values = NDArray[np.float64]

# Weights of resampled samples are drawn in blocks of at most this many numbers (8 bytes each).
_BLOCK = 1 << 21
# Runs of one session that a bootstrap of quantiles looks at, and its rounds.
_RUNS, _ROUNDS = 512, 1000
# Sessions whose medians vary by more than this share of their mean are not one and the same measurement.
UNSTABLE = 0.10


@dataclass(frozen=True)
class Spread:
    """Quantiles of latencies in seconds over all sessions, and whether the sessions agree.

    `p90_high` is the one-sided upper 95 % bound of p90; `quiet`, the 5 % quantile, is what an undisturbed device needs;
    `variation` is the standard deviation of the sessions' medians over their mean.
    """

    p50: float
    p90: float
    p90_high: float
    p99: float
    quiet: float
    variation: float
    stable: bool
    why: str


def spread(sessions: Sequence[Values], seed: int = 0) -> Spread:
    """Summarize the latencies of several sessions; nothing is left out. Raises ValueError where there is none."""
    kept = [_finite(session) for session in sessions]
    if not kept:
        raise ValueError("there are no sessions")
    quiet, p50, p90, p99 = (float(q) for q in np.quantile(np.concatenate(kept), (0.05, 0.5, 0.9, 0.99)))
    variation = _variation(kept)
    stable = variation <= UNSTABLE
    why = f"the median varies by {100 * variation:.0f} % between sessions (at most {100 * UNSTABLE:.0f} % is stable)"
    return Spread(
        p50=p50,
        p90=p90,
        p90_high=max(p90, quantile_bound(kept, 0.9, seed)),
        p99=p99,
        quiet=quiet,
        variation=variation,
        stable=stable,
        why="" if stable else why,
    )


def quantile_bound(sessions: Sequence[Values], share: float, seed: int = 0) -> float:
    """One-sided upper 95 % bound of the `share` quantile, by a bootstrap over sessions, then over runs within each.

    Sessions are the larger source of variation: each is one process with its own memory layout and neighbours. Of a
    long session, evenly spaced runs stand for all.
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
        found.append(np.quantile(flat[runs[inside]], share))
    return float(np.quantile(found, 0.95))


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


def _resampled_means(values: Values, rounds: int, generator: np.random.Generator) -> Values:
    """Means of `rounds` resamples of values (K, N) with replacement along N, as (rounds, K); rows stay paired.

    Equal columns are counted once, so that the cost follows the number of different outcomes, not of samples.
    """
    columns, counts = np.unique(values, axis=1, return_counts=True)
    total = values.shape[1]
    shares = counts / total
    step = max(1, _BLOCK // columns.shape[1])
    blocks = [
        generator.multinomial(total, shares, size=min(step, rounds - start)) @ columns.T / total
        for start in range(0, rounds, step)
    ]
    return np.concatenate(blocks)


def _percentile_interval(value: float, resampled: Values) -> tuple[float, float, float]:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return value, min(float(low), value), max(float(high), value)


def mean_interval(values: Values, seed: int = 0, rounds: int = 2000) -> tuple[float, float, float]:
    """Mean of per-sample values (N,) and its 95 % bootstrap interval over samples: (value, low, high).

    Raises ValueError where there is no value, or one that is not finite.
    """
    flat = _finite(values)
    resampled = _resampled_means(flat[None], rounds, np.random.default_rng(seed))
    return _percentile_interval(float(flat.mean()), resampled[:, 0])


def paired_interval(
    first: Sequence[Values], second: Sequence[Values], seed: int = 0, rounds: int = 2000
) -> tuple[float, float, float]:
    """Mean of `first` minus mean of `second` and its 95 % bootstrap interval: (value, low, high).

    Each holds one array (N,) of per-sample values a training seed, over the same samples in the same order. Samples are
    resampled in pairs; seeds are resampled too (each side for itself: their networks were trained independently)
    where a side has more than one. Raises ValueError where shapes differ or a value is not finite.
    """
    one, two = np.stack([_finite(v) for v in first]), np.stack([_finite(v) for v in second])
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"paired values need the same samples: {one.shape[1]} and {two.shape[1]} were given")
    generator = np.random.default_rng(seed)
    means = _resampled_means(np.concatenate((one, two)), rounds, generator)
    sides = []
    for side in (means[:, : len(one)], means[:, len(one) :]):
        picked = generator.integers(0, side.shape[1], size=side.shape)
        centre, seeds = side.mean(axis=1), side.shape[1]
        # resampling n seeds shows only (n - 1) / n of their variance, which matters with three of them
        widen = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 1.0
        sides.append(centre + widen * (np.take_along_axis(side, picked, axis=1).mean(axis=1) - centre))
    return _percentile_interval(float(one.mean() - two.mean()), sides[0] - sides[1])


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
