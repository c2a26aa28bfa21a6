"""Area under the ROC curve: how often a sample of the second class is ranked above one of the first, ties half.

Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
Radiology 143(1), 1982, https://doi.org/10.1148/radiology.143.1.7063747.
"""

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
TITLE = "AUC"
UNIT = ""
CLASSES = 2


class Settings(Value):
    """There is nothing to set."""


def resampled(outputs: NDArray[np.float32], truth: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The area for logits (N, 2) and labels (N,), for each row of counts (resamples, N).

    Samples are ranked by the second logit minus the first. NaN where a resample has one class alone, or an output is
    none. Raises ValueError where there are not two classes.
    """
    if outputs.ndim != 2 or outputs.shape[1] != 2 or truth.shape != outputs.shape[:1]:
        raise ValueError(f"outputs {outputs.shape} and labels {truth.shape} are not (N, 2) and (N,)")
    score = outputs[:, 1].astype(np.float64) - outputs[:, 0]
    if not np.isfinite(score).all():
        return np.full(len(counts), np.nan)
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])  # of samples that tie
    second = np.add.reduceat(counts[:, order] * (truth[order] == 1), starts, axis=1).astype(np.float64)
    first = np.add.reduceat(counts[:, order] * (truth[order] == 0), starts, axis=1).astype(np.float64)
    below = np.cumsum(first, axis=1) - first / 2
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (second * below).sum(axis=1) / (second.sum(axis=1) * first.sum(axis=1))
    return found
