"""An ONNX graph as ONNX Runtime optimized it: what it is made of, and which of it runs as the file wants.

Reads the few fields of the protobuf file that this needs (https://protobuf.dev/programming-guides/encoding): a device
has no onnx package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .fault import Fault
from .placement import Verdict

# Numbers of fields in onnx.proto.
GRAPH, NODE, INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_KIND = 1, 2, 3, 4
TENSOR_NAME = 8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
# Operators whose work is in multiplications: one that takes 8-bit values should compute with these.
HEAVY = frozenset(
    ("Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Attention", "Einsum", "LSTM")
)
SHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
CONVERSIONS = (QUANTIZE, DEQUANTIZE, "Cast", "ReorderInput", "ReorderOutput")
# What ONNX Runtime calls the float32 twin of a float16 value that no kernel here can compute.
FORCED = "InsertedPrecisionFreeCast_"

BETWEEN = "works in float32 between 8-bit values"
TAKES = "takes 8-bit values and computes in float32"
HALF = "computes in float32: there is no float16 kernel for it here"
UNPACKS = "unpacks its weights to float32 at every run"
# Endings that the optimizer gives to names, and those of the tensors around a pair.
_ADDED = re.compile(r"(_nchwc|_token_\d+|/duplicated)+$")
_PAIRED = re.compile(r"_(QuantizeLinear_(Input|Output)|DequantizeLinear_Output)$")


@dataclass(frozen=True)
class Node:
    """One operator: its name (may be empty), kind, and the tensors that it takes and gives."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Operators in an order in which they can run, and names of constants."""

    nodes: tuple[Node, ...]
    constants: frozenset[str]


def read(path: Path) -> Graph:
    """The main graph of an .onnx file. Raises Fault."""
    try:
        (graph,) = (value for number, value in _fields(memoryview(path.read_bytes())) if number == GRAPH)
        parts = list(_fields(_bytes(graph)))
        constants = frozenset(_texts(_bytes(one), TENSOR_NAME)[0] for number, one in parts if number == INITIALIZER)
        nodes = tuple(_node(_bytes(value)) for number, value in parts if number == NODE)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise Fault(f"{path.name} is not an ONNX graph that edgekd can read: {error}") from error
    return Graph(nodes, constants)


def _node(data: memoryview) -> Node:
    name, kind = _texts(data, NODE_NAME), _texts(data, NODE_KIND)
    taken = tuple(text for text in _texts(data, NODE_INPUT) if text)
    return Node(name[0] if name else "", kind[0], taken, tuple(text for text in _texts(data, NODE_OUTPUT) if text))


def _texts(data: memoryview, wanted: int) -> list[str]:
    return [bytes(_bytes(value)).decode() for number, value in _fields(data) if number == wanted]


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a field is a number")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of every field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind, value = key & 7, 0
        if kind == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind not in (FIXED64, BYTES, FIXED32):
            raise ValueError(f"a field is of the kind {kind}")
        size, at = _varint(data, at) if kind == BYTES else ({FIXED64: 8, FIXED32: 4}[kind], at)
        if at + size > len(data):
            raise ValueError("it ends within a field")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def verdicts(graph: Graph, integers: Iterable[str]) -> list[Verdict]:
    """For every operator of the graph, whether it runs as the file wants; `integers` hold no floats."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    after, before = frozenset(_after(graph).difference(integers)), frozenset(_before(graph))
    found = []
    for node in graph.nodes:
        why = _why(graph, node, makers, after, before)
        found.append(Verdict(not why, why, node.kind in CONVERSIONS))
    return found


def _after(graph: Graph) -> set[str]:
    """Tensors that were made, in float32, from 8-bit values of the run."""
    found: set[str] = set()
    for node in graph.nodes:
        pair = node.kind == DEQUANTIZE and node.inputs[0] not in graph.constants
        if pair or (node.kind != QUANTIZE and found.intersection(node.inputs)):
            found.update(node.outputs)
    return found


def _before(graph: Graph) -> set[str]:
    """Tensors that 8-bit values are made from later on."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if node.kind == QUANTIZE or found.intersection(node.outputs):
            found.update(node.inputs)
    return found


def _why(graph: Graph, node: Node, makers: Mapping[str, Node], after: frozenset[str], before: frozenset[str]) -> str:
    """Why an operator is not where one wants it; empty where it is."""
    if any(name.startswith(FORCED) for name in (node.name, *node.outputs)):
        return HALF
    if node.kind == DEQUANTIZE and node.inputs[0] in graph.constants:
        return UNPACKS
    inside = before.intersection(node.outputs)
    if node.kind == DEQUANTIZE:
        readers = [other for other in graph.nodes if set(node.outputs) & set(other.inputs)]
        left = inside or any(_unfused(other, makers) for other in readers)
        return f"takes 8-bit values to float32 for {_list(readers)}" if left else ""
    if not after.intersection(node.inputs):
        return ""
    if node.kind == QUANTIZE:
        return f"takes {makers[node.inputs[0]].kind} in float32 back to 8 bits"
    if not after.intersection(node.outputs):
        return ""
    return BETWEEN if inside else TAKES if _unfused(node, makers) else ""


def _unfused(node: Node, makers: Mapping[str, Node]) -> bool:
    """Does a convolution or product take 8-bit values as float32?"""
    return node.kind in HEAVY and any(name in makers and makers[name].kind == DEQUANTIZE for name in node.inputs)


def _list(nodes: Sequence[Node]) -> str:
    return ", ".join(dict.fromkeys(node.kind for node in nodes))


def names(node: Node, files: Mapping[str, Node]) -> list[str]:
    """What else the file may call the value that an operator gives, the likeliest first.

    `files` are the operators of the file as it was, by name. A pair's float value counts as the pair's.
    """
    plain = [text for text in (_ADDED.sub("", name) for name in (*node.outputs, node.name)) if text]
    plain += [name[len(FORCED) :] for name in plain if name.startswith(FORCED)]
    found = list(plain)
    for name in plain:
        found += files[name].outputs if name in files else ()
    for name in list(found):
        base = _PAIRED.sub("", name)
        found += [base, f"{base}_DequantizeLinear_Output"]
    return list(dict.fromkeys(found))
