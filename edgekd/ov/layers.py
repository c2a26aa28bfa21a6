"""Which outputs of an OpenVINO model's operators hold the value of which node of the program that it was made from.

An output is named "operator:number" in the file, and a result of the model by its own name: other names of tensors hold
counters of the process that made them, and fill the file.
"""

from collections.abc import Collection, Mapping
from typing import Any

import openvino

# An output of an operator, and the name of a node of the program.
Ports = list[tuple[Any, str]]
# Operators that compute nothing.
OUTSIDE = ("Parameter", "Constant", "Result")
ACTIVATIONS = ("Relu", "Clamp", "PRelu", "HSwish", "HSigmoid", "Sigmoid", "Tanh", "Gelu", "Elu", "Swish")


def by_tensor(model: openvino.Model, names: Mapping[str, str]) -> Ports:
    """Outputs that still have the names of an ONNX file's tensors; of two names for one the later counts."""
    ports = {name: port for op in _computing(model) for port in op.outputs() for name in port.get_names()}
    found = {(id_(ports[name])): (ports[name], node) for name, node in names.items() if name in ports}
    return list(found.values())


def by_name(model: openvino.Model, names: Mapping[str, str]) -> Ports:
    """Outputs that a file's names stand for, in a model read from it or made of that."""
    ports = {name_of(port): port for op in _computing(model) for port in op.outputs()}
    return [(ports[name], node) for name, node in names.items() if name in ports]


def behind(model: openvino.Model, names: Mapping[str, str], wanted: Collection[str]) -> list[str]:
    """The operators, by name, that work out the values of these nodes of the program from those of other nodes.

    An activation function counts with what it follows: in 8 bits both are one kernel.
    """
    left = [port for port, node in by_name(model, names) if node in wanted]
    found: dict[str, None] = {}
    while left:
        operator = left.pop().get_node()
        kind, name = operator.get_type_name(), operator.get_friendly_name()
        if kind not in OUTSIDE and name not in found:
            found[name] = None
            left += [port for port in operator.input_values() if name_of(port) not in names or kind in ACTIVATIONS]
    return list(found)


def read_next(port: Any) -> Any:
    """What the next layer reads of an output: it behind its fake quantization, where it has one."""
    for reader in port.get_target_inputs():
        node = reader.get_node()
        if node.get_type_name() == "FakeQuantize" and reader.get_index() == 0:
            return node.output(0)
    return port


def shortened(model: openvino.Model) -> openvino.Model:
    """Number the operators and drop inner tensors' names."""
    for index, operator in enumerate(model.get_ordered_ops()):
        if operator.get_type_name() == "Parameter":
            continue
        operator.set_friendly_name(f"n{index}")
        for output in operator.outputs():
            # a result has the tensor of what it gives, and so its name
            if operator.get_type_name() != "Result" and not _result(output):
                output.get_tensor().set_names(set())
    return model


def named(ports: Ports) -> dict[str, str]:
    """Nodes by the names that their outputs have in the file."""
    return {name_of(port): node for port, node in ports}


def name_of(port: Any) -> str:
    """The name of an output in the file."""
    if _result(port):
        return str(min(port.get_names()))
    return id_(port)


def id_(port: Any) -> str:
    """An operator's name and the number of its output."""
    return f"{port.get_node().get_friendly_name()}:{port.get_index()}"


def _result(port: Any) -> bool:
    """Is an output a result of the model?"""
    return any(reader.get_node().get_type_name() == "Result" for reader in port.get_target_inputs())


def _computing(model: openvino.Model) -> list[Any]:
    """The operators that compute something."""
    return [op for op in model.get_ordered_ops() if op.get_type_name() not in OUTSIDE]
