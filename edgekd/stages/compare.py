"""Did the teacher help? Distilled seeds against control seeds, paired by sample."""

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.results import Compared, Gain, Interval, Predictions
from edgekd.statistics import paired_interval
from edgekd.steps import Compare
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)


def run(step: Compare, out: Workspace) -> Compared:
    """Mean metric of the distilled seeds minus that of the control's, with its bootstrap interval.

    Seeds and samples (or whole groups of them) are resampled; a sample stays paired across all networks. Raises
    EdgekdError where the two sides do not have equally many seeds, or are not of one part.
    """
    _same_footing(step)
    part = step.splits.parts[step.distilled[0].part]
    labels: NDArray[np.int64] = np.asarray(out.load(part.labels), dtype=np.int64)
    if not (labels >= 0).any():
        raise EdgekdError(f"no sample of {step.distilled[0].part} is labelled, so nothing can be compared")
    distilled = [_per_sample(step, out, predictions, labels) for predictions in step.distilled]
    control = [_per_sample(step, out, predictions, labels) for predictions in step.control]
    groups = None if part.groups is None else np.asarray(out.load(part.groups), np.int64)[labels >= 0]
    value, low, high = paired_interval(distilled, control, groups=groups)
    gain = Gain(
        difference=Interval(value=value, low=low, high=high),
        distilled=tuple(float(right.mean()) for right in distilled),
        control=tuple(float(right.mean()) for right in control),
        seeds=len(distilled),
    )
    return Compared(gain=gain)


def _same_footing(step: Compare) -> None:
    if not step.distilled or len(step.distilled) != len(step.control):
        raise EdgekdError(
            f"a fair comparison needs equally many seeds of both; there are {len(step.distilled)} distilled students "
            f"and {len(step.control)} controls"
        )
    parts = sorted({predictions.part for predictions in (*step.distilled, *step.control)})
    if len(parts) > 1:
        raise EdgekdError(f"predictions of different parts cannot be paired: {', '.join(parts)}")


def _per_sample(
    step: Compare, out: Workspace, predictions: Predictions, labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    outputs = np.asarray(out.load(predictions.outputs), dtype=np.float32)
    if len(outputs) != len(labels):
        raise EdgekdError(f"{len(outputs)} predictions were given for {len(labels)} samples of {predictions.part}")
    labelled = labels >= 0
    metric = plugins.find("metrics", step.metric)
    right: NDArray[np.float64] = metric.per_sample(outputs[labelled], labels[labelled])
    return right
