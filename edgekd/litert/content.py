"""A .tflite file as objects: read, written, its tensors renamed, and inner tensors made outputs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

FLOAT, INT = schema.TensorType.FLOAT32, schema.TensorType.INT32
ENTRY = "serving_default"
Kind = schema.BuiltinOperator
# types of tensors that a runtime gives as numbers of layers
READABLE = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
}


def read(model: bytes) -> Any:
    """The objects of a file."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(model))


def write(content: Any) -> bytes:
    """The file of its objects."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def kinds(content: Any) -> list[int]:
    """Which builtin operator each operator of the main graph is."""
    return [content.operatorCodes[one.opcodeIndex].builtinCode for one in content.subgraphs[0].operators]


def kind_name(kind: int) -> str:
    """What TFLite calls an operator."""
    return next(str(name) for name, own in vars(Kind).items() if own == kind)


def short(index: int) -> str:
    """What an inner tensor is called in a file that ships."""
    return f"t{index}"


def with_short_names(model: bytes) -> bytes:
    """Give inner tensors short names: the converter writes every layer's path, which can double a small file."""
    content = read(model)
    for graph in content.subgraphs:
        kept = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept:
                tensor.name = short(index)
    return write(content)


def names(content: Any) -> list[str]:
    """Names of the main graph's tensors."""
    return [tensor.name.decode() for tensor in content.subgraphs[0].tensors]


def inputs(content: Any, wanted: Collection[str]) -> list[int]:
    """Tensors of the inputs of these names."""
    return [int(slot.tensorIndex) for slot in content.signatureDefs[0].inputs if slot.name.decode() in wanted]


def computed(content: Any) -> list[int]:
    """Tensors of the main graph that its operators write, in the order of the file."""
    graph = content.subgraphs[0]
    return [int(index) for one in graph.operators for index in one.outputs]


def readable(tensor: Any) -> bool:
    """Whether a tensor's numbers can be read: floats, or small integers with one scale for all of them."""
    if tensor.type == FLOAT:
        return True
    scale = tensor.quantization.scale if tensor.quantization else None
    return tensor.type in READABLE and scale is not None and len(scale) == 1


def give(content: Any, tensors: Mapping[str, int]) -> None:
    """Make tensors of the main graph outputs too, of the graph and of the file's signature, by these names."""
    graph, (entry, *_) = content.subgraphs[0], content.signatureDefs
    graph.outputs = [*graph.outputs, *(index for index in tensors.values() if index not in graph.outputs)]
    for name, index in tensors.items():
        slot = schema.TensorMapT()
        slot.name, slot.tensorIndex = name.encode(), index
        entry.outputs.append(slot)


def add_code(content: Any, kind: int) -> int:
    """Append an operator code of a kind that TFLite has from the start; returns its number."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = 1
    content.operatorCodes.append(code)
    return len(content.operatorCodes) - 1


def add_reshape(content: Any, index: int, shape: Sequence[int]) -> int:
    """Append an operator that gives a tensor another shape, of which one size may be -1; returns its output."""
    graph = content.subgraphs[0]
    sizes, result, buffer = schema.TensorT(), schema.TensorT(), schema.BufferT()
    given = graph.tensors[index]
    buffer.data = np.frombuffer(np.array(shape, np.int32).tobytes(), np.uint8)
    content.buffers.append(buffer)
    sizes.name, sizes.shape, sizes.type = f"{given.name.decode()}_sizes".encode(), [len(shape)], schema.TensorType.INT32
    sizes.buffer, sizes.hasRank = len(content.buffers) - 1, True
    result.name, result.shape = f"{given.name.decode()}_reshaped".encode(), [abs(size) for size in shape]
    result.shapeSignature, result.hasRank = list(shape), True
    result.type, result.quantization, result.buffer = given.type, given.quantization, 0
    graph.tensors += [sizes, result]
    reshape = schema.OperatorT()
    reshape.opcodeIndex = add_code(content, Kind.RESHAPE)
    reshape.inputs, reshape.outputs = [index, len(graph.tensors) - 2], [len(graph.tensors) - 1]
    graph.operators.append(reshape)
    return len(graph.tensors) - 1


def run(model: bytes, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Outputs by the names of the file's signature."""
    outputs: dict[str, NDArray[Any]] = Interpreter(model_content=model, num_threads=1).get_signature_runner(ENTRY)(
        **inputs
    )
    return outputs


def shapes(model: bytes) -> dict[str, tuple[int, ...]]:
    """Shapes of the signature's outputs for one sample, by name."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_signature_runner(ENTRY).get_output_details()
    return {name: tuple(int(size) for size in one["shape"]) for name, one in details.items()}


def products(content: Any, one: Any) -> int:
    """How many products of a weight and a value a convolution or linear layer computes; else none."""
    graph, kind = content.subgraphs[0], content.operatorCodes[one.opcodeIndex].builtinCode
    if kind not in (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D, Kind.FULLY_CONNECTED):
        return 0
    weights, output = ([int(size) for size in graph.tensors[i].shape] for i in (one.inputs[1], one.outputs[0]))
    # a kernel's shape is (outputs, height, width, inputs), of a depthwise one (1, height, width, outputs)
    each = weights[1:-1] if kind == Kind.DEPTHWISE_CONV_2D else weights[1:]
    return prod(output) * prod(each)


def readers(content: Any, index: int, kind: int | None = None) -> Iterable[Any]:
    """Operators that read a tensor, all or those of a kind."""
    pairs = zip(content.subgraphs[0].operators, kinds(content), strict=True)
    return (one for one, own in pairs if kind in (None, own) and index in one.inputs)
