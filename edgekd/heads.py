"""Several heads in one network: each sorts samples into classes of its own, in its own columns of the one output."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.results import Head

VERSION = 1

Outputs = NDArray[np.float32]


def per_sample(
    metric: Any, outputs: Outputs, labels: NDArray[np.int64], heads: Sequence[Head] = ()
) -> NDArray[np.float64]:
    """The quality of each of (N, columns) outputs by a metric plug-in: with `heads` the mean over those of which the
    sample has a label. `labels` are (N,), or (N, heads) with -1 for none; every sample needs one."""
    if not heads:
        alone: NDArray[np.float64] = metric.per_sample(outputs, labels)
        return alone
    total = np.zeros(len(outputs))
    for number, head in enumerate(heads):
        known = labels[:, number] >= 0
        total[known] += metric.per_sample(outputs[known, head.columns], labels[known, number])
    mean: NDArray[np.float64] = total / (labels >= 0).sum(axis=1)
    return mean


def agreement(one: Outputs, two: Outputs, heads: Sequence[Head] = ()) -> float:
    """The share of samples for which both say the same class, over all heads alike."""
    columns = [head.columns for head in heads] or [slice(None)]
    return float(np.mean([one[:, some].argmax(axis=1) == two[:, some].argmax(axis=1) for some in columns]))
