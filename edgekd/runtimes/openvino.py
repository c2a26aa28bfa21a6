"""OpenVINO files (.xml and .bin, also .onnx) on the CPU, for latency.

They compute in float32 unless they are quantized, or ask for another precision themselves.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

# Importing openvino imports its telemetry, which leaves files in the user's home; without it stand-ins do nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402

from .fault import Fault  # noqa: E402
from .placement import Verdict, operator  # noqa: E402
from .tensors import Array, cast, match, names, tensor  # noqa: E402

VERSION = 2
PACKAGES = ("openvino",)
EXTRA = "openvino-run"
REQUIRES = ("openvino>=2026.1",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64", "windows-amd64")
NO_ARENA = "its processor plug-in does not tell what it holds"

# Where a file says in which precision to compute, as OpenVINO's hint and as its name of what a processor can.
COMPUTE = ["edgekd", "inference_precision"]
CAPABILITIES = {"bf16": "BF16"}
# Layers of the compiled model that have no kernel of their own.
SHAPES = ("Output", "Reshape")
CONVERSIONS = ("Reorder", "Convert", "FakeQuantize")
# Layers whose work is in multiplications: these are to compute in 8 bits.
HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq", "RNNCell")
# Layers that only copy: what OpenVINO calls their reference kernel is the only one there is.
COPIES = frozenset(
    ("Broadcast", "Concatenation", "Convert", "Gather", "Pad", "Reorder", "Split", "StridedSlice", "Tile", "Transpose")
)
FLOAT = "computes in {} in a file that quantizes what it takes"
REFERENCE = "runs on a reference kernel"
PROPERTIES = ("execOrder", "execTimeMcs", "layerType", "originalLayersNames", "primitiveType")
# Times are rounded down to this many seconds.
COARSE = 1e-6
# Compilations of a model among which watched runs are shared, and how many of these each takes in a row.
COMPILATIONS, IN_A_ROW = 5, 10
TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def version() -> str:
    """OpenVINO's version."""
    return str(openvino.__version__).partition("-")[0]


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Compile a model; `path` is its .xml or the folder that holds it. Raises Fault."""
    _, compiled, size, wanted = _compiled(path, threads, batch, {})
    return Model(compiled, signature, size, wanted)


def profiled(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Profiled:
    """The same, while each layer is timed. Raises Fault."""

    def compiled() -> Compilation:
        model, made, size, wanted = _compiled(path, threads, batch, {"PERF_COUNT": True})
        return Compilation(model, made, Model(made, signature, size, wanted))

    return Profiled(compiled)


def described(path: Path) -> dict[str, Any]:
    """The tensors that a file takes and gives."""
    model = openvino.Core().read_model(_file(path))

    def read(ports: Any) -> list[dict[str, Any]]:
        shapes = [[-1 if n.is_dynamic else n.get_length() for n in port.partial_shape] for port in ports]
        types = [port.get_element_type().to_dtype().name for port in ports]
        return [tensor(port.any_name, shapes[i], types[i]) for i, port in enumerate(ports)]

    return {"inputs": read(model.inputs), "outputs": read(model.outputs)}


def _file(path: Path) -> Path:
    """The .xml of a folder, or the file itself. Raises Fault."""
    found = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    if len(found) != 1:
        raise Fault(f"{path.name} must hold one .xml file, and holds {len(found)}")
    return found[0]


def _compiled(path: Path, threads: int, batch: int, more: dict[str, Any]) -> tuple[Any, Any, int, str]:
    """The model as the file has it, compiled, the samples that a run takes, and the precision asked for. Raises Fault.

    Without the precision hint a processor with bfloat16 would quietly compute in bfloat16; one without computes a file
    that asks for bfloat16 in float32, and the model's notes say so.
    """
    path = _file(path)
    core = openvino.Core()
    try:
        model = core.read_model(path)
        size = _fix_batch(model, batch)
        wanted = _wanted(model)
        can = CAPABILITIES.get(wanted) in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": wanted if can else "f32",
            "ENABLE_CPU_PINNING": False,
            **more,
        }
        return model, core.compile_model(model, "CPU", options), size, wanted
    except RuntimeError as error:
        raise Fault(f"{path.name} does not run in OpenVINO: {error}") from error


def _wanted(model: Any) -> str:
    """In which precision the file wants to be computed."""
    return str(model.get_rt_info(COMPUTE).value) if model.has_rt_info(COMPUTE) else "f32"


def _fix_batch(model: Any, batch: int) -> int:
    """Fix an open batch dimension, which makes faster code; returns the samples that a run takes."""
    shapes = {value: value.partial_shape for value in model.inputs}
    if not any(len(shape) and shape[0].is_dynamic for shape in shapes.values()):
        return max((shape[0].get_length() for shape in shapes.values() if len(shape)), default=1)
    for shape in shapes.values():
        if len(shape) and shape[0].is_dynamic:
            shape[0] = batch
    model.reshape(shapes)
    return batch


def _closed(port: Any) -> bool:
    """Whether a port's shape is known."""
    return not port.partial_shape.is_dynamic


class Model:
    """A compiled model and the one request that runs it."""

    def __init__(self, compiled: Any, signature: dict[str, Any], batch: int, wanted: str) -> None:
        self.batch = batch
        self._request = compiled.create_infer_request()
        self._inputs = [(compiled.inputs[i], name) for i, name in _ports(compiled.inputs, signature, "inputs")]
        self._outputs = [compiled.outputs[i] for i, _ in _ports(compiled.outputs, signature, "outputs")]
        self._types = [port.get_element_type().to_dtype() for port, _ in self._inputs]
        self.notes = {
            "precision": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
        }
        if self.notes["precision"] != wanted:
            used = self.notes["precision"]
            self.notes["fallback"] = f"it computes in {used}, since this processor has no {wanted} arithmetic"
        self._tensors = {i: self._request.get_tensor(port) for i, (port, _) in enumerate(self._inputs) if _closed(port)}
        self._given: dict[int, Any] = {}

    def feed(self, arrays: Sequence[Array]) -> None:
        """Copy one array an input into the request's own tensors; where a shape is open, the array becomes the tensor.

        A tensor of its own for each inference would make the runtime prepare its memory anew, as part of the inference.
        """
        for i, (port, name) in enumerate(self._inputs):
            values = cast(arrays[i], self._types[i], name)
            if i in self._tensors and self._tensors[i].data.shape == values.shape:
                self._tensors[i].data[...] = values
            else:
                self._given[i] = openvino.Tensor(values, shared_memory=True)
                self._request.set_tensor(port, self._given[i])

    def invoke(self) -> int:
        """Run once; the nanoseconds that the runtime says it took, as benchmark_app does. Raises Fault if it fails."""
        try:
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise Fault(f"OpenVINO failed: {error}") from error
        return int(self._request.latency * 1e6)

    def outputs(self) -> list[Array]:
        """Copies of the outputs."""
        return [self._request.get_tensor(port).data.copy() for port in self._outputs]


class Compilation:
    """A compiled model that times its layers. What it tells is a mean of all runs, so its first is kept apart."""

    def __init__(self, model: Any, compiled: Any, plain: Model) -> None:
        self.model, self.plain = model, plain
        self._compiled, self._runs = compiled, 0
        self._first: dict[str, int] = {}

    def run(self, arrays: Sequence[Array]) -> None:
        """Run once; the first run makes kernels."""
        self.plain.feed(arrays)
        self.plain.invoke()
        self._runs += 1
        if self._runs == 1:
            self._first = {name: _microseconds(about) for name, _, about in self.layers()}

    def layers(self) -> list[tuple[str, Any, dict[str, str]]]:
        """Name, node and properties of every layer, in the order in which they run."""
        found = []
        for layer in self._compiled.get_runtime_model().get_ops():
            about = {key: str(layer.get_rt_info()[key].astype(str)) for key in PROPERTIES}
            found.append((layer.get_friendly_name(), layer, about))
        return sorted(found, key=lambda one: int(one[2]["execOrder"]))

    def seconds(self) -> dict[str, float]:
        """Mean of all runs but the first, by layer; the mean of all is in whole microseconds, rounded down."""
        later, found = max(1, self._runs - 1), {}
        for name, _, about in self.layers():
            total = _microseconds(about) * self._runs - self._first.get(name, 0)
            found[name] = max(0, total) / later * 1e-6
        return found


class Profiled:
    """A model that tells on which kernels its layers run and how long each takes.

    An interrupted run spoils a mean for good. So runs are shared among several compilations of the same model, some in
    a row each, and the median of their means is told.
    """

    def __init__(self, compiled: Callable[[], Compilation]) -> None:
        self._compiled, self._runs = compiled, 0
        self._all = [compiled()]
        self._now = self._all[0]
        self.batch, self.notes = self._now.plain.batch, self._now.plain.notes
        self._fed: Sequence[Array] = ()

    def feed(self, arrays: Sequence[Array]) -> None:
        """Keep one array an input for the next run."""
        self._fed = arrays

    def invoke(self) -> None:
        """Run once. Raises Fault."""
        turn = self._runs // IN_A_ROW % COMPILATIONS
        if turn == len(self._all):
            self._all.append(self._compiled())
        self._now = self._all[turn]
        self._now.run(self._fed)
        self._runs += 1

    def outputs(self) -> list[Array]:
        """Copies of the outputs of the last run."""
        return self._now.plain.outputs()

    def placed(self) -> dict[str, Any]:
        """Every layer of the compiled model but its inputs and constants."""
        told = [one.seconds() for one in self._all]
        own = {one.get_friendly_name(): one for one in self._all[0].model.get_ops()}
        quantized = any(one.get_type_name() == "FakeQuantize" for one in own.values())
        operators = [
            _told(name, layer, about, own, quantized, statistics.median(one.get(name, 0.0) for one in told))
            for name, layer, about in self._all[0].layers()
            if layer.inputs()
        ]
        return {"operators": operators, "partitions": None, "untimed": "", "coarse": COARSE}


def _told(
    name: str, layer: Any, about: dict[str, str], own: dict[str, Any], quantized: bool, seconds: float
) -> dict[str, Any]:
    """One layer as the verb `profile` tells it."""
    made_of = [part for part in about["originalLayersNames"].split(",") if part]
    kind, kernel = about["layerType"], about["primitiveType"]
    return operator(
        name=name,
        kind=_kind(kind, [own[part] for part in made_of if part in own]),
        verdict=_verdict(kind, kernel, quantized),
        gives=[name],
        takes=[port.get_source_output().get_node().get_friendly_name() for port in layer.inputs()],
        also=_names(reversed(made_of), own),
        kernel=kernel,
        seconds=seconds,
        counts=kind not in SHAPES,
    )


def _microseconds(about: dict[str, str]) -> int:
    """The mean time of a layer's runs; below a microsecond OpenVINO calls it not executed."""
    return int(about["execTimeMcs"]) if about["execTimeMcs"].isdigit() else 0


def _kind(kind: str, made_of: Sequence[Any]) -> str:
    """What a layer is; of one that was compiled of many operators, which."""
    parts = list(dict.fromkeys(one.get_type_name() for one in made_of))
    return f"{kind} ({', '.join(parts)})" if kind == "Subgraph" and parts else kind


def _names(made_of: Iterable[str], own: dict[str, Any]) -> list[str]:
    """Names of a layer's operators in the file and of the tensors that they give, the last operator first."""
    found = []
    for part in made_of:
        ports = own[part].outputs() if part in own else ()
        found += [part, *(name for port in ports for name in sorted(port.get_names()))]
    return found


def _verdict(kind: str, kernel: str, quantized: bool) -> Verdict:
    """Whether a layer is on an optimized kernel and, if it multiplies in a quantized file, on one of 8 bits."""
    conversion = kind in CONVERSIONS
    if kind == "Reference" or (kernel.startswith("ref") and kind not in COPIES):
        return Verdict(False, REFERENCE, conversion)
    computes = kernel.rpartition("_")[2].lower()
    if quantized and kind in HEAVY and computes not in ("i8", "u8"):
        return Verdict(False, FLOAT.format(TYPES.get(computes, computes)), conversion)
    return Verdict(conversion=conversion)


def _ports(ports: Sequence[Any], signature: dict[str, Any], side: str) -> list[tuple[int, str]]:
    """For each name of the signature, which port of the model it is; a port may have several names, or none."""
    wanted = names(signature, side)
    own = []
    for i, port in enumerate(ports):
        known = [name for name in wanted if name in port.get_names()]
        own.append(known[0] if known else f"#{i}")
    chosen = match(wanted, own, side)
    return [(index, wanted[i]) for i, index in enumerate(chosen)]
