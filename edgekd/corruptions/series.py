"""Series of numbers as failing sensors give them: noise, drift, another gain, stuck for a while.

A series is (N, time, ...) or (N, numbers). Numbers are measured in standard deviations of their own channel.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
KINDS = ("noise", "drift", "gain", "stuck")

# By severity: standard deviations of noise, and those that a drift has reached at the end; the share by which the gain
# is off, and the share of the time in which a sensor repeats its last number.
NOISE = (0.1, 0.2, 0.4, 0.7, 1.0)
DRIFT = (0.25, 0.5, 1.0, 1.5, 2.0)
GAIN = (0.05, 0.1, 0.2, 0.35, 0.5)
STUCK = (0.05, 0.1, 0.2, 0.35, 0.5)

Array = NDArray[Any]


class Settings(Value):
    """There is nothing to set."""


def suits(samples: Mapping[str, Array], canvas: int | None) -> bool:
    """Whether some input is numbers: floats, or the small signed integers that a microphone gives."""
    return any(_is_series(values) for values in samples.values())


def corrupt(samples: Mapping[str, Array], kind: str, severity: int, random: np.random.Generator) -> Mapping[str, Array]:
    """Copies of the samples whose series are spoiled; other inputs stay as they are."""
    return {
        name: _as_before(values, _spoiled(values.astype(np.float64), kind, severity - 1, random))
        if _is_series(values)
        else values.copy()
        for name, values in samples.items()
    }


def _is_series(values: Array) -> bool:
    numbers = values.dtype.kind == "f" or values.dtype in (np.int8, np.int16)
    return numbers and values.ndim > 1 and not np.isin(values, (0, 1)).all()


def _as_before(values: Array, spoiled: Array) -> Array:
    if values.dtype.kind == "f":
        return spoiled.astype(values.dtype)
    limits = np.iinfo(values.dtype)
    return np.clip(np.round(spoiled), limits.min, limits.max).astype(values.dtype)


def _spoiled(values: Array, kind: str, step: int, random: np.random.Generator) -> Array:
    """Float64 copies; what is drawn for a channel holds for all of its time."""
    over = (0,) if values.ndim == 2 else (0, 1)
    scale = values.std(axis=over, keepdims=True)
    each = (len(values), 1, *values.shape[2:])
    if kind == "noise":
        return np.asarray(values + NOISE[step] * scale * random.normal(size=values.shape))
    if kind == "drift":
        ramp = np.linspace(0, 1, values.shape[1]).reshape(1, -1, *(1 for _ in values.shape[2:]))
        return np.asarray(values + DRIFT[step] * scale * ramp * random.choice((-1.0, 1.0), each))
    if kind == "gain":
        return np.asarray(values * (1 + GAIN[step] * random.choice((-1.0, 1.0), each)))
    return _stuck(values, max(1, round(STUCK[step] * values.shape[1])), random)


def _stuck(values: Array, length: int, random: np.random.Generator) -> Array:
    """From a moment on a sample repeats what it was then, so many times."""
    time = np.arange(values.shape[1])
    start = random.integers(0, max(1, values.shape[1] - length), (len(values), 1))
    places = np.where((time >= start) & (time <= start + length), start, time)
    held: Array = values[np.arange(len(values))[:, None], places]
    return held
