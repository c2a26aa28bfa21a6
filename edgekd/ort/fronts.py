"""What stands before raw inputs as ONNX operators, put into a file of the user's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.plugins import Front
from edgekd.results import Signature

TYPES = {"uint8": TensorProto.UINT8, "int16": TensorProto.INT16}
FIRST, TURNED = (0, 3, 1, 2), (0, 1, 3, 2)
HALF, LEAST, MOST = (np.array(number, np.float32) for number in (0.5, 0, 255))


class _Nodes:
    """Operators in a row, of which each takes what the one before gives; names begin with the input's."""

    def __init__(self, name: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._name, self.last = name, name

    def add(self, kind: str, *constants: NDArray[Any], **attributes: Any) -> None:
        """One more, with constants behind what it takes."""
        taken = [self.last, *map(self._constant, constants)]
        self.last = f"{self._name}.raw{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, taken, [self.last], name=self.last, **attributes))

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"{self._name}.constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


def with_fronts(source: Path, signature: Signature, fronts: Mapping[str, Front], path: Path) -> None:
    """Write a copy of a file that takes the raw inputs of `signature`, with what stands before them by name."""
    model = onnx.load(source)
    graph = model.graph
    for spec in signature.inputs:
        if spec.name not in fronts:
            continue
        made = _before(spec.name, fronts[spec.name])
        for node in graph.node:
            node.input[:] = [made.last if name == spec.name else name for name in node.input]
        _put_first(graph, made.nodes)
        graph.initializer.extend(made.constants)
        value = next(value for value in graph.input if value.name == spec.name)
        first = value.type.tensor_type.shape.dim[0]
        batch = first.dim_value or first.dim_param
        value.CopyFrom(helper.make_tensor_value_info(spec.name, TYPES[spec.dtype], [batch, *spec.shape[1:]]))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _put_first(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _before(name: str, wanted: Front) -> _Nodes:
    """The operators of one input."""
    made = _Nodes(name)
    if not wanted.picture:
        made.add("Cast", to=TensorProto.INT32)  # OpenVINO fuses what follows a cast of 16 bits, and has no kernel then
    made.add("Cast", to=TensorProto.FLOAT)
    if not wanted.picture:
        made.add("Mul", wanted.factor)
        return made
    made.add("Transpose", perm=FIRST)
    channels = (-1, 1, 1)
    if wanted.luma is not None:
        made.add("Mul", wanted.luma.reshape(channels))
        made.add("ReduceSum", np.array([1], np.int64), keepdims=1)
        made.add("Add", HALF)
        made.add("Floor")
    if wanted.colour:
        made.add("Gather", np.zeros(3, np.int64), axis=1)
    if wanted.reversed:
        made.add("Gather", np.array([2, 1, 0], np.int64), axis=1)
    if wanted.across is not None:
        for _ in ("across", "down"):
            made.add("Add", HALF)
            made.add("MatMul", wanted.across)
            made.add("Floor")
            made.add("Clip", LEAST, MOST)
            made.add("Transpose", perm=TURNED)
    made.add("Mul", wanted.factor.reshape(channels))
    made.add("Add", wanted.shift.reshape(channels))
    return made
