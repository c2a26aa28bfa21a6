"""Runs a file in TensorFlow Lite Micro: python -m edgekd.tflm.child MODEL FOLDER

FOLDER/signature.json is that of the file; inputs.npz holds an array for each of its inputs by number, sample first.
Afterwards outputs.npz holds what came out, and told.json the bytes of the arena. The kernels may end the process, and
say why on the standard error alone.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekd.runtimes import tflite_micro


def main(arguments: Sequence[str]) -> int:
    """Run every sample, then find the smallest arena that is enough."""
    content, folder = Path(arguments[0]).read_bytes(), Path(arguments[1])
    signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
    with np.load(folder / "inputs.npz", allow_pickle=False) as stored:
        inputs = [stored[str(number)] for number in range(len(stored.files))]
    model = tflite_micro.Model(content, signature)
    rows = []
    for row in range(len(inputs[0])):
        model.feed([values[row : row + 1] for values in inputs])
        model.invoke()
        rows.append(model.outputs())
    outputs = {str(k): np.concatenate([row[k] for row in rows]) for k in range(len(rows[0]))}
    np.savez(folder / "outputs.npz", allow_pickle=False, **outputs)
    page = {"arena": tflite_micro.arena(model), "used": tflite_micro.used(model), "version": tflite_micro.version()}
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=PLENTY)
    outputs = _outputs(interpreter, inputs)
    np.savez(folder / "outputs.npz", allow_pickle=False, **{str(k): found for k, found in enumerate(outputs)})
    used = _used(interpreter)
    del interpreter
    page = {"arena": _smallest(model, used["total"], inputs, outputs), "used": used, "version": version(PACKAGE)}
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


def _smallest(
    model: bytes, used: int, inputs: Sequence[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]]
) -> int:
    """The smallest arena, in steps of its alignment, in which the file runs and gives the same."""
    least, span = -(-used // STEP), 1  # while the library plans, it takes more for a time
    first = [values[:1] for values in inputs]
    while not _enough(model, (least + span) * STEP, first, outputs):
        span *= 2
        if (least + span) * STEP > PLENTY:
            raise RuntimeError("no arena was enough, although the file ran in a large one")
    low, high = least - 1, least + span
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(model, middle * STEP, first, outputs) else (middle, high)
    return high * STEP


def _enough(
    model: bytes, size: int, inputs: Sequence[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]]
) -> bool:
    """Whether a file gives the same in an arena of so many bytes. One that is too small may end its process."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    same = False
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        found = _outputs(runtime.Interpreter.from_bytes(model, arena_size=size), inputs)
        same = all((found[k] == outputs[k][: len(found[k])]).all() for k in range(len(found)))
    finally:
        os._exit(0 if same else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
