"""Runs a file in TensorFlow Lite Micro: python -m edgekd.tflm.child MODEL FOLDER

FOLDER/inputs.npz holds arrays by number, one sample after the other; afterwards outputs.npz holds what came out, and
told.json the bytes of the arena. The kernels may end the process, and say why on the standard error alone.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tflite_micro import runtime

from edgekd.tflm import PACKAGE

# Far more than any microcontroller has; what is not written to is not taken.
PLENTY = 256 << 20
# The arena of a microcontroller is aligned to so many bytes.
STEP = 16
TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


def main(arguments: Sequence[str]) -> int:
    """Run every sample, then find the smallest arena in which the same outputs come out."""
    model, folder = Path(arguments[0]).read_bytes(), Path(arguments[1])
    with np.load(folder / "inputs.npz", allow_pickle=False) as stored:
        inputs = [stored[str(number)] for number in range(len(stored.files))]
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=PLENTY)
    outputs = _outputs(interpreter, inputs)
    np.savez(folder / "outputs.npz", allow_pickle=False, **{str(k): found for k, found in enumerate(outputs)})
    used = _used(interpreter)
    del interpreter
    page = {"arena": _enough(model, used["total"], inputs, outputs), "used": used, "version": version(PACKAGE)}
    (folder / "told.json").write_text(json.dumps(page), encoding="utf-8")
    return 0


def _outputs(interpreter: Any, inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Every output, sample first."""
    rows = []
    for row in range(len(inputs[0])):
        for number, values in enumerate(inputs):
            interpreter.set_input(values[row : row + 1], number)
        interpreter.invoke()
        rows.append(_all(interpreter))
    return [np.concatenate([row[number] for row in rows]) for number in range(len(rows[0]))]


def _all(interpreter: Any) -> list[np.ndarray[Any, Any]]:
    """The outputs of one run; there is no way to ask how many there are."""
    found: list[np.ndarray[Any, Any]] = []
    while True:
        try:
            found.append(interpreter.get_output(len(found)))
        except IndexError:
            return found


def _used(interpreter: Any) -> dict[str, int]:
    """What the allocator says that it gave away, in bytes. It says so on the standard error."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return {what: int(count) for what, count in TOTAL.findall(file.read().decode())}


def _enough(
    model: bytes, used: int, inputs: Sequence[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]]
) -> int:
    """The smallest arena, in steps of its alignment, in which the file runs and gives the same."""
    first = [values[:1] for values in inputs]
    for size in range(-(-used // STEP) * STEP, 2 * used + 64 * STEP, STEP):
        try:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=size)
            found = _outputs(interpreter, first)
        except RuntimeError:
            continue
        if all((found[k] == outputs[k][: len(found[k])]).all() for k in range(len(found))):
            return size
    raise RuntimeError(f"no arena of up to {2 * used} bytes is enough, although {used} were given away")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
