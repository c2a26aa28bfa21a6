"""How sure may a file say it is? A temperature from the validation part, and how well it does on the test part."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgekd.contrast import temperature
from edgekd.contrast.calibration import calibration, probabilities
from edgekd.errors import EdgekdError
from edgekd.results import Calibrated, Confidence, Interval, Predictions
from edgekd.statistics import share_interval
from edgekd.steps import Calibrate
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy", "scipy")

# With fewer labelled samples of a part a temperature says more of these than of the network.
LEAST = 50

Outputs = NDArray[np.float32]
Labels = NDArray[np.int64]
Side = tuple[Outputs, Labels]


def run(step: Calibrate, out: Workspace) -> Calibrated:
    """One entry for each head. Raises EdgekdError for outputs that do not belong to their part."""
    sides = [_side(step, out, one) for one in (step.validation, step.test)]
    heads = {head.name: head.columns for head in step.splits.heads} or {"": slice(0, len(step.splits.classes))}
    found = []
    for number, (name, columns) in enumerate(heads.items()):
        first, second = (_known(outputs[:, columns], labels[:, number]) for outputs, labels in sides)
        if min(len(first[1]), len(second[1])) < LEAST:
            counts = f"{len(first[1])} and {len(second[1])}"
            return Calibrated(
                why=f"{name or 'it'} has {counts} labelled validation and test samples; {LEAST} are needed"
            )
        found.append(_confidence(name, first, second, step.accuracy))
    return Calibrated(confidence=tuple(found))


def _side(step: Calibrate, out: Workspace, predictions: Predictions) -> Side:
    """Outputs (N, columns) and labels (N, heads) of one part."""
    part = step.splits.parts[predictions.part]
    outputs = np.asarray(out.load(predictions.outputs), np.float32)
    labels = np.asarray(out.load(part.labels if part.heads is None else part.heads), np.int64)
    if outputs.ndim != 2 or len(outputs) != len(labels):
        raise EdgekdError(f"outputs {outputs.shape} were given for {len(labels)} samples of {predictions.part}")
    return outputs, labels.reshape(len(labels), -1)


def _known(outputs: Outputs, labels: Labels) -> Side:
    return outputs[labels >= 0], labels[labels >= 0]


def _confidence(name: str, validation: Side, test: Side, accuracy: float | None) -> Confidence:
    """A temperature by the first side, and a threshold if one is wanted; both judged on the second."""
    found = temperature.fit(*validation)
    before, after = (calibration(test[0] / divisor, test[1]).error for divisor in (1.0, found))
    told = Confidence(head=name, temperature=found, error=after, error_before=before, samples=len(validation[1]))
    return told if accuracy is None else told.model_copy(update=dict(_refusing(validation, test, found, accuracy)))


def _refusing(validation: Side, test: Side, found: float, accuracy: float) -> Iterator[tuple[str, float | Interval]]:
    """Threshold, coverage and accuracy as fields of Confidence; nothing where no threshold keeps the promise."""
    (sure, right), (told, truth) = (_answers(side, found) for side in (validation, test))
    level = temperature.threshold(sure, right, accuracy)
    if level is None:
        return
    accepted = told >= level
    yield "threshold", level
    yield "coverage", float(accepted.mean())
    if accepted.any():
        value, low, high = share_interval(int(truth[accepted].sum()), int(accepted.sum()))
        yield "accuracy", Interval(value=value, low=low, high=high)


def _answers(side: Side, found: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How sure it is of each sample, and whether it is right."""
    outputs, labels = side
    return probabilities(outputs / found).max(axis=1), outputs.argmax(axis=1) == labels
