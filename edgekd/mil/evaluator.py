"""Walk a Core ML program operator by operator, for one sample or for many at once."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.errors import NotVerified
from edgekd.mil import elementwise, layers, recurrent, resizing, shapes, weights
from edgekd.mil.given import Arguments, Given, Rule
from edgekd.mil.reading import Operation, Program, Reference, Slot, read

Array = NDArray[Any]

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **layers.RULES,
    **recurrent.RULES,
    **resizing.RULES,
    **shapes.RULES,
    **weights.RULES,
}

# How torch holds a declared type here; float16 values are float32 ones that float16 has.
HELD = {"fp16": torch.float32, "fp32": torch.float32, "bool": torch.bool, "int8": torch.int8, "uint8": torch.uint8}
# what torch raises where a rule meets what it does not know
MISFITS = (RuntimeError, IndexError, TypeError, ValueError, KeyError)
# Samples that are also evaluated one by one before many at once are believed, and how far the two may differ as a share
# of the largest output: sums in another order, which float16 may round the other way.
COMPARED = 4
EXACT, ROUNDED = 1e-4, 1e-2


class Evaluator:
    """A package that was read once; called with samples it gives what its operators give.

    `shown` names inner values that `inner` gives.
    Raises NotVerified where an operator has no rule: when it is made, or, for a variant of one, when it is called.
    """

    def __init__(self, package: Path | Program, shown: Collection[str] = ()) -> None:
        program = read(package) if isinstance(package, Path) else package
        self.inputs, self.outputs = program.inputs, program.outputs
        self._pictures = program.pictures
        _check(program.operations)
        values = (slot for operation in program.operations for slot in operation.outputs)
        self.shown = tuple(slot for slot in values if slot.name in shown)
        for slot in (*program.inputs, *program.outputs):
            if slot.shape[:1] != (1,):
                raise NotVerified(f"{slot.name} is {list(slot.shape)}, not of one sample")
        self._known: dict[int, Given] = dict(program.constants)
        self._operations: list[Operation] = []
        for operation in program.operations:
            if all(number in self._known for number in _numbers(operation.inputs.values())):
                self._known |= _applied(operation, self._known)
            else:
                self._operations.append(operation)
        self._kept = {slot.number for slot in (*self.outputs, *self.shown)}
        self._spent = _spent(self._operations, self._kept)
        halves = any(slot.kind == "fp16" for operation in self._operations for slot in operation.outputs)
        self._tolerance = ROUNDED if halves else EXACT
        self._together: bool | None = None

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name for inputs by name, sample first, each sample as the program takes one. Raises NotVerified.

        Many samples are evaluated at once by torch's vmap, under which every rule sees one sample, once that was seen
        to give what they give one by one; else one by one.
        """
        found = self._found(inputs)
        return {slot.name: found[slot.number].flatten(0, 1).numpy() for slot in self.outputs}

    def inner(self, inputs: Mapping[str, Array]) -> dict[str, Tensor]:
        """The inner values that were asked for, by name, each (samples, *its own shape). Raises NotVerified."""
        found = self._found(inputs)
        return {slot.name: found[slot.number] for slot in self.shown}

    def _found(self, inputs: Mapping[str, Array]) -> dict[int, Tensor]:
        """Outputs and inner values by number, each (samples, *its own shape)."""
        given = {slot.number: _tensor(inputs[slot.name], slot, slot.name in self._pictures) for slot in self.inputs}
        count = len(next(iter(given.values())))
        if count > 1 and self._together is None:
            self._together = self._agrees({number: values[:COMPARED] for number, values in given.items()})
        with torch.no_grad():
            return self._at_once(given) if count > 1 and self._together else self._one_by_one(given)

    def _agrees(self, given: Mapping[int, Tensor]) -> bool:
        """Whether samples give the same together as alone."""
        with torch.no_grad():
            alone = self._one_by_one(given)
            try:
                together = self._at_once(given)
            except NotVerified:  # of vmap, not of the operator: alone it was evaluated
                return False
        pairs = [(alone[slot.number].float(), together[slot.number].float()) for slot in self.outputs]
        return all(torch.allclose(a, b, rtol=0, atol=self._most(a), equal_nan=True) for a, b in pairs)

    def _most(self, values: Tensor) -> float:
        """How far these values may be from others; where there are infinities, as a share of the largest number."""
        return self._tolerance * float(values.nan_to_num(0, 0, 0).abs().max())

    def _at_once(self, given: Mapping[int, Tensor]) -> dict[int, Tensor]:
        found: dict[int, Tensor] = torch.vmap(self._run)(dict(given))
        return found

    def _one_by_one(self, given: Mapping[int, Tensor]) -> dict[int, Tensor]:
        count = len(next(iter(given.values())))
        rows = [self._run({number: values[row] for number, values in given.items()}) for row in range(count)]
        return {number: torch.stack([row[number] for row in rows]) for number in self._kept}

    def _run(self, given: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """One sample through the whole program; a value is forgotten after its last use."""
        known = self._known | dict(given)
        for operation, spent in zip(self._operations, self._spent, strict=True):
            known |= _applied(operation, known)
            for number in spent:
                del known[number]
        found = {number: known[number] for number in self._kept}
        return {number: value for number, value in found.items() if isinstance(value, Tensor)}


def _check(operations: Iterable[Operation]) -> None:
    """Raise NotVerified for every operator that has no rule, each with the first output that it gives."""
    missing: dict[str, str] = {}
    for operation in operations:
        if operation.kind not in RULES:
            missing.setdefault(operation.kind, operation.outputs[0].name)
    if missing:
        told = (f"{kind} (output {output})" for kind, output in missing.items())
        raise NotVerified(f"no rule for {', '.join(told)}")


def _tensor(samples: Array, slot: Slot, picture: bool) -> Tensor:
    """Samples (N, ...) as (N, 1, ...) for a program that takes one at a time, in the type that it declares.

    Pixels of a picture have their channels last, the program has them first.
    """
    if picture:
        samples = samples.transpose(0, 3, 1, 2)
    values = torch.from_numpy(np.ascontiguousarray(samples)).to(HELD.get(slot.kind, torch.long))
    return _rounded(values, slot).reshape(len(values), *slot.shape)


def _numbers(references: Iterable[Reference]) -> list[int]:
    return [number for one in references for number in (one if isinstance(one, tuple) else (one,))]


def _spent(operations: list[Operation], kept: set[int]) -> list[list[int]]:
    """For each operator, the values of other operators that no later one needs."""
    made = {slot.number for operation in operations for slot in operation.outputs} - kept
    spent: list[list[int]] = []
    for operation in reversed(operations):
        last = (set(_numbers(operation.inputs.values())) | {slot.number for slot in operation.outputs}) & made
        spent.append(sorted(last))
        made -= last
    return spent[::-1]


def _applied(operation: Operation, known: Mapping[int, Given]) -> dict[int, Given]:
    """What one operator gives, by number. Raises NotVerified where its rule does not fit."""
    values = {name: _value(one, known) for name, one in operation.inputs.items()}
    given = Arguments(operation.kind, values)
    place = f"(output {operation.outputs[0].name})"
    try:
        found = RULES[operation.kind](given)
    except NotVerified as error:
        raise NotVerified(f"{error} {place}") from error
    except MISFITS as error:
        raise NotVerified(f"the rule for {operation.kind} fails: {error} {place}") from error
    each = (found,) if isinstance(found, Tensor) else tuple(found)
    return {slot.number: _settled(operation, slot, value) for slot, value in zip(operation.outputs, each, strict=True)}


def _value(reference: Reference, known: Mapping[int, Given]) -> Given:
    if isinstance(reference, int):
        return known[reference]
    values = (known[number] for number in reference)
    return tuple(value for value in values if isinstance(value, Tensor))


def _settled(operation: Operation, slot: Slot, value: Tensor) -> Tensor:
    """A value as the file declares it. Raises NotVerified where the rule gives another shape or type."""
    held = HELD.get(slot.kind, torch.long)
    if _whole(value.dtype) and _whole(held):
        value = value.to(held)
    if tuple(value.shape) != slot.shape or value.dtype != held:
        declared, found = f"{slot.kind} {list(slot.shape)}", f"{value.dtype} {list(value.shape)}"
        raise NotVerified(f"the rule for {operation.kind} gives {found}, the file says {declared} (output {slot.name})")
    return _rounded(value, slot)


def _whole(kind: torch.dtype) -> bool:
    return not kind.is_floating_point and kind != torch.bool


def _rounded(value: Tensor, slot: Slot) -> Tensor:
    return value.half().float() if slot.kind == "fp16" else value
