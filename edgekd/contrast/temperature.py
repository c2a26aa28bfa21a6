"""Probabilities that mean what they say, and which of them are too low to answer.

Sources: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2,
https://arxiv.org/abs/1706.04599; Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS
2017, algorithm 1, https://arxiv.org/abs/1705.08500
"""

from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv

from edgekd.contrast.calibration import probabilities

# A network of which a sharper or softer one than this would be likelier is right, or wrong, whatever it says.
SOFTEST, SHARPEST = 100.0, 0.01
# Probability that answers above a threshold are less often right than it promises.
RISK = 0.05

Values = NDArray[np.float64]


def fit(outputs: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The temperature by which logits (N, classes) are divided to make labels (N,) likeliest.

    The likelihood is concave in 1 / temperature, so there is one; it is kept between 0.01 and 100.
    """
    logits = outputs.astype(np.float64)
    of_label = logits[np.arange(len(labels)), labels]

    def slope(sharpness: float) -> float:
        shares = probabilities(logits * np.exp(sharpness))
        return float(((shares * logits).sum(axis=1) - of_label).mean())

    low, high = -log(SOFTEST), -log(SHARPEST)
    if slope(low) >= 0:
        return SOFTEST
    if slope(high) <= 0:
        return SHARPEST
    return float(np.exp(-brentq(slope, low, high, xtol=1e-6)))


def threshold(sure: Values, right: NDArray[np.bool_], accuracy: float) -> float | None:
    """The lowest confidence from which on answers are right in at least `accuracy` of all cases, or None.

    `sure` are confidences (N,), `right` whether they were right. The promise holds for new samples of the same kind
    with a probability of 95 %: errors are bounded by the binomial distribution, over all thresholds that are tried.
    """
    order = np.argsort(-sure, kind="stable")
    levels, wrong = sure[order], np.cumsum(~right[order])
    risk = RISK / max(1, len(sure).bit_length())  # so many thresholds are tried at most
    low, high, found = 0, len(sure) - 1, None
    while low <= high:
        middle = (low + high) // 2
        last = int(np.searchsorted(-levels, -levels[middle], side="right")) - 1  # equal confidences go together
        if _most_errors(int(wrong[last]), last + 1, risk) <= 1 - accuracy:
            found, low = float(levels[middle]), last + 1
        else:
            high = middle - 1
    return found


def _most_errors(errors: int, count: int, risk: float) -> float:
    """The upper bound of a share of errors: Clopper and Pearson's, one-sided."""
    return 1.0 if errors == count else float(betaincinv(errors + 1, count - errors, 1 - risk))
