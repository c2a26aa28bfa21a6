"""Find the images that a teacher runs on: those that it was said to want, or else the first usual ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.nets import networks
from edgekd.plugins import Oracle
from edgekd.results import Signature, TensorSpec
from edgekd.samples.guesses import SIZES, adapted
from edgekd.spec import Image, Teacher

Array = NDArray[Any]
# What torch and numpy raise where a network and its input do not fit together.
MISFITS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


class CannotRun(Exception):
    """A teacher was loaded, but runs on no images of a usual size; the message says why."""


@dataclass(frozen=True)
class Running:
    """A loaded teacher, the Image with which it runs, and its outputs for two samples (None where it is not live)."""

    oracle: Oracle
    signature: Signature
    image: Image | None
    outputs: Array | None


def running(teacher: Teacher, inputs: Mapping[str, Array], classes: tuple[str, ...]) -> Running:
    """Load a teacher and run it; `inputs` are stored samples by name, of which images are (N, side, side, C) uint8.

    Raises UsageError where it cannot be loaded, CannotRun where no usual images suit it.
    """
    kind, settings = networks.configured("teachers", teacher.source, "teacher")
    loads: list[UsageError] = []
    runs: list[str] = []
    for image in _images(teacher.image):
        signature = _signature(inputs, classes, image)
        try:
            oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
        except UsageError as error:
            if str(error) in map(str, loads):  # what is wrong is not the images
                break
            loads.append(error)
            continue
        try:
            made = oracle.outputs(_made_up(inputs, signature), np.arange(2), "train") if oracle.live else None
            return Running(oracle, signature, image, None if made is None else np.asarray(made))
        except (UsageError, *MISFITS) as error:
            said = error.problems[0].message if isinstance(error, UsageError) else str(error)
            runs.append(said.strip().partition("\n")[0])
    if not runs:
        raise loads[0]
    if teacher.image is None:
        raise UsageError(Problem("teacher", f"does not run on these samples: {runs[0]}", "Check names and types"))
    raise CannotRun(f"the teacher runs on no images of a usual size: {runs[0]}")


def typed(values: Array) -> Array:
    """Stored values as a network gets them: floats as float32, ids and masks as they are."""
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values


def _signature(inputs: Mapping[str, Array], classes: tuple[str, ...], image: Image | None) -> Signature:
    """What the teacher takes and gives, with images of the size that `image` says."""
    specs = []
    for name, array in inputs.items():
        if image is not None and array.dtype == np.uint8 and array.ndim == 4:
            specs.append(networks.image_spec(name, image, image.size))
        else:
            specs.append(TensorSpec(name=name, shape=(-1, *array.shape[1:]), dtype=str(typed(array[:1]).dtype)))
    outputs = (TensorSpec(name="logits", shape=(-1, len(classes))),)
    return Signature(inputs=tuple(specs), outputs=outputs, classes=classes)


def _images(image: Image | None) -> Sequence[Image | None]:
    """The image as given, then with the other number of channels, then both in other usual sizes."""
    if image is None:
        return (None,)
    other: Literal["gray", "rgb"] = "rgb" if image.channels == "gray" else "gray"
    both = (image, adapted(image, other))
    sizes = (size for size in SIZES if size != image.size)
    return (*both, *(each.model_copy(update={"size": size}) for size in sizes for each in both))


def _made_up(inputs: Mapping[str, Array], signature: Signature) -> dict[str, Array]:
    """Two inputs: random images of the size that is tried, and real samples of what is no image."""
    random = np.random.default_rng(0)
    return {
        spec.name: random.standard_normal((2, *spec.shape[1:])).astype(np.float32)
        if spec.preprocess
        else typed(inputs[spec.name][:2])
        for spec in signature.inputs
    }
