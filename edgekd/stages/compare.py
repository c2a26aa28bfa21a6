"""Did the teacher help? Distilled seeds against control seeds, paired by sample."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.heads import per_sample
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
    truth = labels if part.heads is None else np.asarray(out.load(part.heads), np.int64)
    sides = [[_outputs(out, one, labels) for one in side] for side in (step.distilled, step.control)]
    metric, known = plugins.find("metrics", step.metric), truth[labels >= 0]
    distilled, control = ([per_sample(metric, one, known, step.splits.heads) for one in side] for side in sides)
    value, low, high = paired_interval(distilled, control, groups=groups)
    gain = Gain(
        difference=Interval(value=value, low=low, high=high),
        distilled=tuple(float(right.mean()) for right in distilled),
        control=tuple(float(right.mean()) for right in control),
        seeds=len(distilled),
        heads=dict(_heads(step, metric, sides, known, groups)),
    )
    return Compared(gain=gain)


def _heads(
    step: Compare,
    metric: Any,
    sides: list[list[NDArray[np.float32]]],
    truth: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> Iterator[tuple[str, Interval]]:
    """The difference of each head alone, over the samples that have its label."""
    for number, head in enumerate(step.splits.heads):
        known = truth[:, number] >= 0
        if known.any():
            first, second = (
                [metric.per_sample(one[known, head.columns], truth[known, number]) for one in side] for side in sides
            )
            value, low, high = paired_interval(first, second, groups=None if groups is None else groups[known])
            yield head.name, Interval(value=value, low=low, high=high)


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


def _outputs(out: Workspace, predictions: Predictions, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """What was said of the labelled samples."""
    outputs = np.asarray(out.load(predictions.outputs), dtype=np.float32)
    if len(outputs) != len(labels):
        raise EdgekdError(f"{len(outputs)} predictions were given for {len(labels)} samples of {predictions.part}")
    return outputs[labels >= 0]
