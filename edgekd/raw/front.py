"""What stands in a graph before one raw input, as numbers: every tool that writes such a graph starts from these.

Pixels are ordered, resized and scaled as runtimes/preprocess.py does it, in floating point: a resize by Pillow is two
products with constant matrices, each rounded to whole levels. 16-bit audio is scaled to -1..1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.results import AUDIO_SCALE, Preprocess, TensorSpec
from edgekd.runtimes import preprocess

Array = NDArray[np.float32]

# ITU-R 601 as runtimes/preprocess.py rounds it; 16 binary places, so that products with 8-bit levels are exact
LUMA = np.array([19595, 38470, 7471], np.float32) / np.float32(65536)


@dataclass(frozen=True)
class Front:
    """`factor` and `shift` are of each channel; the others are for pictures, which become channels first.

    `gray` makes luma of three channels, `colour` three channels of one, `reversed` bgr of rgb; `across` are the weights
    of a resize along one side, (canvas, size): pictures are square.
    """

    picture: bool
    factor: Array
    shift: Array
    gray: bool = False
    colour: bool = False
    reversed: bool = False
    across: Array | None = None


def front(spec: TensorSpec) -> Front | None:
    """What stands before a raw input; None for one that the network takes as it is."""
    how = spec.inside
    if how is None:
        return Front(False, np.full(1, AUDIO_SCALE, np.float32), np.zeros(1, np.float32)) if spec.is_raw else None
    stored, mean, std = spec.shape[3], np.array(how.mean), np.array(how.std)
    return Front(
        picture=True,
        factor=(1 / (255 * std)).astype(np.float32),
        shift=(-mean / std).astype(np.float32),
        gray=stored == 3 and how.channels == "gray",
        colour=stored == 1 and how.channels != "gray",
        reversed=stored == 3 and how.channels == "bgr",
        across=None if how.size == how.canvas else resizing(how),
    )


def resizing(how: Preprocess) -> Array:
    """The weights with which Pillow resizes one side, (canvas, size): what it makes of a one among zeros."""
    ones = Image.fromarray(np.eye(how.canvas, dtype=np.float32))
    weights = ones.resize((how.size, how.canvas), preprocess.resampling(how.filter))
    return np.asarray(weights, np.float32)
