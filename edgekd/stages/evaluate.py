"""Judge predictions: the metric with its interval, drop and agreement against the teacher, parity with torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.results import File, Interval, Parity, Score
from edgekd.spec import Precision
from edgekd.statistics import mean_interval, paired_interval
from edgekd.steps import Evaluate
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("numpy",)

Outputs = NDArray[np.float32]

# torch's own top two outputs closer than this: which one wins is not for a converter to decide
NEAR_TIE = 1e-3
# outputs that vary over inputs by less than this share of their size do not depend on the input
CONSTANT = 1e-6
# least top-1 agreement and largest relative error of a faithful conversion; fewer bits round by design: no such gate
GATES: dict[Precision, tuple[float, float]] = {
    "float32": (0.999, 1e-3),
    "float16": (0.99, 2e-2),
    "bfloat16": (0.97, 6e-2),
}


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
    right = metric.per_sample(outputs[labelled], labels[labelled])
    teacher = None if step.teacher is None else _matching(out, step.teacher, "teacher outputs", outputs)[labelled]
    return Score(
        part=step.predictions.part,
        metric=step.metric,
        accuracy=_accuracy(right),
        count=int(labelled.sum()),
        drop=None if teacher is None else _drop(metric, teacher, labels[labelled], right),
        agreement=None if teacher is None else _agreement(outputs[labelled], teacher),
        per_class=_per_class(right, labels[labelled], len(step.splits.classes)),
        parity=None if step.reference is None else _parity(step, out, step.reference, outputs),
        basis=step.predictions.basis,
    )


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


def _accuracy(right: NDArray[np.float64]) -> Interval:
    """The metric's mean and its bootstrap interval.

    Where all samples are right, or all wrong, a bootstrap has no width; then the exact bound of a share stands
    instead. Source: Clopper and Pearson, Biometrika 26, 1934.
    """
    value, low, high = mean_interval(right)
    unseen = 1 - 0.025 ** (1 / len(right))
    if (right == 1).all():
        low = 1 - unseen
    elif (right == 0).all():
        high = unseen
    return Interval(value=value, low=low, high=high)


def _drop(metric: Any, teacher: Outputs, labels: NDArray[np.int64], right: NDArray[np.float64]) -> Interval:
    """The teacher's mean minus ours, paired by sample."""
    return _interval(paired_interval([metric.per_sample(teacher, labels)], [right]))


def _agreement(one: Outputs, two: Outputs) -> float:
    return float((one.argmax(axis=1) == two.argmax(axis=1)).mean())


def _per_class(right: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> tuple[float, ...]:
    """The metric's mean for each class; NaN for a class that has no sample here."""
    return tuple(float(right[labels == k].mean()) if (labels == k).any() else float("nan") for k in range(classes))


def _parity(step: Evaluate, out: Workspace, reference: File, outputs: Outputs) -> Parity:
    if step.predictions.part != "validation":
        raise EdgekdError(
            f"parity is judged on the validation part, but these predictions are of {step.predictions.part}"
        )
    return parity(outputs, _matching(out, reference, "torch's outputs", outputs), step.precision)


def parity(outputs: Outputs, reference: Outputs, precision: Precision) -> Parity:
    """How far a runtime's outputs (N, classes) are from torch's; `passed` is the gate of `precision`.

    Top-1 agreement leaves out near-ties, rows where torch's own top two differ by under 1e-3. Relative error is
    ||y - reference|| / ||reference|| over all rows.
    """
    finite = bool(np.isfinite(outputs).all())
    ties = _near_ties(reference)
    clear = ~ties
    agreement = _agreement(outputs[clear], reference[clear]) if clear.any() else 1.0
    norm = float(np.linalg.norm(reference.astype(np.float64)))
    distance = float(np.linalg.norm(outputs.astype(np.float64) - reference)) if finite else float("inf")
    error = distance / norm if norm else (0.0 if distance == 0 else float("inf"))
    constant = _is_constant(outputs) if finite else False
    faults = _faults(precision, finite, constant, agreement, error)
    return Parity(
        agreement=agreement,
        near_ties=int(ties.sum()),
        relative_error=error,
        constant=constant,
        passed=not faults,
        why="; ".join((*faults, *_remarks(precision, ties))),
    )


def _near_ties(reference: Outputs) -> NDArray[np.bool_]:
    if reference.shape[1] < 2:
        return np.zeros(len(reference), dtype=np.bool_)
    top = np.partition(reference, -2, axis=1)[:, -2:]
    ties: NDArray[np.bool_] = top[:, 1] - top[:, 0] < NEAR_TIE
    return ties


def _is_constant(outputs: Outputs) -> bool:
    if len(outputs) < 2:
        return False
    return bool(np.ptp(outputs, axis=0).max() <= CONSTANT * max(float(np.abs(outputs).max()), 1e-30))


def _faults(precision: Precision, finite: bool, constant: bool, agreement: float, error: float) -> tuple[str, ...]:
    faults = []
    if not finite:
        faults.append("some outputs are not finite numbers")
    if constant:
        faults.append("the output is the same for every input")
    if finite and precision in GATES:
        least, most = GATES[precision]
        if agreement < least:
            faults.append(
                f"top-1 agrees with torch on {100 * agreement:.2f} % of samples; {precision} needs {100 * least:g} %"
            )
        if error > most:
            faults.append(f"the relative error to torch is {error:.2g}; {precision} may have {most:g}")
    return tuple(faults)


def _remarks(precision: Precision, ties: NDArray[np.bool_]) -> tuple[str, ...]:
    """What a reader must know of the numbers: the rows left out, and why int8 has no gate."""
    remarks = []
    rows = np.flatnonzero(ties)
    if len(rows):
        shown = ", ".join(str(row) for row in rows[:10]) + (", ..." if len(rows) > 10 else "")
        remarks.append(f"near-ties left out of the agreement: {len(rows)} of {len(ties)} samples (rows {shown})")
    if precision not in GATES:
        remarks.append(
            f"{precision} rounds weights and activations by design, so distance from torch is told, not required; "
            "accuracy is judged on its own outputs"
        )
    return tuple(remarks)
