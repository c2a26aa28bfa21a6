"""A file's tensors as torch has them: one decision for a file whether it keeps channels last, never one for each."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


def channels_last(pairs: Iterable[tuple[Array, Array]]) -> dict[int, bool]:
    """Whether a file keeps channels last, for values of each number of axes, from torch's values and the file's.

    Most of the shapes that allow one answer only decide. Where none does (as many rows and columns as channels), the
    values do, of all such tensors together.
    """
    shapes: dict[int, list[bool]] = {}
    values: dict[int, list[bool]] = {}
    for ours, theirs in pairs:
        rank, one, other = ours.ndim, ours.shape == theirs.shape, ours.shape == _first(theirs).shape
        if one != other:
            shapes.setdefault(rank, []).append(other)
        elif one and rank > 2:
            values.setdefault(rank, []).append(_distance(ours, _first(theirs)) < _distance(ours, theirs))
    return {rank: sum(votes) * 2 > len(votes) for rank, votes in (values | shapes).items()}


def aligned(values: Array, shape: Shape, last: Mapping[int, bool]) -> Array | None:
    """A file's values, sample first, in torch's `shape` for all samples; None where the shapes do not fit.

    A shape that allows one layout only decides for itself; axes of one do not count.
    """
    ways = [_first(values), values] if last.get(values.ndim) else [values, _first(values)]
    for turned in ways:
        if turned.shape == shape:
            return turned
    for turned in ways:
        if _without_ones(turned.shape) == _without_ones(shape):
            return turned.reshape(shape)
    return None


def _first(values: Array) -> Array:
    """Channels last to channels first: (samples, ..., channels) -> (samples, channels, ...)."""
    return values if values.ndim < 3 else np.moveaxis(values, -1, 1)


def _distance(ours: Array, theirs: Array) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        found = float(np.square(ours - theirs, dtype=np.float64).sum())
    return found if np.isfinite(found) else float("inf")


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
