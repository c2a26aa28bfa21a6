"""ONNX files by ONNX Runtime on the CPU, without its telemetry and without spinning threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Read when the library is loaded; without it a telemetry database is opened in the user's home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from .fault import Fault
from .tensors import Array, cast, match, names

VERSION = 1
PACKAGES = ("onnxruntime",)
EXTRA = "onnx-run"

FAILURES = (
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)
TYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "int8": "int8",
    "uint8": "uint8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Make a session of an .onnx file. Raises Fault."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise Fault(f"{path.name} does not run in ONNX Runtime: {error}") from error
    return Model(session, signature, batch)


class Model:
    """A session with its inputs and outputs bound, so that a run is the inference alone."""

    def __init__(self, session: Any, signature: dict[str, Any], batch: int) -> None:
        self._session, self._binding = session, session.io_binding()
        inputs, outputs = session.get_inputs(), [value.name for value in session.get_outputs()]
        chosen = match(names(signature, "inputs"), [value.name for value in inputs], "inputs")
        self._inputs = [(inputs[i].name, _dtype(inputs[i])) for i in chosen]
        self._outputs = match(names(signature, "outputs"), outputs, "outputs")
        for name in outputs:
            self._binding.bind_output(name, "cpu")
        sizes = [inputs[i].shape[0] for i in chosen if inputs[i].shape]
        fixed = [size for size in sizes if isinstance(size, int)]
        self.batch = batch if len(fixed) < len(sizes) else max(fixed, default=1)
        self.notes = {"providers": session.get_providers()}
        self._kept: list[Array] = []

    def feed(self, arrays: Sequence[Array]) -> None:
        """Bind one array an input; they are read at the next run, not copied."""
        self._kept = [cast(arrays[i], dtype, name) for i, (name, dtype) in enumerate(self._inputs)]
        for i, (name, _) in enumerate(self._inputs):
            self._binding.bind_cpu_input(name, self._kept[i])

    def invoke(self) -> None:
        """Run once. Raises Fault where the runtime refuses the inputs."""
        try:
            self._session.run_with_iobinding(self._binding)
        except FAILURES as error:
            raise Fault(f"ONNX Runtime failed: {error}") from error

    def outputs(self) -> list[Array]:
        """Copies of the outputs."""
        values = self._binding.copy_outputs_to_cpu()
        return [values[i] for i in self._outputs]


def _dtype(value: Any) -> str:
    """numpy's name of an input's type, "tensor(float)" -> "float32"."""
    inner = value.type.partition("(")[2].rstrip(")")
    if inner not in TYPES:
        raise Fault(f"the input {value.name} is a {value.type}, which edgekd cannot feed")
    return TYPES[inner]
