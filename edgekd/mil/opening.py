"""A copy of a Core ML package whose inner values are outputs of it too, for every runtime that reads packages."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from coremltools.proto import FeatureTypes_pb2, MIL_pb2

from edgekd.mil import reading
from edgekd.results import TensorSpec

# Core ML's outputs have no more.
MOST_DIMENSIONS = 5
SUFFIX = "_shown"


def opened(package: Path, copy: Path, names: Collection[str]) -> dict[str, TensorSpec]:
    """Copy a package and make inner values outputs; returns the output of the copy for each that can be one, by value.

    Each is shown as float32, also one of yes and no, and with one sample first, also where it has none.
    """
    shutil.copytree(package, copy)
    model = reading.model(copy)
    spec = reading.specification(copy)
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    values = {value.name: value for operation in block.operations for value in operation.outputs}
    found = {}
    for name in names:
        shape = reading.shape(values[name]) if name in values and name not in block.outputs else None
        if shape is not None and len(shape) + (shape[:1] != (1,)) <= MOST_DIMENSIONS:
            found[name] = _shown(block, values[name], shape)
    for shown in found.values():
        block.outputs.append(shown.name)
        described = spec.description.output.add(name=shown.name)
        described.type.multiArrayType.shape.extend(shown.shape)
        described.type.multiArrayType.dataType = FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    model.write_bytes(spec.SerializeToString(deterministic=True))
    return found


def _shown(block: Any, value: Any, shape: tuple[int, ...]) -> TensorSpec:
    """Append what makes an output of a value: another type, and a sample's dimension where it has none."""
    last = value.name
    if shape[:1] != (1,):
        shape = (1, *shape)
        axes = _constant(block, f"{value.name}_axes", MIL_pb2.INT32, 0)
        gives = (value.type.tensorType.dataType, shape)
        last = _operation(block, "expand_dims", f"{value.name}_one", gives, {"x": last, "axes": axes})
    wanted = _constant(block, f"{value.name}_dtype", MIL_pb2.STRING, "fp32")
    gives = (MIL_pb2.FLOAT32, shape)
    name = _operation(block, "cast", f"{value.name}{SUFFIX}", gives, {"x": last, "dtype": wanted})
    return TensorSpec(name=name, shape=shape)


def _operation(block: Any, kind: str, name: str, gives: tuple[int, tuple[int, ...]], inputs: dict[str, str]) -> str:
    """Append an operator that gives one value of this name, type and shape."""
    operation = block.operations.add(type=kind)
    for parameter, value in inputs.items():
        operation.inputs[parameter].arguments.add(name=value)
    _typed(operation.outputs.add(name=name).type, *gives)
    _said(operation, "name", MIL_pb2.STRING, name)
    return name


def _constant(block: Any, name: str, kind: int, value: str | int) -> str:
    """Append a constant: a word, or a list of one whole number."""
    operation = block.operations.add(type="const")
    _typed(operation.outputs.add(name=name).type, kind, (1,) if isinstance(value, int) else ())
    _said(operation, "val", kind, value)
    _said(operation, "name", MIL_pb2.STRING, name)
    return name


def _said(operation: Any, attribute: str, kind: int, value: str | int) -> None:
    said = operation.attributes[attribute]
    _typed(said.type, kind, (1,) if isinstance(value, int) else ())
    tensor = said.immediateValue.tensor
    (tensor.ints if isinstance(value, int) else tensor.strings).values.append(value)


def _typed(target: Any, kind: int, shape: tuple[int, ...]) -> None:
    target.tensorType.dataType = kind
    target.tensorType.rank = len(shape)
    for size in shape:
        target.tensorType.dimensions.add().constant.size = size
