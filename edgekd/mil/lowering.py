"""What coremltools' converter lacks for programs of torch.export.

What it does not know is written out in operators that it does. Recurrent layers it knows from TorchScript alone: an
LSTM becomes Core ML's own here; GRUs and plain recurrent layers are written out step by step, since Core ML's gru
before iOS 18 has no bias of its own inside the reset gate, as torch has it.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.torch.ops import _get_inputs
from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY, register_torch_op
from coremltools.converters.mil.frontend.torch.utils import sanitize_op_kind
from coremltools.converters.mil.mil import Builder as mb
from numpy.typing import NDArray
from torch import fx
from torch._decomp import get_decompositions
from torch._ops import OperatorBase, OpOverload
from torch.export import ExportedProgram

POOLS = tuple(getattr(torch.ops.aten, f"{kind}_pool{n}d").default for kind in ("max", "avg") for n in (1, 2, 3))
ALIASES = (torch.ops.aten.alias.default, torch.ops.prims.view_of.default)
FILLED = {
    torch.ops.aten.zeros_like.default: 0,
    torch.ops.aten.ones_like.default: 1,
    torch.ops.aten.new_zeros.default: 0,
    torch.ops.aten.new_ones.default: 1,
}
# operators that are written out may be made of others that must be
DEEPEST = 8
Weights = Sequence[Any]
Table = dict[OperatorBase, Callable[..., Any]]


def lowered(program: ExportedProgram) -> ExportedProgram:
    """A program in operators that coremltools takes, as far as torch can write the others out in these."""
    found: ExportedProgram = program.run_decompositions({})
    for _ in range(DEEPEST):
        table = _table({node.target for node in found.graph.nodes if _unknown(node)})
        if not table:
            break
        found = found.run_decompositions(table)
    for node in list(found.graph.nodes):
        _mended(found.graph, node)
    return found


def _mended(graph: fx.Graph, node: fx.Node) -> None:
    """Put another node in the place of one that coremltools takes for something else."""
    # of a pool without a stride the kernel is the stride, which coremltools does not know
    if node.target in POOLS and len(node.args) == 2 and "stride" not in node.kwargs:
        node.args = (*node.args, node.args[1])
    if node.target in ALIASES and isinstance(node.args[0], fx.Node):
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    # it gives such tensors the type of the first argument, whatever type they shall have: masks come out inverted
    if node.target in FILLED:
        value = FILLED[node.target]
        whole, kind = list(node.meta["val"].shape), node.meta["val"].dtype
        with graph.inserting_before(node):
            made = graph.call_function(torch.ops.aten.full.default, (whole, value), {"dtype": kind})
        made.meta = node.meta
        node.replace_all_uses_with(made)
        graph.erase_node(node)


def _unknown(node: fx.Node) -> bool:
    """Whether coremltools has no converter for an operator."""
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return False
    name = node.target.name()  # type: ignore[no-untyped-call]
    return sanitize_op_kind(name) not in _TORCH_OPS_REGISTRY


def _table(operators: Collection[Any]) -> Table:
    """How torch writes out those of these operators that it can."""
    every = torch.export.default_decompositions()
    written: Table = {one: every[one] for one in operators if one in every}
    others: Table = dict(get_decompositions([one for one in operators if one not in written]))
    return written | others


@register_torch_op(torch_alias=["lstm.input"])  # type: ignore[untyped-decorator]
def edgekd_lstm(context: Any, node: Any) -> None:
    """aten.lstm.input as one lstm a layer; gives (output, last hidden states, last cell states)."""
    given = _get_inputs(context, node)
    x, (hidden, cell), weights = given[:3]
    biased, layers, both, batch_first = (bool(given[3].val), int(given[4].val), *(bool(one.val) for one in given[7:9]))
    ways = 2 if both else 1
    x = mb.transpose(x=x, perm=[1, 0, 2]) if batch_first else x
    size = len(weights) // layers
    last: tuple[list[Any], list[Any]] = ([], [])
    for layer in range(layers):
        parts = _parts(weights[layer * size : (layer + 1) * size], biased)
        start = [_joined(states, layer * ways, ways) for states in (hidden, cell)]
        direction = "bidirectional" if both else "forward"
        x, *states = mb.lstm(
            x=x, initial_h=start[0], initial_c=start[1], direction=direction, output_sequence=True, **parts
        )
        for kept, state in zip(last, states, strict=True):
            kept += mb.split(x=state, num_splits=ways, axis=1) if both else [state]
    x = mb.transpose(x=x, perm=[1, 0, 2]) if batch_first else x
    context.add((x, *(mb.stack(values=states, axis=0) for states in last)), torch_name=node.name)


def _parts(weights: Weights, biased: bool) -> dict[str, NDArray[np.float32]]:
    """One layer's parameters as Core ML has them: its order of gates, one bias."""
    found: dict[str, NDArray[np.float32]] = {}
    size = 4 if biased else 2
    for number, suffix in enumerate(("", "_back")[: len(weights) // size]):
        own = [_ordered(one.val) for one in weights[number * size : (number + 1) * size]]
        found |= {f"weight_ih{suffix}": own[0], f"weight_hh{suffix}": own[1]}
        if biased:
            found[f"bias{suffix}"] = own[2] + own[3]
    return found


def _ordered(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Input, forget, output, cell in place of torch's input, forget, cell, output."""
    i, f, z, o = np.split(weight, 4)
    return np.concatenate([i, f, o, z])


def _joined(states: Any, first: int, count: int) -> Any:
    """Initial states (layers * ways, 1, H) of one layer, as (1, ways * H)."""
    rows = [mb.gather(x=states, indices=first + i, axis=0) for i in range(count)]
    return mb.concat(values=rows, axis=1) if count > 1 else rows[0]
