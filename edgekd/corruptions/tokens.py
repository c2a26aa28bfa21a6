"""Token ids as typing errors leave them: a word that became another one, neighbours swapped, a word typed twice.

A misspelt word is another token to a network, whatever its letters are; which one, only a tokenizer knows, so it is
drawn from those that stand in the samples, as often as they do. What every sample has at one place (marks of beginning
and end) stays.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
KINDS = ("replaced", "swapped", "doubled")

# By severity: the chance of a token that something befalls it.
CHANCE = (0.05, 0.1, 0.15, 0.25, 0.4)

Array = NDArray[Any]


class Settings(Value):
    """There is nothing to set."""


def suits(samples: Mapping[str, Array], canvas: int | None) -> bool:
    """Whether some input is ids: whole numbers from zero on, (N, length), more of them than zero and one."""
    return any(_is_ids(values) for values in samples.values())


def corrupt(samples: Mapping[str, Array], kind: str, severity: int, random: np.random.Generator) -> Mapping[str, Array]:
    """Copies of the samples whose ids are spoiled where no mask of the same shape hides them."""
    visible = np.ones((), np.bool_)
    for values in samples.values():
        if values.ndim == 2 and np.isin(values, (0, 1)).all():
            visible = visible & values.astype(np.bool_)
    return {
        name: _spoiled(values, visible, kind, CHANCE[severity - 1], random) if _is_ids(values) else values.copy()
        for name, values in samples.items()
    }


def _is_ids(values: Array) -> bool:
    wide = (values.dtype.kind == "i" and values.dtype.itemsize >= 4) or values.dtype == np.uint16
    return bool(wide and values.ndim == 2 and values.min() >= 0 and values.max() > 1)


def _spoiled(ids: Array, visible: Array, kind: str, chance: float, random: np.random.Generator) -> Array:
    free = np.broadcast_to(visible, ids.shape) & (ids != ids[:1]).any(axis=0)
    hit = (random.random(ids.shape) < chance) & free
    if kind == "replaced":
        return np.where(hit, random.choice(ids[free] if free.any() else ids.ravel(), ids.shape), ids)
    pair = hit[:, :-1] & free[:, 1:]
    found = ids.copy()
    if kind == "doubled":
        found[:, 1:][pair] = ids[:, :-1][pair]
        return found
    pair[:, 1:] &= ~pair[:, :-1]  # a token changes places once
    found[:, 1:][pair], found[:, :-1][pair] = ids[:, :-1][pair], ids[:, 1:][pair]
    return found
