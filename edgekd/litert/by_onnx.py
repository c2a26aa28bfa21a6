"""Programs lowered to float32 files by way of ONNX and onnx2tf, a tool with a Python environment of its own."""

import re
import shutil
import subprocess
from pathlib import Path

from edgekd.errors import Problem, UsageError
from edgekd.litert import content as files
from edgekd.nets import programs
from edgekd.results import Signature

TOOL = "onnx2tf"
LEAST = (2, 4)
# It pins its packages, and not as the other converters do.
MISSING = (f"{TOOL} is not installed", f"Run: pipx install {TOOL}, or: uv tool install {TOOL} (it wants Python 3.12)")
SECONDS = 900.0


def float32(model: Path, signature: Signature, folder: Path) -> tuple[bytes, Signature, str]:
    """A float32 file for one sample of an ONNX file, its signature, and what made it.

    Raises UsageError where the tool is not installed, and RuntimeError with what it says where it fails.
    """
    tool = shutil.which(TOOL)
    if tool is None:
        raise UsageError(Problem("tflite", *MISSING))
    found = re.search(r"(\d+)\.(\d+)[.\d]*", _run([tool, "--version"]))
    version = found.group() if found else "of no known version"
    if found is None or tuple(map(int, found.groups())) < LEAST:
        least = ".".join(map(str, LEAST))
        raise UsageError(Problem("tflite", f"{TOOL} {version} wants TensorFlow", f"Install {TOOL} {least} or newer"))
    names = [spec.name for spec in signature.inputs]
    _run([tool, "-i", str(model), "-o", str(folder), "-b", "1", "-kat", *names, "-n", "-tb", "flatbuffer_direct"])
    made = _shaped((folder / f"{model.stem}_float32.tflite").read_bytes())
    return made, _as_made(made, programs.with_batch(signature, 1)), f"{TOOL} {version}"


def _shaped(model: bytes) -> bytes:
    """With the shape of scalars in words: the tool leaves it out, and the quantizer wants it."""
    content = files.read(model)
    for graph in content.subgraphs:
        for tensor in graph.tensors:
            tensor.shape = [] if tensor.shape is None else tensor.shape
    return files.write(content)


def _as_made(model: bytes, signature: Signature) -> Signature:
    """The signature with 32-bit ids where the file has such."""
    content = files.read(model)
    entry, tensors = content.signatureDefs[0], content.subgraphs[0].tensors
    narrow = any(tensors[slot.tensorIndex].type == files.INT for slot in entry.inputs)
    return programs.without_int64(signature) if narrow else signature


def _run(command: list[str]) -> str:
    """What a command prints. Raises RuntimeError with the last line that says something, where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"{TOOL} ended with status {done.returncode}")
    return done.stdout
