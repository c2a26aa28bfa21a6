"""Mean absolute error of numbers, in their own unit."""

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
TASK = "numbers"
TITLE = "mean absolute error"
UNIT = "y"
LOWER = True


class Settings(Value):
    """There is nothing to set."""


def resampled(
    outputs: NDArray[np.float32], truth: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean of |outputs (N, columns) - truth (N, columns)| over samples and columns, for each row of counts (resamples,
    N); NaN where an output is none. Raises ValueError where shapes differ."""
    if outputs.shape != truth.shape:
        raise ValueError(f"outputs {outputs.shape} and targets {truth.shape} differ")
    errors = np.abs(outputs.astype(np.float64) - truth).mean(axis=1)
    found: NDArray[np.float64] = counts @ errors / counts.sum(axis=1)
    return found
