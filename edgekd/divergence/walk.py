"""A program node by node: where in the user's network each stands, and what it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

Array = NDArray[Any]

# what edgekd puts around the user's network, as `network` of its own
WRAPPERS = {"edgekd.nets.programs._Positional", "edgekd.nets.inference.Logits"}
# operators whose second argument is a weight, and the axis of its output channels
WEIGHTED = {"conv1d": 0, "conv2d": 0, "conv3d": 0, "convolution": 0, "linear": 0}
WEIGHTED |= {"conv_transpose1d": 1, "conv_transpose2d": 1, "conv_transpose3d": 1}
# operators that pass their input on as it is, once training is over; views are found by their schema
PASSED_ON = {"dropout", "feature_dropout", "alpha_dropout", "clone", "alias", "lift_fresh_copy", "getitem", "_to_copy"}


@dataclass(frozen=True)
class Node:
    """One operation of a program.

    `module` is the path of the user's module that it belongs to, `kind` the module's class; `parents` are the nodes
    whose values it takes. `counts` is False where it only rearranges or passes on what it takes, unless the network
    gives just that; `boolean` says that its value is one of yes and no; `varies` that it depends on the inputs.
    """

    name: str
    module: str
    kind: str
    operator: str
    parents: tuple[str, ...]
    counts: bool
    boolean: bool
    varies: bool


def nodes(program: ExportedProgram) -> dict[str, Node]:
    """Every operation that gives a tensor, by name, in the order of the program."""
    given = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT}
    outputs, varying, found = set(program.graph_signature.user_outputs), set(given), dict[str, Node]()
    for node in program.graph.nodes:
        parents = tuple(one.name for one in node.all_input_nodes)
        if varying.intersection(parents):
            varying.add(node.name)
        if node.op == "call_function" and _gives_tensors(node.meta.get("val")):
            found[node.name] = _node(node, parents, node.name in varying, node.name in outputs)
    return found


def _node(node: fx.Node, parents: tuple[str, ...], varies: bool, output: bool) -> Node:
    path, kind = _place(node)
    operator, value = _operator(node), node.meta["val"]
    return Node(
        name=node.name,
        module=path,
        kind=kind,
        operator=operator,
        parents=parents,
        counts=output or (operator not in PASSED_ON and not getattr(node.target, "is_view", False)),
        boolean=isinstance(value, Tensor) and value.dtype == torch.bool,
        varies=varies,
    )


def _gives_tensors(value: object) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(isinstance(v, Tensor) for v in value))


def _place(node: fx.Node) -> tuple[str, str]:
    """Path and class of the innermost module that a node was called in, in the names of the user's own network."""
    parts: list[str] = []
    outer, kind, wrapped = "", "", True
    for path, made in (node.meta.get("nn_module_stack") or {}).values():
        if not wrapped:
            parts.append(path.removeprefix(outer).removeprefix("."))
        kind = made if isinstance(made, str) else f"{made.__module__}.{made.__qualname__}"
        outer, wrapped = path, kind in WRAPPERS
    own = not wrapped and "." in kind  # torch names no class of an operation that no module asked for
    return (".".join(filter(None, parts)), kind.rpartition(".")[2]) if own else ("", "")


def _operator(node: fx.Node) -> str:
    """torch's name of an operation: "conv2d"; one that works in place has the name of its twin."""
    schema = getattr(node.target, "_schema", None)
    name = schema.name.rpartition("::")[2] if schema else getattr(node.target, "__name__", str(node.target))
    return str(name).rstrip("_") or str(name)


def channel_ranges(program: ExportedProgram) -> dict[str, Array]:
    """For every convolution and linear layer, the largest absolute weight of each output channel."""
    held, found = _held(program), dict[str, Array]()
    for node in program.graph.nodes:
        axis = WEIGHTED.get(_operator(node)) if node.op == "call_function" else None
        weight = held.get(node.args[1].name) if axis is not None and isinstance(node.args[1], fx.Node) else None
        if axis is not None and weight is not None:
            found[node.name] = np.abs(np.moveaxis(weight, axis, 0)).reshape(weight.shape[axis], -1).max(1)
    return found


def channel_factors(program: ExportedProgram) -> dict[str, Array]:
    """For every batch normalization, what it multiplies each channel with; a converter folds it into the weights."""
    held, found = _held(program), dict[str, Array]()
    for node in program.graph.nodes:
        if node.op == "call_function" and _operator(node) == "batch_norm":
            weight, variance = (held.get(getattr(node.args[i], "name", "")) for i in (1, 4))
            if variance is not None:
                found[node.name] = np.abs(1.0 if weight is None else weight) / np.sqrt(variance + float(node.args[7]))
    return found


def _held(program: ExportedProgram) -> Mapping[str, Array]:
    """Weights by the name of their placeholder."""
    return {
        spec.arg.name: program.state_dict[spec.target].detach().to(torch.float32).numpy()
        for spec in program.graph_signature.input_specs
        if spec.target in program.state_dict
    }
