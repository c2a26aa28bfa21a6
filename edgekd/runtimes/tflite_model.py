"""A TFLite file in an interpreter, whichever package that is from: they have the same methods."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .tensors import Array, cast, match, names


class Model:
    """A loaded file; inputs and outputs are found by the names of its own signature, else by position."""

    def __init__(self, interpreter: Any, signature: dict[str, Any], batch: int) -> None:
        self._interpreter = interpreter
        inputs, outputs = named(interpreter)
        wanted = names(signature, "inputs")
        order = match(wanted, [name for name, _ in inputs], "inputs")
        self._inputs = [inputs[i][1] for i in order]
        self._names, self._own_names = wanted, [inputs[i][0] for i in order]
        fixed = {int(d["shape_signature"][0]) if len(d["shape_signature"]) else 1 for d in self._inputs}
        self.batch = batch if -1 in fixed else max(fixed)
        for details in self._inputs:
            if len(details["shape_signature"]) and details["shape_signature"][0] == -1:
                interpreter.resize_tensor_input(details["index"], [self.batch, *details["shape"][1:]])
        interpreter.allocate_tensors()
        chosen = match(names(signature, "outputs"), [name for name, _ in outputs], "outputs")
        self._outputs = [outputs[i][1]["index"] for i in chosen]
        delegates = sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())
        self.notes = {"delegates": delegates}
        self.invoke = interpreter.invoke

    def feed(self, arrays: Sequence[Array]) -> None:
        """Copy one array an input into the interpreter."""
        for i, details in enumerate(self._inputs):
            self._interpreter.set_tensor(details["index"], cast(arrays[i], details["dtype"], self._names[i]))

    def outputs(self) -> list[Array]:
        """Copies of the outputs."""
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def named(interpreter: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """(name, tensor details) of inputs and outputs, in argument order, from the file's signature if it has one."""
    signatures = interpreter.get_signature_list()
    if not signatures:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        return [(d["name"], d) for d in inputs], [(d["name"], d) for d in outputs]
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    return _ordered(runner.get_input_details()), _ordered(runner.get_output_details())


def _ordered(details: dict[str, Any]) -> list[tuple[str, Any]]:
    """Signature entries by name with numbers as numbers: converters number arguments, args_2 before args_10."""

    def key(item: tuple[str, Any]) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", item[0])]

    return sorted(details.items(), key=key)
