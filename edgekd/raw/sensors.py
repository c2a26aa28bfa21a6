"""Which inputs a camera or a microphone gives, and what is known of those where neither does."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Array
from edgekd.results import AUDIO_SCALE, Signature, TensorSpec

# Types of numbers that sensors give: pixels and audio.
SENSED = ("uint8", "int16")
# Audio is one row of samples, or one row for each channel.
AXES = (1, 2)
HINT = "Leave out --input raw: prepared inputs are the default"


def raw(signature: Signature, stored: Mapping[str, Sequence[Array]]) -> Signature:
    """The signature with every image and every 16-bit audio input as its sensor gives it.

    `stored` has the arrays of each input in all parts. Raises UsageError where no input is a sensor's, and says of each
    what it is instead.
    """
    inputs = tuple(_raw(spec, stored[spec.name]) for spec in signature.inputs)
    if not any(spec.dtype in SENSED for spec in inputs):
        told = "; ".join(_described(spec) for spec in signature.inputs)
        message = f"no input is what a camera or a microphone gives, so there is nothing to put into the graph: {told}"
        raise UsageError(Problem("--input raw", message, HINT))
    return signature.model_copy(update={"inputs": inputs})


def _raw(spec: TensorSpec, stored: Sequence[Array]) -> TensorSpec:
    if spec.preprocess is not None:
        shape = (spec.shape[0], *stored[0].shape[1:])
        return TensorSpec(name=spec.name, shape=shape, dtype="uint8", inside=spec.preprocess)
    if spec.dtype == "float32" and len(spec.shape) - 1 in AXES and all(is_audio(array) for array in stored):
        return spec.model_copy(update={"dtype": "int16", "scale": AUDIO_SCALE, "zero_point": 0})
    return spec


def is_audio(samples: Array) -> bool:
    """Whether floats are 16-bit audio: every one a whole number of 1/32768, from -1 to just below 1.

    So the 16-bit samples that they were read from are known exactly.
    """
    if samples.dtype.kind != "f":
        return False
    levels = np.asarray(samples, np.float64) / AUDIO_SCALE
    limits = np.iinfo(np.int16)
    return bool((np.rint(levels) == levels).all() and levels.min() >= limits.min and levels.max() <= limits.max)


def _described(spec: TensorSpec) -> str:
    if spec.dtype == "float32":
        return f"{spec.name} is float32, and not the 16 bits of audio (whole multiples of 1/32768 below 1)"
    return f"{spec.name} is {spec.dtype}, ids or a mask"
