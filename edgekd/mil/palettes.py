"""Palettes of weights: the few values that many are best replaced by, found the same way each time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = 16
ROUNDS = 300


def palette(weights: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Sixteen values and, for each weight in order, which of them is nearest.

    Lloyd's k-means in one dimension (IEEE Transactions on Information Theory 28, 1982), begun at equal shares of the
    weights and once more at equal steps of their range; the better one is kept. No chance is involved.
    """
    values, places, counts = np.unique(weights.reshape(-1), return_inverse=True, return_counts=True)
    wide = values.astype(np.float64)
    if len(values) <= COLOURS:
        colours = np.concatenate([wide, np.repeat(wide[-1:], COLOURS - len(wide))])
    else:
        starts = (np.quantile(np.repeat(wide, counts), _middles()), wide[0] + (wide[-1] - wide[0]) * _middles())
        found = [_settled(wide, counts, start) for start in starts]
        colours = min(found, key=lambda one: _error(wide, counts, one))
    colours = colours.astype(weights.dtype)
    nearest = _nearest(wide, colours.astype(np.float64))
    return colours, nearest[places.reshape(-1)].astype(np.uint8)


def _middles() -> NDArray[np.float64]:
    return (np.arange(COLOURS) + 0.5) / COLOURS


def _settled(values: NDArray[np.float64], counts: NDArray[np.int64], colours: NDArray[np.float64]) -> Any:
    """Each colour moved to the mean of what is nearest to it, until none moves."""
    for _ in range(ROUNDS):
        nearest = _nearest(values, colours)
        weight = np.bincount(nearest, counts, COLOURS)
        total = np.bincount(nearest, counts * values, COLOURS)
        moved = np.sort(np.where(weight > 0, total / np.maximum(weight, 1), colours))
        if np.array_equal(moved, colours):
            break
        colours = moved
    return colours


def _nearest(values: NDArray[np.float64], colours: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of the nearest colour, of colours in order."""
    return np.searchsorted((colours[1:] + colours[:-1]) / 2, values)


def _error(values: NDArray[np.float64], counts: NDArray[np.int64], colours: NDArray[np.float64]) -> float:
    return float((counts * (values - colours[_nearest(values, colours)]) ** 2).sum())
