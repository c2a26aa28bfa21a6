"""ONNX files by ONNX Runtime on the CPU, without its telemetry and without spinning threads."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Read when the library is loaded; without it a telemetry database is opened in the user's home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from . import fusion
from .fault import Fault
from .placement import operator, typical
from .tensors import Array, cast, match, names, tensor

VERSION = 1
PACKAGES = ("onnxruntime",)
EXTRA = "onnx-run"
REQUIRES = ("onnxruntime>=1.24",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64", "windows-amd64")
NO_ARENA = "its Python package does not tell what its allocator holds"

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
OPTIMIZED = "optimized.onnx"
TIMED = "_kernel_time"
FLOATS = ("float", "float16", "bfloat16", "double")
TYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Make a session of an .onnx file. Raises Fault."""
    return Model(_session(path, _options(threads)), signature, batch)


def profiled(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Profiled:
    """The same, while each operator is timed; the graph as it was optimized is written beside. Raises Fault."""
    folder = tempfile.TemporaryDirectory(prefix="edgekd-")
    options = _options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder.name) / "profile")
    options.optimized_model_filepath = str(Path(folder.name) / OPTIMIZED)
    try:
        return Profiled(Model(_session(path, options), signature, batch), path, folder)
    except Fault:
        folder.cleanup()
        raise


def described(path: Path) -> dict[str, Any]:
    """The tensors that a file takes and gives."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def read(values: Any) -> list[dict[str, Any]]:
        kinds = [value.type.partition("(")[2].rstrip(")") for value in values]
        return [tensor(value.name, value.shape, TYPES.get(kinds[i], kinds[i])) for i, value in enumerate(values)]

    return {"inputs": read(session.get_inputs()), "outputs": read(session.get_outputs())}


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(path: Path, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise Fault(f"{path.name} does not run in ONNX Runtime: {error}") from error


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


class Profiled:
    """A model that tells where its operators ran and how long each took."""

    def __init__(self, model: Model, path: Path, folder: tempfile.TemporaryDirectory[str]) -> None:
        self.batch, self.notes = model.batch, model.notes
        self.feed, self.invoke, self.outputs = model.feed, model.invoke, model.outputs
        self._session, self._path, self._folder = model._session, path, folder

    def placed(self) -> dict[str, Any]:
        """Every operator of the optimized graph. The session must not run any more."""
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        graph = fusion.read(Path(self._folder.name) / OPTIMIZED)
        files = {node.name: node for node in fusion.read(self._path).nodes}
        self._folder.cleanup()
        timed = _timed(events)
        runs = [_taken(timed, node) for node in graph.nodes]
        integers = [name for i, node in enumerate(graph.nodes) for name in _integers(node, runs[i])]
        operators = []
        for i, verdict in enumerate(fusion.verdicts(graph, integers)):
            node, run = graph.nodes[i], runs[i]
            given = (node.name or run.name, node.kind, verdict, node.outputs, node.inputs, fusion.names(node, files))
            operators.append(operator(*given, seconds=run.seconds, counts=node.kind not in fusion.SHAPES))
        return {"operators": operators, "partitions": None, "untimed": "", "coarse": 0.0}


class Timed(NamedTuple):
    """What the profile says of one operator: what it calls it, the types of its outputs, and seconds of a run."""

    name: str
    types: tuple[str, ...]
    seconds: float | None


def _timed(events: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[Timed]]:
    """Operators by (name in the graph, kind), those of one name in the order in which they ran.

    The first run, which also makes what later ones keep, is left out.
    """
    durations: dict[str, list[float]] = {}
    first: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(TIMED):
            index = str(event["args"]["node_index"])
            durations.setdefault(index, []).append(event["dur"] * 1e-6)
            first.setdefault(index, event)
    found: dict[tuple[str, str], list[Timed]] = {}
    for index, event in first.items():
        kind, name = event["args"]["op_name"], event["name"][: -len(TIMED)]
        types = tuple(next(iter(one)) for one in event["args"]["output_type_shape"])
        key = ("" if name == f"{kind}_{index}" else name, kind)
        found.setdefault(key, []).append(Timed(name, types, typical(durations[index][1:])))
    return found


def _integers(node: fusion.Node, run: Timed) -> list[str]:
    """What a node gives that is no float; an output that was left out has a type, and no name."""
    known = node.outputs if len(node.outputs) == len(run.types) else ()
    return [name for i, name in enumerate(known) if run.types[i] not in FLOATS]


def _taken(timed: dict[tuple[str, str], list[Timed]], node: fusion.Node) -> Timed:
    """What was told of a node: of several of one name, each takes the next."""
    left = timed.get((node.name, node.kind), [])
    return left.pop(0) if left else Timed(node.kind, (), None)


def _dtype(value: Any) -> str:
    """numpy's name of an input's type, "tensor(float)" -> "float32"."""
    inner = value.type.partition("(")[2].rstrip(")")
    if inner not in TYPES:
        raise Fault(f"the input {value.name} is a {value.type}, which edgekd cannot feed")
    return TYPES[inner]
