"""From a model's outputs to answers: classes, calibrated probabilities, and whether it is sure enough to answer.

Probabilities are softmax(outputs / temperature), whose temperature was fitted on samples that the model was not trained
with (Guo et al. 2017); below a threshold an answer is not accepted (Geifman and El-Yaniv 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .labels import Label

# Classes that an answer lists.
TOP = 5
# Of a model whose confidence was not calibrated.
UNKNOWN: dict[str, Any] = {"temperature": 1.0, "threshold": None}


@dataclass(frozen=True)
class Answer:
    """The most probable class, how sure the model is of it, and the next ones.

    Where it is not `accepted`, the model is not sure enough: treat it as "I do not know". `milliseconds` are of the
    model's run alone.
    """

    label: Label
    index: int
    confidence: float
    accepted: bool
    top: tuple[tuple[Label, float], ...]
    outputs: tuple[float, ...]
    milliseconds: float


@dataclass(frozen=True)
class Numbers:
    """Numbers that the model tells of a sample, and their units, by name."""

    values: Mapping[str, float]
    units: Mapping[str, str]
    outputs: tuple[float, ...]
    milliseconds: float

    def __getitem__(self, name: str) -> float:
        return self.values[name]


def probabilities(outputs: np.ndarray[Any, Any], temperature: float) -> np.ndarray[Any, Any]:
    """Calibrated probabilities of one sample's outputs, (classes,) float64."""
    scaled = np.asarray(outputs, np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    shares: np.ndarray[Any, Any] = powers / powers.sum()
    return shares


def read(signature: Mapping[str, Any], outputs: np.ndarray[Any, Any], milliseconds: float) -> Any:
    """The result for one sample's outputs: numbers, one answer a head, or one answer."""
    flat = np.asarray(outputs, np.float32).reshape(-1)
    columns, heads = signature["columns"], signature["heads"]
    if columns:
        values = {one["name"]: float(flat[i]) for i, one in enumerate(columns)}
        units = {one["name"]: one["unit"] for one in columns}
        return Numbers(values, units, tuple(flat.tolist()), milliseconds)
    if not heads:
        return _answer(signature, 0, signature["classes"], flat, milliseconds)
    found = {}
    for number, head in enumerate(heads):
        own = flat[head["start"] : head["start"] + len(head["classes"])]
        found[head["name"]] = _answer(signature, number, head["classes"], own, milliseconds)
    return found


def answers(result: Any) -> list[Answer]:
    """The answers in a result, one a head; none where it is numbers."""
    if isinstance(result, Answer):
        return [result]
    return list(result.values()) if isinstance(result, dict) else []


def _answer(
    signature: Mapping[str, Any], number: int, labels: list[Any], outputs: np.ndarray[Any, Any], milliseconds: float
) -> Answer:
    """The answer of one head, or of all classes."""
    told: dict[str, Any] = signature["confidence"][number] if signature["confidence"] else UNKNOWN
    shares = probabilities(outputs, told["temperature"])
    order = [int(index) for index in np.argsort(-shares, kind="stable")[:TOP]]
    confidence, least = float(shares[order[0]]), told["threshold"]
    return Answer(
        label=labels[order[0]],
        index=order[0],
        confidence=confidence,
        accepted=least is None or confidence >= least,
        top=tuple((labels[index], float(shares[index])) for index in order),
        outputs=tuple(outputs.tolist()),
        milliseconds=milliseconds,
    )
