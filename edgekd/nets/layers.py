"""What a program computes on its way: the value of each of its nodes, and where a program made of it has the same one.

Converters decompose a program before they write a file, and name the file's tensors after the nodes of what they made.
`counterparts` leads from those back to the program's own nodes; it believes torch alone, never the file.
"""

from collections.abc import Sequence
from operator import getitem
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

# Two computations of one value differ by their rounding alone: at most by this share of its largest number.
ALIKE = 1e-4


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps every float tensor that an operator gives, as it was then: later ones may change it."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[str, NDArray[np.float32]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, Tensor) and value.is_floating_point():
            self.seen[n.name] = value.detach().to(torch.float32, copy=True).numpy()
        return value


def values(program: ExportedProgram, inputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Every node's float tensor for inputs in the program's order, sample first; each sample runs alone.

    A tensor whose first size is one then is taken to hold the sample there, any other gets a new first dimension. A
    node whose shape is not the same for each sample is left out.
    """
    runs = [_run(program, [values[row : row + 1] for values in inputs]) for row in range(len(inputs[0]))]
    found = {}
    for name, first in runs[0].items():
        each = [run[name] for run in runs]
        if all(one.shape == first.shape for one in each):
            found[name] = np.concatenate(each) if first.shape[:1] == (1,) else np.stack(each)
    return found


def _run(program: ExportedProgram, inputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Every node's float tensor for one run."""
    recorder = _Recorder(program.graph_module)
    with torch.no_grad():
        recorder.run(*arguments(program, inputs))
    return recorder.seen


def arguments(program: ExportedProgram, inputs: Sequence[NDArray[Any]]) -> list[Any]:
    """What a program's graph takes: weights, buffers and constants, and the inputs where it wants them."""
    kept: dict[str, Any] = {**program.constants, **program.state_dict}
    left = iter(inputs)
    return [
        torch.tensor(next(left)) if spec.kind == InputKind.USER_INPUT else kept[str(spec.target)]
        for spec in program.graph_signature.input_specs
    ]


def origins(program: ExportedProgram, made: ExportedProgram) -> dict[str, str]:
    """For nodes of a program made of another, the node of that one which they were made for, as torch recorded it."""
    own, found = id(program.graph), {}
    for node in made.graph.nodes:
        sources = list(node.meta.get("from_node", ()))
        while sources:
            source = sources.pop()
            if source.graph_id == own:
                found[node.name] = source.name
            sources += source.from_node
    return found


def counterparts(program: ExportedProgram, made: ExportedProgram) -> dict[str, str]:
    """For nodes of a program made of another, the node of that one whose value they hold.

    Of the nodes made for one, that is the last which gives the same numbers; torch runs both programs to see.
    """
    inputs = _probe(program)
    wanted, given = values(program, inputs), values(made, inputs)
    sources = {node.name: node for node in program.graph.nodes}
    nodes = {node.name: node for node in made.graph.nodes}
    found: dict[str, str] = {}
    for name, origin in origins(program, made).items():
        for candidate in _candidates(sources[origin], nodes[name]):
            if name in given and candidate in wanted and _alike(given[name], wanted[candidate]):
                found[candidate] = name
                break
    return {name: origin for origin, name in found.items()}


def _candidates(origin: fx.Node, made: fx.Node) -> list[str]:
    """The node that another was made for, the tensors taken of that, and what it reads.

    What it reads, since torch makes views anew for each reader where their source is changed in place.
    """
    parts = [user for user in origin.users if user.target is getitem]
    if made.target is getitem:
        parts = [part for part in parts if part.args[1] == made.args[1]]
    return [part.name for part in (origin, *parts, *origin.all_input_nodes)]


def _probe(program: ExportedProgram) -> list[NDArray[Any]]:
    """One sample, valid as numbers, ids and masks alike: noise, and zeros and ones that begin with a one."""
    random = np.random.default_rng(0)
    inputs: list[NDArray[Any]] = []
    for name in program.graph_signature.user_inputs:
        value = next(node.meta["val"] for node in program.graph.nodes if node.name == name)
        shape = (1, *(int(size) for size in value.shape[1:]))
        if value.is_floating_point():
            inputs.append(random.normal(size=shape).astype(np.float32))
            continue
        flags = random.integers(0, 2, shape)
        flags[:, :1] = 1
        inputs.append(torch.tensor(flags).to(value.dtype).numpy())
    return inputs


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Are two values the same but for rounding?"""
    if one.shape != other.shape:
        return False
    finite = np.abs(other[np.isfinite(other)])
    return np.allclose(one, other, ALIKE, ALIKE * float(finite.max(initial=0.0)))
