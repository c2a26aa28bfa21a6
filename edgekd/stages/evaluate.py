"""Judge predictions: the metric with its interval, drop and agreement against the teacher, parity with torch."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.gauge import Gauge
from edgekd.heads import agreement, per_sample
from edgekd.parity import Outputs, parity, parity_of_numbers
from edgekd.results import File, HeadScore, Interval, Parity, Score
from edgekd.statistics import Told, mean_interval, paired_interval, told_gap, told_interval
from edgekd.steps import Evaluate
from edgekd.workspace import Workspace

VERSION = 3
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
    heads = step.splits.heads
    truth = (labels if part.heads is None else np.asarray(out.load(part.heads), np.int64))[labelled]
    right = per_sample(metric, outputs[labelled], truth, heads)
    return Score(
        part=step.predictions.part,
        metric=step.metric,
        gauge=plugins.gauge(step.metric),
        accuracy=_accuracy(right, groups),
        count=int(labelled.sum()),
        drop=None if teacher is None else _drop(per_sample(metric, teacher, truth, heads), right, groups),
        agreement=None if teacher is None else agreement(outputs[labelled], teacher, heads),
        per_class=() if heads else _per_class(right, truth, len(step.splits.classes)),
        heads=tuple(
            _head(step, metric, number, (outputs[labelled], teacher), truth, groups) for number in range(len(heads))
        ),
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


def _drop(theirs: NDArray[np.float64], ours: NDArray[np.float64], groups: NDArray[np.int64] | None) -> Interval:
    """The teacher's mean minus ours, paired by sample."""
    return _interval(paired_interval([theirs], [ours], groups=groups))


def _head(
    step: Evaluate,
    metric: Any,
    number: int,
    answers: tuple[Outputs, Outputs | None],
    truth: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> HeadScore:
    """The score of one head; `answers` are ours and the teacher's. Raises EdgekdError where no sample has its label."""
    head, known = step.splits.heads[number], truth[:, number] >= 0
    if not known.any():
        message = f"no sample of {step.predictions.part} has a label of {head.name}, so its accuracy cannot be known"
        raise EdgekdError(message)
    ours, teacher = (None if one is None else one[known, head.columns] for one in answers)
    of_head, right = None if groups is None else groups[known], metric.per_sample(ours, truth[known, number])
    score = HeadScore(name=head.name, accuracy=_accuracy(right, of_head), count=int(known.sum()))
    if ours is None or teacher is None:
        return score
    theirs = metric.per_sample(teacher, truth[known, number])
    return score.model_copy(update={"drop": _drop(theirs, right, of_head), "agreement": agreement(ours, teacher)})


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
    return parity(outputs, wanted, step.precision, step.splits.heads)
