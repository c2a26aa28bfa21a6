"""Which values of a Core ML program hold the value of which node of the exported program that it was made of.

Every node is given a number that coremltools carries along to the operators that it makes of it. Which of these
operators has the node's value is settled by evaluating both programs for one sample.
"""

import operator
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from coremltools.converters.mil.mil.scope import ScopeSource
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram

from edgekd.errors import NotVerified
from edgekd.mil.evaluator import Evaluator
from edgekd.mil.reading import Operation, Program, Slot, read

# A value may be so far from its node's, as a share of the node's largest, and still be that: float32, float16 inside.
NEAR, NEAR_HALF = 1e-3, 3e-2
# Scales are float16, and may be folded into others.
SAME_SCALE = 0.01
Values = Mapping[str, NDArray[Any]]
# The nodes that each value of a Core ML program was made of, by value.
MadeOf = Mapping[str, list[str]]


def number(lowered: ExportedProgram, program: ExportedProgram) -> dict[tuple[int, int], str]:
    """Give the nodes of a lowered program their numbers; returns which nodes of the first program they come from.

    They are returned by number and by which value of several is meant, for which the first program has a node each.
    """
    first = {node.name: node for node in program.graph.nodes}
    names: dict[tuple[int, int], str] = {}
    for i, node in enumerate(lowered.graph.nodes):
        origin = next(_origins(node.meta.get("from_node") or (), program.graph), "")
        if node.op == "call_function" and node.target is not operator.getitem and origin in first:
            node.meta["debug_handle"] = i
            parts = {user.args[1]: user.name for user in first[origin].users if user.target is operator.getitem}
            names |= {(i, part): name for part, name in (parts or {0: origin}).items()}
    return names


def _origins(sources: Any, graph: fx.Graph) -> Iterator[str]:
    """Names of the nodes of a graph that one stems from; torch.export keeps its whole descent."""
    for source in sources:
        if source.graph_id == id(graph):
            yield source.name
        yield from _origins(source.from_node, graph)


def named(model: Any, names: Mapping[tuple[int, int], str]) -> MadeOf:
    """The nodes that each value of a converted model was made of by value, in the order of the first program."""
    found: dict[str, list[str]] = {}
    for one in model._mil_program.functions["main"].operations:
        handles = sorted(handle for handle in one.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or () if handle is not None)
        for part, value in enumerate(one.outputs if one.op_type != "const" else ()):
            nodes = [names[handle, part] for handle in handles if (handle, part) in names]
            found |= {value.name: nodes} if nodes else {}
    return found


def settled(
    package: Path, made_of: MadeOf, sample: Values, values: Values, outputs: Mapping[str, str]
) -> dict[str, str]:
    """The node of the program by the value that holds it, each node once; `outputs` are certain from the start.

    `sample` is one sample by input, and `values` what the program's nodes give for it, one sample first. Where the
    package computes what the program does, a value that differs from a node's is not that node's. Where it does not,
    the last value made of a node stands for it, unless it only has the node's numbers in another order. Nothing is
    known of a package that cannot be evaluated.
    """
    try:
        made = Evaluator(package, {*made_of, *outputs})
        found = {name: _one(value[0]) for name, value in made.inner(sample).items()}
    except NotVerified:
        return dict(outputs)
    torch_has = {node: torch.from_numpy(value) for node, value in values.items()}
    near = NEAR_HALF if any(slot.kind == "fp16" for slot in made.shown) else NEAR
    right = all(_near(found[value], torch_has[node], near) for value, node in outputs.items() if node in torch_has)
    pairs = _pairs(made_of, found, torch_has)
    chosen = {node: value for value, node in pairs if _near(found[value], torch_has[node], near)}
    if not right:
        last = {nodes[-1]: value for value, nodes in made_of.items()}
        kept = [(value, node) for value, node in pairs if last.get(node) == value and node not in chosen]
        chosen |= {node: value for value, node in kept if not _moved(found[value], torch_has[node], near)}
    claimed = {value: node for node, value in chosen.items() if node not in outputs.values()}
    return {slot.name: claimed[slot.name] for slot in made.shown if slot.name in claimed} | dict(outputs)


def _one(value: Tensor) -> Tensor:
    """With one sample first, where it has none."""
    return value if value.shape[:1] == (1,) else value[None]


def _pairs(made_of: MadeOf, found: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Every value with every node that it was made of and has the shape of, in the order of the package."""
    pairs = [(value, node) for value, nodes in made_of.items() for node in nodes if value in found and node in values]
    return [(value, node) for value, node in pairs if found[value].shape == values[node].shape]


def carried(package: Path, claims: Mapping[str, str]) -> dict[str, str]:
    """The same claims for a package that was made of the first by compression.

    Of a value that is quantized, what is dequantized from it is claimed: that is what the next layer reads. A value
    that coremltools keeps on another scale, as it does around sums of 8 bits, is none of the node's numbers.
    """
    program = read(package)
    factors = _factors(program)
    slots = {slot.name: slot.number for one in program.operations for slot in one.outputs}
    after: dict[int, list[Slot]] = {}
    for one in program.operations:
        if one.kind in ("quantize", "dequantize") and isinstance(one.inputs["input"], int):
            after.setdefault(one.inputs["input"], []).extend(one.outputs)
    kept: dict[str, str] = {}
    for value, node in claims.items():
        if value in slots:
            read_next = [slot for coded in after.get(slots[value], ()) for slot in after.get(coded.number, ())]
            names = {slot.name: factors[slot.number] for slot in read_next} | {value: factors[slots[value]]}
            name = next((name for name, factor in names.items() if abs(factor - 1) <= SAME_SCALE), None)
            kept |= {name: node} if name else {}
    return kept


def _factors(program: Program) -> dict[int, float]:
    """How many times what it stands for each value is: of 8-bit values, the scale that they stand for."""
    factors: dict[int, float] = {slot.number: 1.0 for slot in program.inputs}
    for one in program.operations:
        taken = [number for part in one.inputs.values() for number in (part if isinstance(part, tuple) else (part,))]
        factor = next((factors[number] for number in taken if factors.get(number, 1.0) != 1.0), 1.0)
        if one.kind in ("quantize", "dequantize"):
            coded = _coded(program, one, factors)
            factor = factor if coded is None else coded
        factors |= {slot.number: factor for slot in one.outputs}
    return factors


def _coded(program: Program, one: Operation, factors: Mapping[int, float]) -> float | None:
    """The factor of what is quantized, which is its true scale, or dequantized; None for one scale a channel."""
    source, scale = one.inputs["input"], one.inputs["scale"]
    table = program.constants.get(scale) if isinstance(scale, int) else None
    if not isinstance(source, int) or not isinstance(table, Tensor) or table.numel() != 1:
        return None
    known = factors.get(source, 1.0)
    return float(table) / known if known else None


def _near(one: Tensor, two: Tensor, near: float) -> bool:
    one, two = one.double(), two.double()
    finite = two[two.isfinite()].abs()
    return torch.allclose(one, two, rtol=0, atol=near * float(finite.max()) if len(finite) else 0, equal_nan=True)


def _moved(one: Tensor, two: Tensor, near: float) -> bool:
    """Whether two values are of the same numbers in another order; of masks, which have few, nobody can say."""
    one, two = one.flatten().sort().values, two.flatten().sort().values
    return 2 * len(set(two.tolist())) > len(two) and _near(one, two, near)
