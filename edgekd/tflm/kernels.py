"""Run a file in TensorFlow Lite Micro, in a process of its own: a kernel that does not like a file may end it."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, MissingExtra
from edgekd.tflm import EXTRA, PACKAGE

Array = NDArray[Any]
TIMEOUT = 600.0
# Where in the library's sources something was said.
PLACE = re.compile(r"^\S+\.(?:cc|h):\d+ ")
# What is not about the file: lines that are said of every file, and those of Python.
NOISE = ("Number of resource variables", "Traceback", "  ")


class Refused(EdgekdError):
    """TensorFlow Lite Micro does not run the file; the message is its own."""


@dataclass(frozen=True)
class Ran:
    """Outputs as the file gives them, sample first, and bytes: `arena` is the smallest that was seen to be enough,
    `used` what the allocator says of it: "total", "head" (inner tensors) and "tail" (what lasts).
    """

    outputs: tuple[Array, ...]
    arena: int
    used: dict[str, int]
    version: str


def check() -> None:
    """Raises MissingExtra where tflite-micro is not installed."""
    if find_spec("tflite_micro") is None:
        raise MissingExtra(PACKAGE, f"pip install 'edgekd[{EXTRA}]'")


def run(model: Path, signature: Mapping[str, Any], inputs: Sequence[Array]) -> Ran:
    """Run every sample of the inputs, which are in the file's own types and in the signature's order, as outputs are.

    Raises Refused and MissingExtra.
    """
    check()
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        np.savez(folder / "inputs.npz", allow_pickle=False, **{str(k): array for k, array in enumerate(inputs)})
        (folder / "signature.json").write_text(json.dumps(signature), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "edgekd.tflm.child", str(model), str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise Refused(f"it did not end within {TIMEOUT:.0f} s") from None
        if done.returncode:
            raise Refused(_reason(done.stderr, done.returncode))
        told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
        with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
            outputs = tuple(stored[str(number)] for number in range(len(stored.files)))
    return Ran(outputs, told["arena"], told["used"], told["version"])


def _reason(errors: str, status: int) -> str:
    """What the kernels said, in one line, without the places in their sources."""
    lines = [line for line in errors.splitlines() if line.strip() and not line.startswith(NOISE)]
    plain = [PLACE.sub("", line) for line in lines]
    told = "; ".join(dict.fromkeys(line.removeprefix("RuntimeError: ").rstrip(".") for line in plain[:3]))
    return told or f"its process ended with status {status}"
