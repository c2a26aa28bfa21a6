"""Judge predictions: the metric with its interval, drop and agreement against the teacher, parity with torch."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.gauge import Gauge
from edgekd.parity import Outputs, agreement, parity, parity_of_numbers
from edgekd.results import File, Interval, Parity, Score
from edgekd.statistics import Told, mean_interval, paired_interval, told_gap, told_interval
from edgekd.steps import Evaluate
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("numpy",)


def run(step: Evaluate, out: Workspace) -> Score:
    """Score the predictions of one part; parity too where torch's own outputs are given as `step.reference`.

    Raises EdgekdError where there is nothing to judge, or outputs, labels and references do not belong together.
    """
    if step.predictions.basis == "not measured":
        raise EdgekdError(f"there are no predictions to judge: {step.predictions.why}")
    outputs = _outputs(out, step.predictions.outputs, "predictions")
    part = step.splits.parts[step.predictions.part]
    labels: NDArray[np.int64] = np.asarray(out.load(part.labels), dtype=np.int64)
    if len(outputs) != len(labels):
        raise EdgekdError(f"{len(outputs)} predictions were given for {len(labels)} samples of {step.predictions.part}")
    labelled = labels >= 0
    if not labelled.any():
        raise EdgekdError(f"no sample of {step.predictions.part} is labelled, so accuracy cannot be known")
    metric = plugins.find("metrics", step.metric)
    groups = None if part.groups is None else np.asarray(out.load(part.groups), np.int64)[labelled]
    teacher = None if step.teacher is None else _matching(out, step.teacher, "teacher outputs", outputs)[labelled]
    if not hasattr(metric, "per_sample"):
        truth = (labels if part.targets is None else np.asarray(out.load(part.targets)))[labelled]
        return _resampled(step, out, metric, (outputs, outputs[labelled], teacher), truth, groups)
    right = metric.per_sample(outputs[labelled], labels[labelled])
    return Score(
        part=step.predictions.part,
        metric=step.metric,
        gauge=plugins.gauge(step.metric),
        accuracy=_accuracy(right, groups),
        count=int(labelled.sum()),
        drop=None if teacher is None else _drop(metric, teacher, labels[labelled], right, groups),
        agreement=None if teacher is None else agreement(outputs[labelled], teacher),
        per_class=_per_class(right, labels[labelled], len(step.splits.classes)),
        parity=None if step.reference is None else _parity(step, out, step.reference, outputs),
        basis=step.predictions.basis,
    )


def _resampled(
    step: Evaluate,
    out: Workspace,
    metric: Any,
    answers: tuple[Outputs, Outputs, Outputs | None],
    truth: NDArray[Any],
    groups: NDArray[np.int64] | None,
) -> Score:
    """The score by a metric that is no mean over samples; `answers` are all, the labelled ones, and the teacher's."""
    every, ours, teacher = answers
    columns, count = step.splits.columns, len(truth)
    gauge = plugins.gauge(step.metric, columns[0].unit if columns else "")
    told = partial(metric.resampled, ours, truth)
    drop = None
    if teacher is not None:
        pair = [_good(gauge, partial(metric.resampled, teacher, truth)), _good(gauge, told)]
        drop = _interval(told_gap(pair[:1], pair[1:], count, groups=groups))
    return Score(
        part=step.predictions.part,
        metric=step.metric,
        gauge=gauge,
        accuracy=_interval(told_interval(told, count, groups=groups)),
        count=count,
        drop=drop,
        agreement=None if teacher is None or columns else agreement(ours, teacher),
        parity=None if step.reference is None else _parity(step, out, step.reference, every),
        basis=step.predictions.basis,
    )


def _good(gauge: Gauge, told: Told) -> Told:
    """The values of resamples as numbers that are larger where the quality is better."""
    return (lambda counts: -told(counts)) if gauge.lower else told


def _outputs(out: Workspace, file: File, noun: str) -> Outputs:
    array: Outputs = np.asarray(out.load(file), dtype=np.float32)
    if array.ndim != 2 or not len(array):
        raise EdgekdError(f"{noun} have the shape {array.shape}; (samples, classes) was expected")
    return array


def _matching(out: Workspace, file: File, noun: str, like: Outputs) -> Outputs:
    """Outputs that must be of the same samples and classes as `like`."""
    array = _outputs(out, file, noun)
    if array.shape != like.shape:
        raise EdgekdError(f"{noun} have the shape {array.shape} but the predictions have {like.shape}")
    return array


def _interval(numbers: tuple[float, float, float]) -> Interval:
    value, low, high = numbers
    return Interval(value=value, low=low, high=high)


def _accuracy(right: NDArray[np.float64], groups: NDArray[np.int64] | None) -> Interval:
    """The metric's mean and its bootstrap interval, over whole groups where samples have some.

    Where all samples are right, or all wrong, a bootstrap has no width; then the exact bound of a share stands
    instead. Source: Clopper and Pearson, Biometrika 26, 1934.
    """
    value, low, high = mean_interval(right, groups=groups)
    low, high = max(0.0, low), min(1.0, high)
    unseen = 1 - 0.025 ** (1 / len(right if groups is None else np.unique(groups)))
    if (right == 1).all():
        low = 1 - unseen
    elif (right == 0).all():
        high = unseen
    return Interval(value=value, low=low, high=high)


def _drop(
    metric: Any,
    teacher: Outputs,
    labels: NDArray[np.int64],
    right: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
) -> Interval:
    """The teacher's mean minus ours, paired by sample."""
    return _interval(paired_interval([metric.per_sample(teacher, labels)], [right], groups=groups))


def _per_class(right: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> tuple[float, ...]:
    """The metric's mean for each class; NaN for a class that has no sample here."""
    return tuple(float(right[labels == k].mean()) if (labels == k).any() else float("nan") for k in range(classes))


def _parity(step: Evaluate, out: Workspace, reference: File, outputs: Outputs) -> Parity:
    if step.predictions.part != "validation":
        raise EdgekdError(
            f"parity is judged on the validation part, but these predictions are of {step.predictions.part}"
        )
    wanted = _matching(out, reference, "torch's outputs", outputs)
    if step.splits.columns:
        return parity_of_numbers(outputs, wanted, step.precision, [one.deviation for one in step.splits.columns])
    return parity(outputs, wanted, step.precision)
