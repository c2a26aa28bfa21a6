"""Is a network as sure as it is right? Expected calibration error with its interval.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2,
https://arxiv.org/abs/1706.04599
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.conditions import Interval
from edgekd.kept import Bin, Calibration

BINS = 15
ROUNDS = 1000

Values = NDArray[np.float64]


def probabilities(outputs: NDArray[Any]) -> Values:
    """Softmax of logits (N, classes) as float64."""
    shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
    powers: Values = np.exp(shifted)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def calibration(outputs: NDArray[Any], labels: NDArray[np.int64], seed: int = 0) -> Calibration:
    """How far the confidence of logits (N, classes) is from their accuracy on labels (N,), none of them below zero.

    Confidence is the highest probability; the bins are (0, 1/15], (1/15, 2/15], ... Raises ValueError of no sample.
    """
    if not len(labels):
        raise ValueError("calibration needs a labelled sample")
    sure = probabilities(outputs).max(axis=1)
    right = (outputs.argmax(axis=1) == labels).astype(np.float64)
    place = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, values, BINS) for values in (sure, right)]
    error = _error(place, right - sure)
    resampled = _resampled(place, right - sure, seed)
    low, high = (float(q) for q in np.quantile(resampled, (0.025, 0.975)))
    return Calibration(
        error=Interval(value=error, low=min(low, error), high=max(high, error)),
        bins=tuple(
            Bin(count=int(n), confidence=float(c / n), accuracy=float(r / n))
            for n, c, r in zip(counts, *sums, strict=True)
            if n
        ),
        confidence=float(sure.mean()),
        accuracy=float(right.mean()),
    )


def _error(place: NDArray[np.int64], off: Values) -> float:
    """Sum over bins of |sum of accuracy minus confidence|, over the number of samples."""
    return float(np.abs(np.bincount(place, off, BINS)).sum() / len(off))


def _resampled(place: NDArray[np.int64], off: Values, seed: int) -> Values:
    """The error of resamples with replacement, their bias taken off: a resample's bins are noisier than the sample's.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 10.2.
    """
    generator, error = np.random.default_rng(seed), _error(place, off)
    found = np.empty(ROUNDS)
    for i in range(ROUNDS):
        rows = generator.integers(0, len(off), len(off))
        found[i] = _error(place[rows], off[rows])
    moved: Values = np.maximum(found - (found.mean() - error), 0.0)
    return moved
