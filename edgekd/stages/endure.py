"""How do teacher, control and student fare on corrupted copies, and who loses more? Paired by sample."""

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.kept import Endured, Withstood
from edgekd.results import Interval, Predictions
from edgekd.statistics import mean_interval, paired_interval
from edgekd.steps import Endure
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)

Quality = NDArray[np.float64]


def run(step: Endure, out: Workspace) -> Endured:
    """The metric of each network on the samples as they are, under each corruption, and in the mean of all.

    Raises EdgekdError where predictions are not of the corrupted part.
    """
    labels = np.asarray(out.load(step.corrupted.part.labels), np.int64)
    found = {"teacher": _quality(step, out, step.teacher, labels), "student": _quality(step, out, step.student, labels)}
    if step.control is not None:
        found["control"] = _quality(step, out, step.control, labels)
    kinds = step.corrupted.kinds
    rows = [_row(found, "", 0, [0])]
    for kind in dict.fromkeys(name for name, _ in kinds if name):
        places = [i for i, (name, _) in enumerate(kinds) if name == kind]
        rows += [_row(found, kind, kinds[i][1], [i]) for i in places]
        rows.append(_row(found, kind, 0, places))
    rows.append(_row(found, "mean", 0, list(range(1, len(kinds)))))
    return Endured(
        rows=tuple(rows), samples=step.corrupted.samples, corrupts=step.corrupted.by, basis=step.student.basis
    )


def _quality(step: Endure, out: Workspace, predictions: Predictions, labels: NDArray[np.int64]) -> Quality:
    """The metric of every copy of every sample: (corruptions, samples)."""
    outputs = np.asarray(out.load(predictions.outputs), np.float32)
    if len(outputs) != len(labels):
        raise EdgekdError(
            f"{len(outputs)} predictions were given for {len(labels)} corrupted samples: {predictions.why}"
        )
    quality: Quality = plugins.find("metrics", step.metric).per_sample(outputs, labels)
    return quality.reshape(len(step.corrupted.kinds), step.corrupted.samples)


def _row(found: dict[str, Quality], kind: str, severity: int, places: list[int]) -> Withstood:
    """Means over some corruptions, and how much more the student loses against the samples as they are."""
    means = {who: quality[places].mean(axis=0) for who, quality in found.items()}
    lost = {who: found[who][0] - mean for who, mean in means.items()}
    return Withstood(
        corruption=kind,
        severity=severity,
        teacher=_interval(mean_interval(means["teacher"])),
        student=_interval(mean_interval(means["student"])),
        control=_interval(mean_interval(means["control"])) if "control" in means else None,
        behind=_interval(paired_interval([lost["student"]], [lost["teacher"]])) if kind else None,
    )


def _interval(numbers: tuple[float, float, float]) -> Interval:
    value, low, high = numbers
    return Interval(value=value, low=low, high=high)
