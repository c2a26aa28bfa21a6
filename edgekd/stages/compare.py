"""Did the teacher help? Distilled seeds against control seeds, paired by sample."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.results import Compared, Gain, Interval, Predictions
from edgekd.statistics import Told, paired_interval, told_gap
from edgekd.steps import Compare
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)


def run(step: Compare, out: Workspace) -> Compared:
    """By how much the metric of the distilled seeds is better than the control's, in the mean, with its interval.

    Seeds and samples (or whole groups of them) are resampled; a sample stays paired across all networks. Raises
    EdgekdError where the two sides do not have equally many seeds, or are not of one part.
    """
    _same_footing(step)
    part = step.splits.parts[step.distilled[0].part]
    labels: NDArray[np.int64] = np.asarray(out.load(part.labels), dtype=np.int64)
    if not (labels >= 0).any():
        raise EdgekdError(f"no sample of {step.distilled[0].part} is labelled, so nothing can be compared")
    groups = None if part.groups is None else np.asarray(out.load(part.groups), np.int64)[labels >= 0]
    if not hasattr(plugins.find("metrics", step.metric), "per_sample"):
        truth = labels if part.targets is None else np.asarray(out.load(part.targets))
        return _resampled(step, out, truth, labels >= 0, groups)
    distilled = [_per_sample(step, out, predictions, labels) for predictions in step.distilled]
    control = [_per_sample(step, out, predictions, labels) for predictions in step.control]
    value, low, high = paired_interval(distilled, control, groups=groups)
    gain = Gain(
        difference=Interval(value=value, low=low, high=high),
        distilled=tuple(float(right.mean()) for right in distilled),
        control=tuple(float(right.mean()) for right in control),
        seeds=len(distilled),
    )
    return Compared(gain=gain)


def _resampled(
    step: Compare, out: Workspace, truth: NDArray[Any], known: NDArray[np.bool_], groups: NDArray[np.int64] | None
) -> Compared:
    """The same by a metric that is no mean over samples."""
    metric, sign = plugins.find("metrics", step.metric), -1 if plugins.declared("metrics", step.metric).lower else 1

    def told(predictions: Predictions) -> Told:
        outputs = np.asarray(out.load(predictions.outputs), dtype=np.float32)
        if len(outputs) != len(known):
            raise EdgekdError(f"{len(outputs)} predictions were given for {len(known)} samples of {predictions.part}")
        return partial(metric.resampled, outputs[known], truth[known])

    def good(one: Told) -> Told:
        return lambda counts: sign * one(counts)

    sides = [[told(one) for one in side] for side in (step.distilled, step.control)]
    first, second = ([good(one) for one in side] for side in sides)
    value, low, high = told_gap(first, second, int(known.sum()), groups=groups)
    whole = np.ones((1, int(known.sum())), np.int64)
    distilled, control = (tuple(float(one(whole)[0]) for one in side) for side in sides)
    difference = Interval(value=value, low=low, high=high)
    return Compared(gain=Gain(difference=difference, distilled=distilled, control=control, seeds=len(distilled)))


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
