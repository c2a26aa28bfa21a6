"""Which tensor of a file holds the value of which node of the program.

The converter names tensors after the modules that the operators came from. So each node is given to it as a module of
its own, which changes nothing else, and a tensor's name lists the nodes that were fused into it. Among these the value
decides, on a few samples: a tensor holds a node's value where both are equal, be its channels last or not. Where names
do not suffice (one part of a split, an operator that the converter made up) any node of equal value is taken. Where a
named node's value is not found at all, the converter has only rearranged the computation, unless the outputs are wrong
too: then the last tensor that is named after it is what should have held it.
"""

import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from edgekd.litert import content as files
from edgekd.litert.instead import INSTEAD
from edgekd.nets import layers
from edgekd.results import Signature

Array = NDArray[Any]
Values = Mapping[str, Array]
# Float32 kernels sum in another order; relative, and as a share of the largest value.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
SAMPLES = 2


class _Traced(nn.Module):
    """One node of a program as a module, so that the converter writes the node's name into its tensors' names."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._target(*args, **kwargs)


# "path.to._Traced_node_relu6;;path.to._Traced_node_conv2d;2"
_NODES = re.compile(rf"{_Traced.__name__}_node_(\w+);")


def traced(program: ExportedProgram) -> fx.GraphModule:
    """The program as a module whose nodes are modules by the nodes' names."""
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_function" and hasattr(node.target, "_schema") and _tensors(node):
            path = f"{_Traced.__name__}.node_{node.name}"
            module.add_submodule(path, _Traced(INSTEAD.get(node.target, node.target)))
            with module.graph.inserting_before(node):
                twin = module.graph.call_module(path, node.args, node.kwargs)
            node.replace_all_uses_with(twin)
            module.graph.erase_node(node)
    module.recompile()
    return module


def _tensors(node: fx.Node) -> bool:
    """Does a node give a tensor, or several?"""
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and all(isinstance(v, Tensor) for v in value))


def named(model: bytes, program: ExportedProgram, signature: Signature, samples: Values) -> dict[str, str]:
    """The node whose value each tensor holds, by the tensor's short name, for a float32 file of `traced(program)`.

    The signature is the file's own; `samples` are as the program takes them. One tensor for each node: the first one
    that has its value. Outputs are named as in the file.
    """
    content, graph = files.read(model), program.graph
    names = {index: _NODES.findall(name) for index, name in enumerate(files.names(content))}
    inner = [index for index in files.computed(content) if files.readable(content.subgraphs[0].tensors[index])]
    computed = _file_values(model, inner, signature, samples)
    wanted = layers.values(program, [samples[spec.name] for spec in signature.inputs])
    outputs = _outputs(content, program, signature)
    found = dict(outputs)
    for index in inner:
        _take(found, index, _candidates(graph, names[index]), computed[index], wanted)
    for index in inner:
        # values that are all the same prove nothing
        if np.ptp(computed[index]):
            _take(found, index, wanted, computed[index], wanted)
    if not all(_equal(computed[index], wanted[node]) for index, node in outputs.items()):
        found |= _by_name_alone(graph, names, computed, wanted, found)
    return {_final_name(content, index): node for index, node in sorted(found.items())}


def _take(
    found: dict[int, str],
    index: int,
    nodes: Iterable[str],
    computed: Array,
    wanted: Mapping[str, Array],
) -> None:
    """Note the first of these nodes whose value a tensor holds, if neither has a partner yet."""
    taken = set(found.values())
    for node in nodes if index not in found else ():
        if node in wanted and _equal(computed, wanted[node]):
            if node not in taken:
                found[index] = node
            return


def _final_name(content: Any, index: int) -> str:
    outputs = content.subgraphs[0].outputs
    return files.names(content)[index] if index in outputs else files.short(index)


def _file_values(model: bytes, inner: Sequence[int], signature: Signature, samples: Values) -> dict[int, Array]:
    """What a file computes in some tensors, sample first; each sample runs alone."""
    content = files.read(model)
    files.give(content, {files.short(index): index for index in inner})
    opened = files.write(content)
    inputs = {spec.name: samples[spec.name].astype(spec.dtype) for spec in signature.inputs}
    count = len(next(iter(inputs.values())))
    each = [files.run(opened, {name: values[row : row + 1] for name, values in inputs.items()}) for row in range(count)]
    return {index: np.stack([one[files.short(index)] for one in each]) for index in inner}


def _outputs(content: Any, program: ExportedProgram, signature: Signature) -> dict[int, str]:
    """The nodes that the file's outputs are, by tensor; without those that are no node's value (an input, say)."""
    computed = {node.name for node in program.graph.nodes if node.op == "call_function"}
    own = dict(zip((spec.name for spec in signature.outputs), program.graph_signature.user_outputs, strict=True))
    slots = {slot.name.decode(): int(slot.tensorIndex) for slot in content.signatureDefs[0].outputs}
    return {slots[name]: node for name, node in own.items() if node in computed}


def _candidates(graph: fx.Graph, named: Sequence[str]) -> Iterator[str]:
    """The nodes in a tensor's name, last first, each followed by the parts that are taken of it."""
    for node in reversed(graph.nodes):
        if node.name in named:
            yield node.name
            yield from (user.name for user in node.users if user.target is operator.getitem)


def _equal(computed: Array, wanted: Array) -> bool:
    """Are these the same numbers?"""
    limit = ABSOLUTE * float(np.abs(wanted).max(initial=0))
    pairs = _laid_out(computed, wanted)
    return any(np.allclose(one, other, RELATIVE, limit, equal_nan=True) for one, other in pairs)


def _laid_out(computed: Array, wanted: Array) -> Iterator[tuple[Array, Array]]:
    """Two values in one layout, where there is one: channels may be last in the file. Axes of one do not count."""
    for order in (wanted, np.moveaxis(wanted, 1, -1)) if wanted.ndim > 2 else (wanted,):
        one, other = (values.reshape([size for size in values.shape if size != 1]) for values in (computed, order))
        if one.shape == other.shape:
            yield one, other


def _by_name_alone(
    graph: fx.Graph,
    names: Mapping[int, Sequence[str]],
    computed: Mapping[int, Array],
    wanted: Mapping[str, Array],
    found: Mapping[int, str],
) -> dict[int, str]:
    """For each node that no tensor has the value of: the last tensor named after it that is of its shape."""
    chosen: dict[str, int] = {}
    for index, values in computed.items():
        last = next(iter(_candidates(graph, names[index])), "")
        if index not in found and last in wanted and any(_laid_out(values, wanted[last])):
            chosen[last] = index
    return {index: node for node, index in chosen.items() if node not in found.values()}
