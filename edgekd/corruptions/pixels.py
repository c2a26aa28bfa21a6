"""Images with noise, blur, little contrast, or shifted.

Noise, blur and contrast by the formulas and severities of ImageNet-C and CIFAR-10-C: Hendrycks and Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019,
https://arxiv.org/abs/1903.12261. Small images have the severities of the latter.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy", "scipy")
EXTRA = "train"
KINDS = ("noise", "blur", "contrast", "shift")

# Images of at most so many pixels a side are small.
SMALL = 64
# By severity, for large and for small images: standard deviation of the noise (of the range from 0 to 1) and of the
# blur (in pixels), what is left of the contrast; and by what share of its side an image is shifted.
NOISE = ((0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.10))
BLUR = ((1.0, 2.0, 3.0, 4.0, 6.0), (0.4, 0.6, 0.7, 0.8, 1.0))
CONTRAST = ((0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15))
SHIFT = (0.04, 0.08, 0.12, 0.16, 0.2)

Array = NDArray[Any]


class Settings(Value):
    """There is nothing to set."""


def suits(samples: Mapping[str, Array], canvas: int | None) -> bool:
    """Whether some input is images: uint8 (N, canvas, canvas, 1 or 3)."""
    return any(_is_image(values) for values in samples.values())


def corrupt(samples: Mapping[str, Array], kind: str, severity: int, random: np.random.Generator) -> Mapping[str, Array]:
    """Copies of the samples whose images are spoiled; other inputs stay as they are."""
    return {
        name: _spoiled(values, kind, severity - 1, random) if _is_image(values) else values.copy()
        for name, values in samples.items()
    }


def _is_image(values: Array) -> bool:
    return values.dtype == np.uint8 and values.ndim == 4 and values.shape[3] in (1, 3)


def _spoiled(images: Array, kind: str, step: int, random: np.random.Generator) -> Array:
    small = int(images.shape[1] <= SMALL)
    if kind == "shift":
        return _shifted(images, max(1, round(SHIFT[step] * images.shape[1])), random)
    values = images.astype(np.float64) / 255
    if kind == "noise":
        values += random.normal(0, NOISE[small][step], values.shape)
    elif kind == "blur":
        values = gaussian_filter(values, (0, BLUR[small][step], BLUR[small][step], 0))
    else:
        means = values.mean(axis=(1, 2), keepdims=True)
        values = (values - means) * CONTRAST[small][step] + means
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _shifted(images: Array, reach: int, random: np.random.Generator) -> Array:
    """Each image moved by `reach` pixels in one of eight directions; edges are repeated where it moves in."""
    steps = np.arange(images.shape[1])
    ways = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x])[random.integers(0, 8, len(images))]
    down, across = (np.clip(steps + reach * ways[:, i, None], 0, len(steps) - 1) for i in (0, 1))
    rows = np.arange(len(images))[:, None, None]
    moved: Array = images[rows, down[:, :, None], across[:, None, :]]
    return moved
