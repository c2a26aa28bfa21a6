"""What stands in a graph before each raw input, as numbers.

Pixels are ordered, resized and scaled as runtimes/preprocess.py does it, in floating point: a resize by Pillow is two
products with constant matrices, each rounded to whole levels. 16-bit audio is scaled to -1..1.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.plugins import Front
from edgekd.results import AUDIO_SCALE, Preprocess, Signature, TensorSpec
from edgekd.runtimes import preprocess

# ITU-R 601 as runtimes/preprocess.py rounds it; 16 binary places, so that products with 8-bit levels are exact
LUMA = np.array([19595, 38470, 7471], np.float32) / np.float32(65536)


def fronts(signature: Signature) -> dict[str, Front]:
    """What stands before each raw input, by name."""
    return {spec.name: _front(spec) for spec in signature.inputs if spec.is_raw}


def _front(spec: TensorSpec) -> Front:
    how = spec.inside
    if how is None:
        return Front(picture=False, factor=np.full(1, AUDIO_SCALE, np.float32), shift=np.zeros(1, np.float32))
    stored, mean, std = spec.shape[3], np.array(how.mean), np.array(how.std)
    return Front(
        picture=True,
        factor=(1 / (255 * std)).astype(np.float32),
        shift=(-mean / std).astype(np.float32),
        luma=LUMA if stored == 3 and how.channels == "gray" else None,
        colour=stored == 1 and how.channels != "gray",
        reversed=stored == 3 and how.channels == "bgr",
        across=None if how.size == how.canvas else resizing(how),
    )


def resizing(how: Preprocess) -> NDArray[np.float32]:
    """The weights with which Pillow resizes one side, (canvas, size): what it makes of a one among zeros."""
    ones = Image.fromarray(np.eye(how.canvas, dtype=np.float32))
    weights = ones.resize((how.size, how.canvas), preprocess.resampling(how.filter))
    return np.asarray(weights, np.float32)
