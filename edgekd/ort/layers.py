"""Which tensors of an ONNX model hold the value of which node of the program that it was made from."""

from collections.abc import Collection, Mapping
from operator import getitem

import onnx
from torch import fx
from torch.export import ExportedProgram

from edgekd.nets import layers
from edgekd.results import Signature

ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Gelu", "Elu")


def named(
    model: onnx.ModelProto, program: ExportedProgram, made: ExportedProgram, signature: Signature
) -> dict[str, str]:
    """Tensors of a float32 model -> nodes of `program`; `made` is what the exporter decomposed it to.

    The exporter names tensors after nodes, and what it optimized away has no entry.
    """
    held = _tensors(model)
    outputs = dict(zip(made.graph_signature.user_outputs, (spec.name for spec in signature.outputs), strict=True))
    nodes = {node.name: node for node in made.graph.nodes}
    found = {}
    for name, origin in layers.counterparts(program, made).items():
        for tensor in (*_names(nodes[name]), outputs.get(name)):
            if tensor is not None and tensor in held:
                found[tensor] = origin
    return found


def _names(node: fx.Node) -> list[str]:
    """Names that the exporter may have given to a node's tensor, unless it is an output."""
    if node.target is not getitem:
        return [node.name]
    source, index = node.args
    return [node.name, f"{source}__{index}", f"{source}_split_{index}"]


def _tensors(model: onnx.ModelProto) -> set[str]:
    """Names of all tensors that a model computes."""
    return {name for node in model.graph.node for name in node.output}


def kept(model: onnx.ModelProto, names: Mapping[str, str]) -> dict[str, str]:
    """The entries of a float model's tensors that a model made from it still has."""
    held = _tensors(model)
    return {tensor: node for tensor, node in names.items() if tensor in held}


def behind(model: onnx.ModelProto, names: Mapping[str, str], wanted: Collection[str]) -> list[str]:
    """The operators, by name, that work out the values of these nodes of the program from those of other nodes.

    An activation function counts with what it follows: in 8 bits both are one kernel.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    left = [tensor for tensor, node in names.items() if node in wanted]
    found: dict[str, None] = {}
    while left:
        node = producers.get(left.pop())
        if node is not None and node.name not in found:
            found[node.name] = None
            left += [tensor for tensor in node.input if tensor not in names or node.op_type in ACTIVATIONS]
    return list(found)


def dequantized(model: onnx.ModelProto, names: Mapping[str, str]) -> dict[str, str]:
    """The same for a model with QuantizeLinear and DequantizeLinear pairs: the tensor that the next layer reads.

    A tensor before such a pair is never what an integer kernel computes, and looking at it would keep the runtime from
    using that kernel.
    """
    pairs = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    after = {
        node.input[0]: pairs[node.output[0]]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.output[0] in pairs
    }
    return {after.get(tensor, tensor): node for tensor, node in kept(model, names).items()}
