"""Core ML packages by coremltools, which can run them on macOS only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# coremltools imports torch for its converters if it can; predicting needs none, and no torch may be in this process.
sys.modules.setdefault("torch", None)  # type: ignore[arg-type]

import coremltools  # noqa: E402

from . import preprocess  # noqa: E402
from .fault import Fault  # noqa: E402
from .tensors import Array, cast, match, names  # noqa: E402

VERSION = 1
PACKAGES = ("coremltools",)
EXTRA = "coreml"
PLATFORMS = ("darwin-arm64", "darwin-x86_64")
NO_ARENA = "Core ML does not tell"
UNPROFILED = "edgekd does not read Core ML's compute plans; Xcode's performance report shows where operators ran"

# Codes of FeatureTypes_pb2.ArrayFeatureType.
TYPES = {65568: "float32", 65552: "float16", 131104: "int32", 65600: "float64"}


def version() -> str:
    """coremltools' version; Core ML itself is part of macOS."""
    return str(coremltools.__version__)


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Compile a package for the computing units that Core ML chooses, as it does threads. Raises Fault."""
    try:
        model = coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit.ALL)
    except (RuntimeError, ValueError, OSError) as error:
        raise Fault(f"{path.name} does not run in Core ML: {error}") from error
    return Model(model, signature)


class Model:
    """A compiled package; its shapes are fixed."""

    def __init__(self, model: Any, signature: dict[str, Any]) -> None:
        self._model = model
        described = model.get_spec().description
        own = [value.name for value in described.input]
        self._inputs = [described.input[i] for i in match(names(signature, "inputs"), own, "inputs")]
        outputs = [value.name for value in described.output]
        self._outputs = [outputs[i] for i in match(names(signature, "outputs"), outputs, "outputs")]
        shapes = [value.type.multiArrayType.shape for value in self._inputs if not _is_image(value)]
        self.batch = int(shapes[0][0]) if shapes and len(shapes[0]) else 1
        self.notes = {"compute_units": "all"}
        self._feed: dict[str, Any] = {}
        self._found: dict[str, Array] = {}

    def feed(self, arrays: Sequence[Array]) -> None:
        """Keep one array an input for the next run."""
        self._feed = {value.name: _fed(arrays[i], value) for i, value in enumerate(self._inputs)}

    def invoke(self) -> None:
        """Run once. Raises Fault where Core ML refuses the inputs."""
        try:
            self._found = self._model.predict(self._feed)
        except RuntimeError as error:
            raise Fault(f"Core ML failed: {error}") from error

    def outputs(self) -> list[Array]:
        """The outputs of the last run."""
        return [self._found[name] for name in self._outputs]


def _is_image(value: Any) -> bool:
    """Whether Core ML takes an input as an image."""
    return bool(value.type.HasField("imageType"))


def _fed(values: Array, value: Any) -> Any:
    """One array in the file's own type; raw pixels, (1, height, width, 1 or 3), as an image. Raises Fault."""
    if not _is_image(value):
        return cast(values, TYPES[value.type.multiArrayType.dataType], value.name)
    try:
        return preprocess.picture(values[0])
    except ModuleNotFoundError as error:
        raise Fault(f"Core ML takes images as Pillow's: {error}") from error
