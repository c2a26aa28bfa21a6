"""OpenVINO files (.xml and .bin, also .onnx) on the CPU, for latency.

They compute in float32 unless they are quantized, or ask for another precision themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Importing openvino imports its telemetry, which leaves files in the user's home; without it stand-ins do nothing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402

from .fault import Fault  # noqa: E402
from .tensors import Array, cast, match, names  # noqa: E402

VERSION = 1
PACKAGES = ("openvino",)
EXTRA = "openvino-run"

# Where a file says in which precision to compute, as OpenVINO's hint and as its name of what a processor can.
COMPUTE = ["edgekd", "inference_precision"]
CAPABILITIES = {"bf16": "BF16"}


def version() -> str:
    """OpenVINO's version."""
    return str(openvino.__version__).partition("-")[0]


def load(path: Path, threads: int, signature: dict[str, Any], batch: int = 1) -> Model:
    """Compile a model; `path` is its .xml or the folder that holds it. Raises Fault.

    Without the precision hint a processor with bfloat16 would quietly compute in bfloat16; one without computes a file
    that asks for bfloat16 in float32, and the model's notes say so.
    """
    if path.is_dir():
        found = sorted(path.glob("*.xml"))
        if len(found) != 1:
            raise Fault(f"{path.name} must hold one .xml file, and holds {len(found)}")
        path = found[0]
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
        }
        return Model(core.compile_model(model, "CPU", options), signature, size, wanted)
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
        self._kept: list[Any] = []

    def feed(self, arrays: Sequence[Array]) -> None:
        """Hand one array an input to the request; they are read at the next run, not copied."""
        self._kept = [
            openvino.Tensor(cast(arrays[i], self._types[i], name), shared_memory=True)
            for i, (_, name) in enumerate(self._inputs)
        ]
        for i, (port, _) in enumerate(self._inputs):
            self._request.set_tensor(port, self._kept[i])

    def invoke(self) -> None:
        """Run once. Raises Fault where the runtime refuses the inputs."""
        try:
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise Fault(f"OpenVINO failed: {error}") from error

    def outputs(self) -> list[Array]:
        """Copies of the outputs."""
        return [self._request.get_tensor(port).data.copy() for port in self._outputs]


def _ports(ports: Sequence[Any], signature: dict[str, Any], side: str) -> list[tuple[int, str]]:
    """For each name of the signature, which port of the model it is; a port may have several names, or none."""
    wanted = names(signature, side)
    own = []
    for i, port in enumerate(ports):
        known = [name for name in wanted if name in port.get_names()]
        own.append(known[0] if known else f"#{i}")
    chosen = match(wanted, own, side)
    return [(index, wanted[i]) for i, index in enumerate(chosen)]
