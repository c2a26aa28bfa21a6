"""How far a file's values of a layer are from torch's, in the figures that tell causes apart."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.results import TensorSpec
from edgekd.spec import CALIBRATED, Precision

Array = NDArray[Any]

# A layer below this many dB diverges. Of float files these are the limits of their outputs' relative error in dB: 60 is
# 0.1 %, 34 is 2 %, 25 is 6 %. Rounding to 8 bits over a layer's whole range leaves some 35 to 45 dB and may add up over
# layers; below 15 dB, 18 % of relative error, it is more than rounding. With 4 bits, 24 dB less, that is 8 dB.
THRESHOLDS: dict[Precision, float] = {
    "float32": 60.0,
    "float16": 34.0,
    "bfloat16": 25.0,
    "int8": 15.0,
    "int8-full": 15.0,
    "int8-dynamic": 15.0,
    "int8-weights": 15.0,
    "int4-weights": 8.0,
    "palette4": 8.0,
}
# About what rounding alone leaves of a layer whose inputs are exact: more is no merit, and to come down to it no loss.
ROUNDED: dict[Precision, float] = {
    "float32": 120.0,
    "float16": 65.0,
    "bfloat16": 47.0,
    "int8": 40.0,
    "int8-full": 40.0,
    "int8-dynamic": 40.0,
    "int8-weights": 40.0,
    "int4-weights": 18.0,
    "palette4": 18.0,
}
MOST_STEPS = 255  # between the smallest and the largest of 8 bits
# values of a grid are this near to whole steps
OFF_GRID = 0.05
# the share of values that an outlier is held against
BULK = 0.999
# values with more axes have too many orders of them to try
MOST_AXES = 4


@dataclass(frozen=True)
class Measures:
    """What is found of one layer; see results.Layer. `noise_clipped` is the share of the noise that clipping explains,
    `grid` whether the file has values of at most 8 bits here."""

    snr: float
    difference: float
    scale: float
    clipped: float
    noise_clipped: float
    outliers: float
    not_finite: float
    grid: bool


def measure(torch_said: Array, file_said: Array, precision: Precision, spec: TensorSpec) -> Measures:
    """Compare a layer's values, sample first, of equal shape; `spec` describes the file's tensor."""
    ours, theirs = torch_said.astype(np.float64), file_said.astype(np.float64)
    both = np.isfinite(ours) & np.isfinite(theirs)
    lost = np.isfinite(ours) & ~np.isfinite(theirs)
    different = lost | (~np.isfinite(ours) & ~_same(ours, theirs))
    known, found = ours[both], theirs[both]
    grid = _grid(found, spec)
    clipped, noise_clipped = _clipped(known, found, grid) if grid and precision in CALIBRATED else (0.0, 0.0)
    return Measures(
        snr=-math.inf if different.any() else snr(known, found),
        difference=math.inf if different.any() else float(np.abs(known - found).max(initial=0.0)),
        scale=float(np.abs(known).max(initial=0.0)),
        clipped=clipped,
        noise_clipped=noise_clipped,
        outliers=_outliers(known),
        not_finite=float(lost.mean()),
        grid=grid is not None,
    )


def snr(torch_said: Array, file_said: Array) -> float:
    """Signal-to-quantization-noise ratio in dB: 10 log10 of torch's power over that of the difference.

    Source: Lin, Talathi and Annapureddy, Fixed Point Quantization of Deep Convolutional Networks, ICML 2016, who judge
    the layers of a network by it.
    """
    noise = float(np.square(torch_said - file_said, dtype=np.float64).sum())
    signal = float(np.square(torch_said, dtype=np.float64).sum())
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def best_turned(torch_said: Array, file_said: Array) -> float:
    """The best ratio of any other order of the file's axes that has the same shape; -inf where there is none."""
    rank = file_said.ndim - 1
    if rank > MOST_AXES or not np.isfinite(file_said).all():
        return -math.inf
    found = -math.inf
    for order in itertools.permutations(range(rank)):
        turned = file_said.transpose(0, *(axis + 1 for axis in order))
        if order != tuple(range(rank)) and turned.shape == torch_said.shape:
            found = max(found, snr(torch_said, turned))
    return found


def _same(ours: Array, theirs: Array) -> NDArray[np.bool_]:
    """Whether values that are no finite numbers are the same ones."""
    same: NDArray[np.bool_] = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return same


def _grid(values: Array, spec: TensorSpec) -> tuple[float, float, float] | None:
    """Step, smallest and largest value of a tensor of 8 bits; None for one of more.

    As the file says, else as its values show: few enough, all whole steps apart.
    """
    if spec.scale is not None and np.dtype(spec.dtype).kind in "iu":
        limits, zero = np.iinfo(spec.dtype), spec.zero_point or 0
        return spec.scale, (limits.min - zero) * spec.scale, (limits.max - zero) * spec.scale
    different = np.unique(values)
    if len(different) < 4:
        return None
    step, low, high = float(np.diff(different).min()), float(different[0]), float(different[-1])
    steps = (different - low) / step
    if steps[-1] > MOST_STEPS + OFF_GRID or np.abs(steps - np.rint(steps)).max() > OFF_GRID:
        return None
    return step, low, high


def _clipped(ours: Array, theirs: Array, grid: tuple[float, float, float]) -> tuple[float, float]:
    """The share of values that torch has more than a step beyond an end of the file's range, where the file has that
    end, and their share of the noise."""
    step, low, high = grid
    below = (theirs < low + step / 2) & (ours < low - step)
    above = (theirs > high - step / 2) & (ours > high + step)
    noise = np.square(ours - theirs)
    return float((below | above).mean()), float(noise[below | above].sum() / max(float(noise.sum()), 1e-300))


def _outliers(values: Array) -> float:
    """The largest absolute value over the one that nearly all others keep; 1 where there are too few to say."""
    if len(values) * (1 - BULK) < 1:
        return 1.0
    sizes = np.abs(values)
    bulk, largest = float(np.quantile(sizes, BULK)), float(sizes.max())
    return largest / bulk if bulk else 1.0
