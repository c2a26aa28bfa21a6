"""From outputs to answers: classes, calibrated probabilities, and which of them are clear. Numpy only."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.contrast.calibration import probabilities
from edgekd.results import Signature

# Probabilities of recorded outputs are the same everywhere but for the last bits.
PROBABLE = 1e-4

Outputs = NDArray[Any]


def answers(outputs: Outputs, signature: Signature) -> list[list[tuple[int, float]]]:
    """For each of (N, columns) outputs and each head the class, as its number there, and its calibrated probability."""
    shares = [probabilities(own / divisor) for own, divisor in _heads(outputs, signature)]
    return [[(int(head[row].argmax()), float(head[row].max())) for head in shares] for row in range(len(outputs))]


def margins(outputs: Outputs, signature: Signature, tolerance: float) -> dict[str, float]:
    """By how many times its limit each mistake after the network shows in golden outputs (N, columns).

    label: classes off by one, which each clear sample shows; softmax: none, two, or another temperature; delegate: the
    answer of the run before. Of a file that tells numbers only the last.
    """
    stale = float(np.abs(outputs - np.roll(outputs, 1, axis=0)).max()) / tolerance
    if not signature.classes:
        return {"delegate": stale}
    found = []
    for own, divisor in _heads(outputs, signature):
        right = probabilities(own / divisor)
        wrong = [own, probabilities(right), *((probabilities(own),) if divisor != 1 else ())]
        found.append(min(float(np.abs(one.max(axis=1) - right.max(axis=1)).max()) / PROBABLE for one in wrong))
    decided = sum(all(one) for one in zip(*settled(outputs, signature, tolerance), strict=True))
    return {"label": float(decided), "softmax": min(found), "delegate": stale}


def settled(outputs: Outputs, signature: Signature, tolerance: float) -> list[list[bool]]:
    """For each head, of which samples the class is clear: no output within the tolerance makes it another."""
    found = []
    for own, _ in _heads(outputs, signature):
        two = np.sort(own, axis=1)[:, -2:]
        found.append([bool(gap > 2 * tolerance) for gap in two[:, -1] - two[:, 0]])
    return found


def _heads(outputs: Outputs, signature: Signature) -> Iterator[tuple[Outputs, float]]:
    """The outputs of each head, or all of them, and the temperature of their probabilities."""
    for number, columns in enumerate([head.columns for head in signature.heads] or [slice(None)]):
        yield outputs[:, columns], signature.confidence[number].temperature if signature.confidence else 1.0
