"""Share of samples whose highest output is the labelled class."""

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)


class Settings(Value):
    """Accuracy has nothing to set."""


def per_sample(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 where the highest of `outputs` (N, classes) is the class in `labels` (N,), else 0, as float64 (N,).

    A row that holds a NaN is wrong whatever its label. Raises ValueError where shapes differ or a sample is unlabelled.
    """
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise ValueError(f"outputs {outputs.shape} and labels {labels.shape} are not (N, classes) and (N,)")
    if (labels < 0).any():
        raise ValueError("accuracy needs a label for every sample")
    right: NDArray[np.bool_] = (outputs.argmax(axis=1) == labels) & ~np.isnan(outputs).any(axis=1)
    return right.astype(np.float64)
