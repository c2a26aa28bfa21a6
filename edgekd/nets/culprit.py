"""Which operator of a program does a converter fail at, where is it in the user's own network, what to use instead?"""

import re
from collections.abc import Callable, Iterable, Sequence
from operator import getitem

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from edgekd.nets import programs
from edgekd.results import Signature

# Modules that edgekd puts around a network: what is inside of them is the user's.
WRAPPERS = ("edgekd.nets.programs._Positional", "edgekd.nets.inference.Logits")
# What to write in place of operators that some target cannot have, by a part of their name.
INSTEAD = {
    "fft": "compute the spectrum before the network, or as matrix products with constant cosines and sines",
    "stft": "compute the spectrogram before the network, or as a convolution with constant filters",
    "complex": "keep real and imaginary parts as two real tensors",
    "grid_sampler": "resize with interpolate, or sample in the preprocessing",
    "linalg": "precompute it, or write it with sums and products for the small fixed size that it has",
    "inverse": "precompute it, or write it with sums and products for the small fixed size that it has",
    "cdist": "write it as (a * a).sum(-1) + (b * b).sum(-1) - 2 * a @ b",
    "erfinv": "use a polynomial or rational approximation of it",
    "bessel": "use a polynomial approximation of it",
    "gamma": "use a polynomial approximation of it",
    "nonzero": "its size depends on the values: do it in the application, after the network",
    "unique": "its size depends on the values: do it in the application, after the network",
    "masked_select": "its size depends on the values: multiply by the mask instead",
    "masked_fill": "add a finite float mask, (1 - mask) * -1e4, instead of filling",
    "sort": "use topk with a fixed k, or sort in the application, after the network",
    "nms": "do it in the application, after the network",
    "multinomial": "do it in the application, after the network",
    "rand": "a network that ships must not draw random numbers: put it under `if self.training`",
    "lstm": "use a GRU, or 1-D convolutions",
    "unfold": "use a convolution with constant filters",
    "roll": "use slices and a concatenation",
    "cumsum": "multiply with a constant triangular matrix",
    "scatter": "multiply with a one-hot matrix",
    "index_put": "multiply with a one-hot matrix",
}
OTHERWISE = "write it with convolutions, matrix products, sums, comparisons and reshapes, which every target has"


def culprit(
    program: ExportedProgram, signature: Signature, message: str, fails: Callable[[ExportedProgram, Signature], bool]
) -> fx.Node | None:
    """The first node with which the part of the program up to it `fails`; None where no part does.

    Found by bisection, which begins at the node that the converter's `message` seems to name. The parts take one sample
    at a time and give the node's value as their only output. Where none of these fails, it is the first output that
    does so together with those before it.
    """
    nodes = [node for node in _depending(program) if node.op == "call_function" and _is_float(node)]
    low, high = 0, len(nodes)
    guess = next((i for i, node in enumerate(nodes) if node in _named(nodes, message)), None)
    probes = [] if guess is None else [guess, guess - 1]
    while low < high:
        at = next((probe for probe in probes if low <= probe < high), (low + high) // 2)
        part = _up_to(program, signature, [nodes[at].name])
        if part is not None and fails(*part):
            high = at
        else:
            low = at + 1
    found = nodes[low] if low < len(nodes) else _together(program, signature, fails)
    while found is not None and (hidden := _not_cut(found)):
        found = hidden[0]
    return found


def _together(
    program: ExportedProgram, signature: Signature, fails: Callable[[ExportedProgram, Signature], bool]
) -> fx.Node | None:
    """The operator of the first output with which the outputs up to it fail as one."""
    names = program.graph_signature.user_outputs
    for count in range(2, len(names) + 1):
        part = _up_to(program, signature, names[:count])
        if part is not None and fails(*part):
            last: fx.Node = next(node for node in program.graph.nodes if node.name == names[count - 1])
            return last.all_input_nodes[0] if last.target is getitem else last
    return None


def _depending(program: ExportedProgram) -> list[fx.Node]:
    """Nodes whose value depends on an input's: many converters fail at any part of a program that gives a constant.

    A size of an input is no value: zeros for so many samples are constant.
    """
    inputs = set(program.graph_signature.user_inputs)
    found: dict[fx.Node, None] = {}
    for node in program.graph.nodes:
        holds = isinstance(node.meta.get("val"), Tensor | tuple | list)
        if node.name in inputs or (holds and any(one in found for one in node.all_input_nodes)):
            found[node] = None
    return list(found)


def _not_cut(node: fx.Node) -> list[fx.Node]:
    """Operators right before a node whose values no part can give: complex ones, or several at once."""
    return [one for one in node.all_input_nodes if one.op == "call_function" and not _is_float(one) and _is_inner(one)]


def _is_inner(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, tuple | list) or (isinstance(value, Tensor) and value.is_complex())


def _named(nodes: Iterable[fx.Node], message: str) -> set[fx.Node]:
    """Nodes whose name or operator is a word of a message."""
    said = {word.lower() for word in re.findall(r"[A-Za-z_]\w*", message)}
    return {node for node in nodes if said & {node.name, operator(node).lower()}}


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 0


def _up_to(
    program: ExportedProgram, signature: Signature, names: Sequence[str]
) -> tuple[ExportedProgram, Signature] | None:
    """The part of a program that gives these nodes' values, for one sample; None where that cannot be cut out."""
    module = program.module()
    graph = module.graph
    made = {node.name: node for node in graph.nodes}
    if not made.keys() >= set(names):
        return None
    for guard in [other for other in graph.nodes if other.op == "call_module" and not other.users]:
        graph.erase_node(guard)
    output = next(other for other in graph.nodes if other.op == "output")
    with graph.inserting_before(output):
        graph.output(tuple(made[name] for name in names))
    graph.erase_node(output)
    # not by eliminate_dead_code, which keeps what might draw random numbers, such as a recurrent layer
    for other in reversed(list(graph.nodes)):
        if other.op == "call_function" and not other.users:
            graph.erase_node(other)
    module.recompile()
    one = programs.with_batch(signature, 1)
    try:
        part = torch.export.export(module, programs.samples(one, 1))
    except programs.UNTRACEABLE:
        return None
    pairs = zip(one.outputs, part.graph.output_node().args[0], strict=False)
    outputs = tuple(spec.model_copy(update={"shape": tuple(value.meta["val"].shape)}) for spec, value in pairs)
    return part, one.model_copy(update={"outputs": outputs})


def operator(node: fx.Node) -> str:
    """The plain name of a node's operator, "aten.linalg_inv.default" -> "linalg_inv"."""
    parts = str(node.target).split(".")
    return parts[1] if len(parts) > 1 and parts[0] in ("aten", "prims") else parts[-1]


def place(node: fx.Node) -> tuple[str, str]:
    """Where a node is in the user's own network, "blocks.1.conv", and the class of that module, "Conv2d".

    The path is empty in the network's own forward; the class is empty where nothing is known of the node.
    """
    stack = [(path, kind) for path, kind in _stack(node) if kind not in WRAPPERS]
    if not stack:
        return "", ""
    (root, _), (path, kind) = stack[0], stack[-1]
    return path.removeprefix(root).removeprefix("."), kind.rpartition(".")[2]


def _stack(node: fx.Node) -> Iterable[tuple[str, str]]:
    """(path, class) of the modules around a node, outermost first."""
    stack = node.meta.get("nn_module_stack") or {}
    return [
        (path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")
        for path, kind in stack.values()
    ]


def told(node: fx.Node) -> str:
    """In words: the operator and where it stands, "aten.linalg_inv in blocks.1 (Inner)"."""
    path, kind = place(node)
    where = " in the network's own forward" if kind and not path else f" in {path}" if path else ""
    return f"{str(node.target).removesuffix('.default')}{where}{f' ({kind})' if kind else ''}"


def instead(node: fx.Node) -> str:
    """What to use in place of a node's operator."""
    name = operator(node)
    return next((advice for part, advice in INSTEAD.items() if part in name), OTHERWISE)
