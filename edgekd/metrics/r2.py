"""Share of the variance of numbers that is explained, mean over their columns: 1 at best, 0 for the mean itself."""

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
TASK = "numbers"
TITLE = "R²"
UNIT = ""


class Settings(Value):
    """There is nothing to set."""


def resampled(
    outputs: NDArray[np.float32], truth: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 - residual over total sum of squares of each column of (N, columns), mean over columns, for each row of counts
    (resamples, N); NaN where an output is none, or the truth does not vary. Raises ValueError where shapes differ."""
    if outputs.shape != truth.shape:
        raise ValueError(f"outputs {outputs.shape} and targets {truth.shape} differ")
    centred = truth - truth.mean(axis=0)  # sums of squares of large numbers would cancel
    total, count = counts @ np.square(centred), counts.sum(axis=1)[:, None]
    total = total - np.square(counts @ centred) / count
    residual = counts @ np.square(outputs.astype(np.float64) - truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.float64] = np.where(total > 0, 1 - residual / total, np.nan).mean(axis=1)
    return found
