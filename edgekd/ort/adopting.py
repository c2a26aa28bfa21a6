"""The user's own ONNX file as a program: inputs and output under the data's names, in the data's layout and types."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper, version_converter
from onnxruntime.transformers.onnx_model import OnnxModel

from edgekd.errors import Problem, UsageError
from edgekd.plugins import OnnxFile
from edgekd.results import Signature, TensorSpec

# Quantizers need scales per channel, which came with 13; what is newer than edgekd's own files stays as it is.
LEAST_OPSET = 13
TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
}
LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def adopt(file: OnnxFile, signature: Signature, path: Path) -> Signature:
    """Write a copy with the signature's names, one output and no unused part; returns the signature with its batch.

    Raises UsageError for a file with weights beside it, and for one that ONNX's own checker refuses.
    """
    model = _read(file.path)
    graph = model.graph
    kept = {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in kept]:
        graph.input.remove(value)
    own = {value.name: value for value in graph.input}
    fixed = next((_batch(own[name]) for name in file.inputs if _batch(own[name]) > 0), -1)
    _hide_names(model, {spec.name for spec in (*signature.inputs, *signature.outputs)}, own)
    wanted = {spec.name: spec for spec in signature.inputs}
    for name, data in file.inputs.items():
        _take(model, own[name], wanted[data])
    _give(model, file.output, signature.outputs[0], fixed)
    cleaned = OnnxModel(model)
    cleaned.prune_graph()
    cleaned.topological_sort()
    onnx.checker.check_model(cleaned.model, full_check=True)
    path.write_bytes(cleaned.model.SerializeToString(deterministic=True))
    inputs, outputs = (
        tuple(spec.model_copy(update={"shape": (fixed, *spec.shape[1:])}) for spec in specs)
        for specs in (signature.inputs, signature.outputs[:1])
    )
    return signature.model_copy(update={"inputs": inputs, "outputs": outputs})


def digest(path: Path) -> str:
    """sha256 of a model without the values of its weights."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        for field in ("raw_data", "float_data", "int64_data", "int32_data", "double_data"):
            tensor.ClearField(field)
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def _read(path: Path) -> onnx.ModelProto:
    """The model, in an operator set that quantizers can work with."""
    model = onnx.load(path, load_external_data=False)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        hint = "Put them into the file: onnx.save(onnx.load(path), path)"
        raise UsageError(Problem(str(path), "has its weights in another file", hint))
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset >= LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, LEAST_OPSET)
    except (RuntimeError, ValueError) as error:
        message = f"is of operator set {opset}, and cannot be brought to {LEAST_OPSET}: {error}"
        raise UsageError(Problem(str(path), message, "Export it again with a newer opset_version")) from error


def _batch(value: onnx.ValueInfoProto) -> int:
    """A fixed batch, or -1."""
    first = value.type.tensor_type.shape.dim[0]
    return int(first.dim_value) or -1


def _hide_names(model: onnx.ModelProto, taken: set[str], inputs: Mapping[str, onnx.ValueInfoProto]) -> None:
    """Rename inner tensors that have a name which an input or output is going to have, and every input."""
    graph = model.graph
    renamed = {name: f"own.{name}" for name in (*inputs, *taken)}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in (*graph.initializer, *graph.output, *graph.value_info):
        value.name = renamed.get(value.name, value.name)


def _take(model: onnx.ModelProto, value: onnx.ValueInfoProto, spec: TensorSpec) -> None:
    """Feed an input of the file from one of the data, transposed and cast where the file wants that."""
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    inner, last = f"own.{value.name}", len(shape) == 4 and tuple(shape[1:]) != spec.shape[1:]
    wanted, given = value.type.tensor_type.elem_type, TYPES[spec.dtype]
    source = spec.name
    nodes = []
    if last:
        nodes.append(helper.make_node("Transpose", [source], [f"{inner}.last"], perm=LAST))
        source = f"{inner}.last"
    if wanted != given:
        nodes.append(helper.make_node("Cast", [source], [f"{inner}.cast"], to=wanted))
        source = f"{inner}.cast"
    nodes.append(helper.make_node("Identity", [source], [inner]))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    batch: int | str = _batch(value) if _batch(value) > 0 else "batch"
    value.CopyFrom(helper.make_tensor_value_info(spec.name, given, [batch, *spec.shape[1:]]))


def _give(model: onnx.ModelProto, output: str, spec: TensorSpec, fixed: int) -> None:
    """Make one output of the file the only one, as float32 under the data's name."""
    graph = model.graph
    source = output if any(output in node.output for node in graph.node) else f"own.{output}"
    graph.node.append(helper.make_node("Cast", [source], [spec.name], to=TensorProto.FLOAT))
    del graph.output[:]
    batch: int | str = fixed if fixed > 0 else "batch"
    graph.output.append(helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, [batch, *spec.shape[1:]]))
