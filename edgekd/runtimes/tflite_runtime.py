"""TFLite files by tflite-runtime, which came before LiteRT and is still on many boards. It is no longer kept up."""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from tflite_runtime.interpreter import Interpreter

from .fault import Fault
from .tflite_model import Model

VERSION = 1
PACKAGES = ("tflite-runtime",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "linux-armv7l")
# The format whose files it runs, if one asks for it.
INSTEAD_OF = "tflite"
UNPROFILED = "tflite-runtime's Python package has no door to its profiler"
# Found by running files in it (tests/test_former_runtime.py): 2.14 knows their operators, but neither per-channel
# weights nor weights of 4 bits in those that find ranges at run time.
LACKS = {
    "int8-dynamic": "tflite-runtime 2.14 computes wrong numbers from such a file, without an error; ask for int8",
    "int4-weights": "tflite-runtime 2.14 computes wrong numbers from such a file, without an error; ask for int8",
}


def version() -> str:
    """The interpreter's version."""
    return installed(PACKAGES[0])


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Read a .tflite file and allocate its tensors. Raises Fault."""
    try:
        return Model(Interpreter(model_path=str(path), num_threads=threads), signature, batch)
    except (ValueError, RuntimeError) as error:
        raise Fault(f"{path.name} does not run in tflite-runtime: {error}") from error
