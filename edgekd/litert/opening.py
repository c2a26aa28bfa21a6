"""Files whose inner tensors are outputs too, and where a quantized file holds what the float32 one did."""

from collections.abc import Mapping
from typing import Any

from edgekd.litert import content as files
from edgekd.results import Signature, TensorSpec

PREFIX = "layer:"


def followed(model: bytes, layers: Mapping[str, str]) -> dict[str, str]:
    """The layers of a quantized file, from those of the float32 file that it was made of.

    A value is taken as the next layer reads it: after it was quantized, or dequantized where that is an operator. What
    raw input was cast to is not computed where it is quantized at once.
    """
    content = files.read(model)
    names, computed = files.names(content), set(files.computed(content))
    known = {names.index(name): node for name, node in layers.items() if name in names}
    return {names[_as_read(content, index)]: node for index, node in known.items() if index in computed}


def _as_read(content: Any, index: int) -> int:
    """The tensor that holds another's value for the next layer."""
    is_float = content.subgraphs[0].tensors[index].type == files.FLOAT
    kind = files.Kind.QUANTIZE if is_float else files.Kind.DEQUANTIZE
    return next((int(one.outputs[0]) for one in files.readers(content, index, kind)), index)


def with_scales(model: bytes, signature: Signature) -> Signature:
    """The signature of a quantized file: integers with a scale where the file has them as inputs and outputs."""
    content = files.read(model)
    entry, tensors = content.signatureDefs[0], content.subgraphs[0].tensors
    own = {slot.name.decode(): tensors[slot.tensorIndex] for slot in (*entry.inputs, *entry.outputs)}
    return signature.model_copy(
        update={
            "inputs": tuple(_scaled(spec, own[spec.name]) for spec in signature.inputs),
            "outputs": tuple(_scaled(spec, own[spec.name]) for spec in signature.outputs),
        }
    )


def _scaled(spec: TensorSpec, tensor: Any) -> TensorSpec:
    """What a runtime is told of a tensor: its type, and scale and zero point where it is quantized.

    Raw inputs keep what was told of them: their numbers are a sensor's, whatever the file does with them next.
    """
    if spec.is_raw:
        return spec
    if tensor.quantization is None or tensor.quantization.scale is None or tensor.type == files.FLOAT:
        return spec
    scale, zero_point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    return spec.model_copy(update={"dtype": files.READABLE[tensor.type], "scale": scale, "zero_point": zero_point})


def opened(model: bytes, signature: Signature, layers: Mapping[str, str]) -> tuple[bytes, Signature, dict[str, str]]:
    """The file with the tensors of `layers` as outputs, its signature, and the node of each output.

    Tensors that have no batch dimension, since the converter has joined it with another, get it back. Those whose
    numbers cannot be read are left out.
    """
    content = files.read(model)
    names, graph = files.names(content), content.subgraphs[0]
    given = {int(slot.tensorIndex): slot.name.decode() for slot in content.signatureDefs[0].outputs}
    nodes = {names.index(name): node for name, node in layers.items() if name in names}
    inner = {
        f"{PREFIX}{names[index]}": index
        for index in nodes
        if index not in given and files.readable(graph.tensors[index])
    }
    files.give(content, inner)
    sizes = files.shapes(files.write(content))
    content = files.read(model)
    any_batch = signature.inputs[0].shape[0] == -1
    tensors = {name: _batched(content, index, sizes[name], any_batch) for name, index in inner.items()}
    files.give(content, tensors)
    specs = tuple(_spec(content, name, index, sizes[name], any_batch) for name, index in tensors.items())
    whole = signature.model_copy(update={"outputs": (*signature.outputs, *specs)})
    known = {name: nodes[index] for index, name in given.items() if index in nodes}
    return files.write(content), whole, known | {name: nodes[index] for name, index in inner.items()}


def _batched(content: Any, index: int, shape: tuple[int, ...], any_batch: bool) -> int:
    """A tensor with its batch first: itself, or the output of an operator that reshapes it."""
    if shape[:1] == (1,):
        return index
    return files.add_reshape(content, index, (-1 if any_batch else 1, *shape))


def _spec(content: Any, name: str, index: int, shape: tuple[int, ...], any_batch: bool) -> TensorSpec:
    """What a runtime is told of an inner tensor."""
    rest = shape[1:] if shape[:1] == (1,) else shape
    return _scaled(TensorSpec(name=name, shape=(-1 if any_batch else 1, *rest)), content.subgraphs[0].tensors[index])
