"""Exported networks as .pt2 files: traced once, the same bytes each time, and all that leaves torch.

A .pt2 is executable: load only those that edgekd wrote itself (the store checks their digests) or that the user trusts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from edgekd.errors import Problem, Unsuited, UsageError
from edgekd.nets import networks
from edgekd.results import Signature

# torch.export treats sizes 0 and 1 as constants, so a batch that shall vary is traced with another size.
TRACED_BATCH = 3
TOLERANCE = 1e-4
# what torch.export raises, or the network itself while it is traced
UNTRACEABLE = (RuntimeError, TypeError, ValueError, AttributeError)


class _Positional(nn.Module):
    """A network that takes its inputs in the signature's order and gives a tuple of the signature's outputs only."""

    def __init__(self, network: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.network = network
        self._signature = signature

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = networks.named(self.network(*inputs), self._signature)
        return tuple(outputs[spec.name] for spec in self._signature.outputs)


def trace(
    network: nn.Module, signature: Signature, rows: Mapping[str, NDArray[Any]], where: str
) -> tuple[ExportedProgram, Signature]:
    """Export a network for any batch where it allows that, else for one sample; the signature given back says which.

    `rows` are a few real samples, to see whether the network treats each for itself. Raises UsageError, naming `where`
    the network is from, for one that torch.export cannot follow.
    """
    module = _Positional(network, signature).eval().requires_grad_(False)
    program = _any_batch(module, signature, [torch.tensor(rows[spec.name]) for spec in signature.inputs])
    if program is None:
        signature = with_batch(signature, 1)
        try:
            program = torch.export.export(module, samples(signature, 1))
        except UNTRACEABLE as error:
            reason = f"torch.export cannot follow this network ({type(error).__name__}: {_first_line(error)})"
            hint = "Its forward must be free of branches on values of tensors, and of other libraries' arrays"
            raise UsageError(Problem(where, reason, hint)) from error
    for node in program.graph.nodes:
        # paths of the machine that exported it, which nobody else needs
        node.meta.pop("stack_trace", None)
    return program, signature


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _any_batch(module: nn.Module, signature: Signature, rows: Sequence[Tensor]) -> ExportedProgram | None:
    """A program whose batch may vary, if the network treats samples one by one whatever their number."""
    shapes = (tuple({0: Dim("batch", min=1)} for _ in signature.inputs),)
    try:
        program = torch.export.export(module, samples(signature, TRACED_BATCH), dynamic_shapes=shapes)
        run = program.module()
        with torch.no_grad():
            together = run(*rows)
            alone = [run(*(values[row : row + 1] for values in rows)) for row in range(len(rows[0]))]
    # a network that fixes its batch; whether it can be followed at all, the export for one sample tells
    except UNTRACEABLE:
        return None
    each = [torch.cat(values) for values in zip(*alone, strict=True)]
    pairs = zip(each, together, strict=True)
    alike = all(a.shape == b.shape and torch.allclose(a, b, TOLERANCE, TOLERANCE) for a, b in pairs)
    return program if alike else None


def write(program: ExportedProgram, path: Path) -> None:
    """Write a .pt2. The file's own name is inside it, so the same bytes need the same name."""
    torch.export.save(program, path)


def load(path: Path) -> ExportedProgram:
    """Read a .pt2 that edgekd wrote. Raises Unsuited for an ONNX file of the user's own."""
    if path.suffix == ".onnx":
        hint = (
            "Give the torch network it was exported from, as module:function or .pt2; onnx and openvino take the file"
        )
        raise Unsuited(Problem("", "this format is made from torch networks, and an ONNX file is none", hint))
    return torch.export.load(path)


def dynamic(signature: Signature) -> bool:
    """Does a program with this signature run with any number of samples at once?"""
    return all(spec.shape[0] == -1 for spec in signature.inputs)


def samples(signature: Signature, batch: int) -> tuple[Tensor, ...]:
    """Inputs of the right shapes and types, all ones: valid as ids and as masks alike."""
    return tuple(torch.ones((batch, *spec.shape[1:]), dtype=getattr(torch, spec.dtype)) for spec in signature.inputs)


def with_batch(signature: Signature, batch: int) -> Signature:
    """The same signature with another batch dimension: -1 for any, else a fixed number."""
    inputs, outputs = (
        tuple(spec.model_copy(update={"shape": (batch, *spec.shape[1:])}) for spec in specs)
        for specs in (signature.inputs, signature.outputs)
    )
    return signature.model_copy(update={"inputs": inputs, "outputs": outputs})


def without_int64(signature: Signature) -> Signature:
    """The same signature with 32-bit integers where it had 64-bit ones, as most devices want them."""
    inputs = tuple(
        spec.model_copy(update={"dtype": "int32"}) if spec.dtype == "int64" else spec for spec in signature.inputs
    )
    return signature.model_copy(update={"inputs": inputs})


def at_batch_one(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """The same program for one sample at a time, for runtimes that want all shapes fixed."""
    return torch.export.export(program.module(), samples(signature, 1)) if dynamic(signature) else program


class _Frozen(nn.Module):
    """A program as a network that a tracer may put into eval mode, in which it is for good."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)

    def train(self, mode: bool = True) -> "_Frozen":
        return self

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self.program(*inputs)
        return outputs


def network(program: ExportedProgram) -> nn.Module:
    """A program as a network again, for converters that trace networks."""
    return _Frozen(program)


def digest(program: ExportedProgram) -> str:
    """sha256 of the graph without its weights: operators, arguments, shapes and types in order.

    Trained and untrained networks of one architecture have the same digest, and so the same latency.
    """
    kinds = {spec.arg.name: spec.kind.name for spec in program.graph_signature.input_specs}
    text = "\n".join(_lines(program.graph_module, kinds))
    return hashlib.sha256(text.encode()).hexdigest()


def _lines(module: fx.GraphModule, kinds: Mapping[str, str]) -> list[str]:
    """One line a node, free of names (a renamed layer is the same graph), of values and of memory addresses."""
    numbers: dict[fx.Node, str] = {}
    lines: list[str] = []
    for node in module.graph.nodes:
        inner = getattr(module, str(node.target), None) if node.op == "get_attr" else None
        if isinstance(inner, fx.GraphModule):
            lines += ["{", *_lines(inner, {}), "}"]
        target = _target(node.target) if node.op == "call_function" else kinds.get(node.name, "")
        args, kwargs = (fx.node.map_arg(part, lambda used: numbers[used]) for part in (node.args, node.kwargs))
        lines.append(f"{node.op} {target} {args} {kwargs} -> {_shape(node.meta.get('val'))}")
        numbers[node] = f"%{len(numbers)}"
    return lines


def _target(target: Any) -> str:
    """An operator's name, a function's, or that of what runs a part of the graph, an object without a name."""
    if hasattr(target, "_schema"):
        return str(target)
    kind = target if hasattr(target, "__qualname__") else type(target)
    return f"{kind.__module__}.{kind.__qualname__}"


def _shape(value: Any) -> str:
    """Type and shape of a node's tensor or tensors; a size that varies is -1."""
    if isinstance(value, Tensor):
        sizes = ", ".join(str(size) if isinstance(size, int) else "-1" for size in value.shape)
        return f"{value.dtype} ({sizes})"
    if isinstance(value, tuple | list):
        return f"[{'; '.join(_shape(one) for one in value)}]"
    return type(value).__name__
