"""Any ONNX file as the teacher: a black box that ONNX Runtime runs on this computer."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Nothing leaves this machine; the wheel reads this once, when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from edgekd.errors import Problem, UsageError
from edgekd.nets import inference
from edgekd.nets.weights import check_sha256
from edgekd.plugins import OnnxFile, Oracle
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("onnxruntime",)
# Whose format takes the file as a program.
USES = ("formats.onnx",)
EXTRA = "onnx-run"
FILES = ("file",)

Array = NDArray[Any]

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
REFUSALS = (
    errors.Fail,
    errors.InvalidProtobuf,
    errors.InvalidGraph,
    errors.InvalidArgument,
    errors.NotImplemented,
    errors.RuntimeException,
)


class Settings(Value):
    """`file` is the .onnx, or the folder that holds it together with its external weights; `sha256` its checksum.

    `output` names the output that is meant ("logits" or the first one otherwise), `activation` says what it holds.
    """

    file: str
    sha256: str = ""
    output: str = ""
    activation: inference.Activation = "logits"


def load(settings: Settings, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle:
    """Open the file; inputs are matched by name, else by order. Raises UsageError for what does not fit."""
    given = files.get("file", Path(settings.file))
    path = _model(given)
    check_sha256(path, settings.sha256)
    session = _session(path, whole=given.is_dir())
    inputs = _inputs(session, signature, path)
    output = _output(session, settings.output, path)
    outputs = partial(_run, session, inputs, output, settings.activation)
    # what a target takes is raw: of probabilities it would have to know
    file = OnnxFile(path, {name: spec.name for name, spec, *_ in inputs}, output)
    return Oracle(
        outputs=outputs,
        why_no_module="an ONNX file is a black box, not a torch network",
        onnx=file if settings.activation == "logits" else None,
    )


def _model(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        raise UsageError(Problem("file", f"{path} holds {len(found)} .onnx files", "Name a folder with exactly one"))
    return found[0]


def _session(path: Path, whole: bool) -> "ort.InferenceSession":
    """Open a model; from a file alone it is read as bytes, so that nothing beside it is used without being pinned."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = os.cpu_count() or 1
    try:
        return ort.InferenceSession(
            str(path) if whole else path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except REFUSALS as error:
        if "external" in str(error).lower():
            hint = "Name the folder that holds both"
            raise UsageError(Problem("file", f"{path} has its weights in another file", hint)) from error
        reason = str(error).partition("\n")[0]
        raise UsageError(Problem("file", f"ONNX Runtime {ort.__version__} cannot open {path}: {reason}")) from error


def _inputs(session: Any, signature: Signature, path: Path) -> list[tuple[str, TensorSpec, str, list[Any]]]:
    """For each input of the model: its name, the data's input that goes there, its dtype and its shape."""
    found, specs = session.get_inputs(), {spec.name: spec for spec in signature.inputs}
    if len(found) != len(specs):
        message = f"{path} takes {len(found)} inputs ({', '.join(i.name for i in found)}), the data has {len(specs)}"
        raise UsageError(Problem("file", f"{message} ({', '.join(specs)})", "They must be the same"))
    by_name = all(i.name in specs for i in found)
    matched = []
    for node, spec in zip(found, [specs[i.name] for i in found] if by_name else signature.inputs, strict=True):
        if node.type not in DTYPES:
            raise UsageError(Problem("file", f"{path} takes {node.name} as {node.type}", "Only plain tensors work"))
        if not (_fits(node.shape, spec.shape) or _fits(node.shape, _last(spec.shape))):
            message = f"{path} takes {node.name} as {node.shape}, but the data gives {list(spec.shape)}"
            raise UsageError(Problem("file", message, "Check size and channels of [teacher] image"))
        matched.append((node.name, spec, DTYPES[node.type], node.shape))
    return matched


def _fits(found: list[Any], want: tuple[int, ...]) -> bool:
    """Do the shapes agree beyond the batch? What is not an int may vary."""
    return len(found) == len(want) and all(
        not isinstance(a, int) or a == b for a, b in zip(found[1:], want[1:], strict=True)
    )


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(N, C, H, W) -> (N, H, W, C), as models from TensorFlow want it."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _output(session: Any, wanted: str, path: Path) -> str:
    names = [node.name for node in session.get_outputs()]
    if wanted and wanted not in names:
        raise UsageError(Problem("output", f"{path} has no output {wanted!r}", f"It has: {', '.join(names)}"))
    return wanted or ("logits" if "logits" in names else str(names[0]))


def _run(
    session: Any,
    inputs: list[tuple[str, TensorSpec, str, list[Any]]],
    output: str,
    activation: inference.Activation,
    batch: Mapping[str, Array],
    rows: Array,
    part: str,
) -> NDArray[np.float32]:
    """Logits (N, classes) float32 of prepared inputs; a fixed batch is filled up and cut again."""
    fixed = next((shape[0] for *_, shape in inputs if isinstance(shape[0], int)), None)
    found = []
    for piece in inference.pieces(batch, fixed or inference.CHUNK):
        count = len(next(iter(piece.values())))
        full = inference.filled(piece, fixed or 1)
        feed = {name: _as_wanted(full[spec.name], spec, dtype, shape) for name, spec, dtype, shape in inputs}
        try:
            found.append(np.asarray(session.run([output], feed)[0])[:count])
        except REFUSALS as error:
            raise UsageError(
                Problem("file", f"ONNX Runtime fails on it: {str(error).partition(chr(10))[0]}")
            ) from error
    values = np.concatenate(found).astype(np.float32)
    return inference.log_probabilities(values) if activation == "probabilities" else values


def _as_wanted(values: Array, spec: TensorSpec, dtype: str, shape: list[Any]) -> Array:
    if not _fits(shape, spec.shape):
        values = np.moveaxis(values, 1, -1)
    return np.ascontiguousarray(values, dtype=dtype)
