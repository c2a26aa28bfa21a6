"""ONNX files by torch's own exporter, quantized by ONNX Runtime's tools.

int8 is static: QDQ nodes, unsigned 8-bit activations (signed ones are 2 to 5 times slower on processors), signed 8-bit
weights per channel, minimum and maximum over all calibration samples.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

# must be set before onnxruntime is imported
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from edgekd.nets import programs
from edgekd.ort import adopting, layers, opening
from edgekd.plugins import Conversion, Converted, OnnxFile, Opened
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime")
EXTRA = "onnx"
PRECISIONS = ("float32", "float16", "int8")

NAME = "student.onnx"
# Where there is attention, quantizing more than these loses far more accuracy than it gains speed.
LINEAR = ("Conv", "MatMul", "Gemm", "Gather")
NOTES = {
    "float32": (),
    "float16": ("Inputs and outputs stay float32. Processors without float16 arithmetic run it slower than float32.",),
    "int8": (
        "Inputs and outputs stay float32.",
        "On x86 processors without VNNI, sums of 8-bit products may saturate: measure the accuracy where it runs.",
    ),
}


class Settings(Value):
    """No settings."""


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Calibration inputs, one sample at a time, as ONNX Runtime's calibrator wants them."""

    def __init__(self, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        self._left = one_by_one(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._left, None)


def one_by_one(inputs: Mapping[str, NDArray[np.float32]]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Samples of named arrays as batches of one."""
    for row in range(len(next(iter(inputs.values())))):
        yield {name: values[row : row + 1] for name, values in inputs.items()}


def convert(conversion: Conversion) -> Converted:
    """Write student.onnx with the signature's own names; the batch dimension stays as the program has it."""
    model, names = _float32(conversion.program, conversion.signature)
    if conversion.precision == "float16":
        model = _float16(model)
        names = layers.kept(model, names)
    elif conversion.precision == "int8":
        model = _int8(model, conversion)
        names = layers.dequantized(model, names)
    onnx.checker.check_model(model, full_check=True)
    (conversion.folder / NAME).write_bytes(_bare(model).SerializeToString(deterministic=True))
    made_by = _maker(conversion.program, model)
    if conversion.precision != "float32":
        made_by += f", onnxruntime {version('onnxruntime')}"
    return Converted(NAME, conversion.signature, made_by, NOTES[conversion.precision], names)


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened:
    """Write a copy whose outputs are also the tensors of `layers`; run it one sample at a time."""
    return opening.opened(file, signature, layers, folder, NAME)


def _maker(program: Path, model: onnx.ModelProto) -> str:
    """Who made the float32 model: torch, or the user."""
    if program.suffix == ".onnx":
        return f"{model.producer_name or 'the user'} {model.producer_version}".strip()
    return f"torch.onnx {version('torch')} (opset {model.opset_import[0].version})"


def adopt(file: OnnxFile, signature: Signature, path: Path) -> Signature:
    """Make a program of an ONNX file of the user's own; returns its signature. Raises UsageError."""
    return adopting.adopt(file, signature, path)


def digest(path: Path) -> str:
    """sha256 of an adopted file without its weights."""
    return adopting.digest(path)


def _float32(path: Path, signature: Signature) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Export a program to an ONNX model in memory; which node's value each of its tensors holds."""
    if path.suffix == ".onnx":
        return onnx.load(path), {}
    program = programs.load(path)
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=[spec.name for spec in signature.inputs],
        output_names=[spec.name for spec in signature.outputs],
        external_data=False,
        verbose=False,
    )
    if exported is None or exported.exported_program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = "batch"
    return _bare(model), layers.named(model, program, exported.exported_program, signature)


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute in float16 behind a float32 interface."""
    half = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
    half.topological_sort()
    converted: onnx.ModelProto = half.model
    return converted


def _int8(model: onnx.ModelProto, conversion: Conversion) -> onnx.ModelProto:
    """Quantize statically. The tools work on files, which live in a folder of their own."""
    attention = any(node.op_type in ("Softmax", "LayerNormalization") for node in model.graph.node)
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        prepared, quantized = Path(name) / "prepared.onnx", Path(name) / "quantized.onnx"
        quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            quantized,
            _Samples(conversion.calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LINEAR) if attention else None,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(quantized)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes on every node: they double a small file, and hold class names and paths."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    for part in (bare, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return bare
