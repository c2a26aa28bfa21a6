"""TFLite files by TensorFlow Lite Micro's reference kernels, as they run on microcontrollers, on this computer."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
from tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from .fault import Fault
from .tensors import Array, cast, match, names

VERSION = 1
PACKAGES = ("tflite-micro",)
EXTRA = "micro"
REQUIRES = ("tflite-micro>=0.dev20261023; sys_platform == 'linux' and platform_machine == 'x86_64'",)
PLATFORMS = ("linux-x86_64",)
# The format whose files it runs, if one asks for it.
INSTEAD_OF = "tflite"
UNPROFILED = "TensorFlow Lite Micro's Python package has no door to its profiler"
# Found by running files in it (tests/test_runtimes_tflite_micro.py).
LACKS = {
    "float16": "TensorFlow Lite Micro does not read weights of 16-bit floats; ask for int8-full",
    "int8": "TensorFlow Lite Micro scales all rows of such weights by the first one's scale; ask for int8-full",
    "int8-weights": "TensorFlow Lite Micro scales all rows of such weights by the first one's scale; ask for int8-full",
    "int8-dynamic": "TensorFlow Lite Micro has no kernels for such weights beside floats; ask for int8-full",
    "int4-weights": "TensorFlow Lite Micro has no kernels for such weights beside floats; ask for int8-full",
}

# Far more than any microcontroller has; what is not written to is not taken.
PLENTY = 256 << 20
# The arena of a microcontroller is aligned to so many bytes.
STEP = 16
# Where in the library's sources something was said.
PLACE = re.compile(r"^\S+\.(?:cc|h):\d+ ")
TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


class Model:
    """A loaded file, for one sample at a time; inputs and outputs are found by the names of its own signature."""

    batch = 1

    def __init__(self, content: bytes, signature: dict[str, Any], arena: int = PLENTY) -> None:
        self.content, self.signature = content, signature
        self.interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
        inputs, outputs = numbers(content)
        self._names = names(signature, "inputs")
        order = match(self._names, list(inputs), "inputs")
        self._inputs = [inputs[list(inputs)[place]] for place in order]
        self._types = [self.interpreter.get_input_details(number)["dtype"] for number in self._inputs]
        order = match(names(signature, "outputs"), list(outputs), "outputs")
        self._outputs = [outputs[list(outputs)[place]] for place in order]
        self._fed: list[Array] = []
        self.notes: dict[str, Any] = {}

    def feed(self, arrays: Sequence[Array]) -> None:
        """Copy one array an input into the arena."""
        self._fed = [cast(arrays[i], np.dtype(kind), self._names[i]) for i, kind in enumerate(self._types)]
        for i, number in enumerate(self._inputs):
            self.interpreter.set_input(self._fed[i], number)

    def invoke(self) -> None:
        """Run once. The kernels may write where inputs are, so these are not there any more."""
        try:
            self.interpreter.invoke()
        except RuntimeError as error:
            raise Fault(f"TensorFlow Lite Micro did not run the file: {error}") from error

    def outputs(self) -> list[Array]:
        """Copies of the outputs."""
        return [self.interpreter.get_output(number) for number in self._outputs]


def version() -> str:
    """The package's version."""
    return installed(PACKAGES[0])


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Read a .tflite file and plan its arena. Raises Fault."""
    if any(spec["shape"][0] != 1 for spec in signature["inputs"]):
        raise Fault("TensorFlow Lite Micro takes files for one sample at a time, and this one takes any number")
    with heard() as told:
        try:
            return Model(path.read_bytes(), signature)
        except (ValueError, RuntimeError) as error:
            failed = error
    lines = [PLACE.sub("", line) for line in "".join(told).splitlines()]
    why = "; ".join([*lines[:2], str(failed)])
    raise Fault(f"{path.name} does not run in TensorFlow Lite Micro: {why}") from failed


def arena(model: Model) -> int:
    """The smallest arena, in steps of its alignment, in which the file runs and gives the same. Raises Fault."""
    wanted, least = model.outputs(), -(-used(model)["total"] // STEP)
    span = 1  # steps beyond what was given away that are enough: while it plans, it takes more for a time
    while not _enough(model, (least + span) * STEP, wanted):
        span *= 2
        if (least + span) * STEP > PLENTY:
            raise Fault("no arena was enough, although the file ran in a large one")
    low, high = least - 1, least + span
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(model, middle * STEP, wanted) else (middle, high)
    return high * STEP


def _enough(model: Model, size: int, wanted: Sequence[Array]) -> bool:
    """Whether a file gives the same in an arena of so many bytes. One that is too small may end its process."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    same = False
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        small = Model(model.content, model.signature, size)
        small.feed(model._fed)
        small.invoke()
        same = all((one == wanted[i]).all() for i, one in enumerate(small.outputs()))
    finally:
        os._exit(0 if same else 1)


def used(model: Model) -> dict[str, int]:
    """Bytes that the allocator says it gave away: "total", "head" and "tail". It says so on the standard error."""
    with heard() as told:
        model.interpreter.print_allocations()
    return {what: int(count) for what, count in TOTAL.findall("".join(told))}


@contextmanager
def heard() -> Iterator[list[str]]:
    """What the library writes to the standard error meanwhile, there at the end."""
    told: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield told
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            told.append(file.read().decode(errors="replace"))


def numbers(content: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Which input, and which output, each name of a file's own signature is."""
    page = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph, signature = page.subgraphs[0], page.signatureDefs[0] if page.signatureDefs else None
    return (
        _named(graph, list(graph.inputs), signature.inputs if signature else ()),
        _named(graph, list(graph.outputs), signature.outputs if signature else ()),
    )


def _named(graph: Any, tensors: list[int], named: Any) -> dict[str, int]:
    """Numbers by name; tensors' own names where the file has no signature."""
    if not named:
        return {graph.tensors[tensor].name.decode(): number for number, tensor in enumerate(tensors)}
    return {slot.name.decode(): tensors.index(slot.tensorIndex) for slot in named}
