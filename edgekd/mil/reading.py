"""Read a Core ML package back from disk as plain values: constants, operators in order, and what they are called."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.converters.mil.mil import types
from coremltools.proto import FeatureTypes_pb2
from torch import Tensor

from edgekd.errors import NotVerified

# A value is known by its number in the program: names may be given twice by the reader, objects may not.
Reference = int | tuple[int, ...]
Constant = Tensor | str
# Colour spaces of image inputs in which a pixel's channels come as edgekd stores them.
COLOURS = ("RGB", "GRAYSCALE")


@dataclass(frozen=True)
class Slot:
    """One value that a program declares: its number, name, type ("fp16", "fp32", "bool", "int32", ...) and shape."""

    number: int
    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One operator: its kind and name, the numbers of what it takes by parameter, and what it gives."""

    kind: str
    name: str
    inputs: Mapping[str, Reference]
    outputs: tuple[Slot, ...]


@dataclass(frozen=True)
class Program:
    """A whole program; `constants` by number, as torch holds them here: floats as float32, whole numbers as int64.

    `pictures` are the inputs that are images to Core ML, which hands out their levels with the channels first.
    """

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    constants: Mapping[int, Constant]
    operations: tuple[Operation, ...]
    pictures: frozenset[str] = frozenset()


def model(package: Path) -> Path:
    """The file in a package that holds its program."""
    manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
    return package / "Data" / str(manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"])


def specification(package: Path) -> Any:
    """The program of a package and what is said of it, as the file has it.

    Not as an MLModel: that opens the package for writing, and writes its manifest anew.
    """
    return ct.utils.load_spec(str(model(package)))


def shape(value: Any) -> tuple[int, ...] | None:
    """The fixed shape of a tensor that a specification declares; None where a size is open, or it is no tensor."""
    if value.type.WhichOneof("type") != "tensorType":
        return None
    sizes = value.type.tensorType.dimensions
    fixed = all(size.WhichOneof("dimension") == "constant" for size in sizes)
    return tuple(int(size.constant.size) for size in sizes) if fixed else None


def read(package: Path) -> Program:
    """Read the main function of an .mlpackage. Raises NotVerified where coremltools cannot read it back."""
    spec = specification(package)
    try:
        program = load(spec, spec.specificationVersion, str(model(package).parent / "weights"))
    except (NotImplementedError, ValueError, KeyError, AssertionError) as error:
        raise NotVerified(f"coremltools cannot read the package back ({error})") from error
    return replace(_Reader().program(program.functions["main"]), pictures=_pictures(spec))


def _pictures(spec: Any) -> frozenset[str]:
    """Names of the inputs that are images. Raises NotVerified where their channels are in another order than ours."""
    images = {one.name: one.type.imageType for one in spec.description.input if one.type.HasField("imageType")}
    for name, image in images.items():
        kind = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(image.colorSpace)
        if kind not in COLOURS:
            raise NotVerified(f"the image {name} is {kind}, not {' or '.join(COLOURS)}")
    return frozenset(images)


class _Reader:
    """Numbers the values of one function."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def program(self, function: Any) -> Program:
        operations = list(function.operations)
        constant = [one for one in operations if one.op_type == "const"]
        return Program(
            inputs=tuple(self._slot(value) for value in function.inputs.values()),
            outputs=tuple(self._slot(value) for value in function.outputs),
            constants={self._number(one.outputs[0]): held(one.outputs[0].val) for one in constant},
            operations=tuple(self._operation(one) for one in operations if one.op_type != "const"),
        )

    def _operation(self, one: Any) -> Operation:
        given = {name: value for name, value in one.inputs.items() if value is not None}
        return Operation(
            kind=one.op_type,
            name=one.name,
            inputs={name: self._reference(value) for name, value in given.items()},
            outputs=tuple(self._slot(value) for value in one.outputs),
        )

    def _reference(self, value: Any) -> Reference:
        if isinstance(value, list | tuple):
            return tuple(self._number(one) for one in value)
        return self._number(value)

    def _slot(self, value: Any) -> Slot:
        shape = tuple(int(size) for size in value.shape)
        return Slot(self._number(value), value.name, types.builtin_to_string(value.dtype), shape)

    def _number(self, value: Any) -> int:
        return self._numbers.setdefault(id(value), len(self._numbers))


def held(value: Any) -> Constant:
    """A constant of the file as the rules see it."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "US":
        return str(array)
    kinds = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}
    return torch.tensor(array.astype(kinds[array.dtype.kind]))
