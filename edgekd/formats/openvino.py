"""OpenVINO IR (model.xml and model.bin) by way of ONNX, quantized by NNCF.

int8 is static with NNCF's MIXED preset: symmetric weights per channel, activations as they come, from the minimum and
maximum over all calibration samples (NNCF's own default averages the samples' ranges and so clips rare large values).
Weights of the float32 file stay float32; OpenVINO itself would store float16 unless told otherwise.
"""

import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

if "openvino_telemetry" not in sys.modules:
    # None makes its import fail; openvino and nncf then use stand-ins that send nothing, and write nothing at home
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import nncf
import numpy as np
import openvino
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.ov import layers, opening
from edgekd.plugins import Conversion, Converted, Lowered, Opened
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "openvino", "nncf")
USES = ("formats.onnx",)
EXTRA = "openvino"
PRECISIONS = ("float32", "float16", "int8")

NAME = "student.openvino"
FILE = "model.xml"
NOTES = {
    "float32": (),
    "float16": ("Weights are stored as float16; the runtime decides in which precision it computes.",),
    "int8": ("Inputs and outputs stay float32.",),
}


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write the folder student.openvino with model.xml and model.bin; names and batch are those of the program."""
    if conversion.precision == "float32":
        return _float32(conversion)
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        base = conversion.base or _lowered(conversion, Path(name))
        # the model keeps its file mapped, so it must be written while that file is there
        model = openvino.Core().read_model(base.path / FILE)
        if conversion.precision == "int8":
            model = _int8(model, conversion)
        names = _write(model, layers.by_name(model, base.layers), conversion)
    made_by = f"{base.made_by}, nncf {version('nncf')}" if conversion.precision == "int8" else base.made_by
    return Converted(NAME, base.signature, made_by, NOTES[conversion.precision], names)


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened:
    """Write a copy whose outputs are also the values of `layers`; run it one sample at a time."""
    return opening.opened(file, signature, layers, folder, FILE)


def _float32(conversion: Conversion) -> Converted:
    """Convert without changing a weight, by way of an ONNX file."""
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        made = plugins.find("formats", "onnx").convert(replace(conversion, folder=Path(name), base=None))
        model = openvino.convert_model(Path(name) / made.name)
        names = _write(model, layers.by_tensor(model, made.layers), conversion)
    return Converted(NAME, made.signature, f"{made.made_by}, openvino {version('openvino')}", (), names)


def _lowered(conversion: Conversion, folder: Path) -> Lowered:
    """The float32 file where there is none yet."""
    made = _float32(replace(conversion, precision="float32", folder=folder))
    return Lowered(folder / made.name, made.signature, made.made_by, made.layers)


def _write(model: openvino.Model, ports: layers.Ports, conversion: Conversion) -> dict[str, str]:
    """Save a model; returns the nodes of `ports` by their names in the file."""
    ports = [(layers.read_next(port), node) for port, node in ports]
    folder = conversion.folder / NAME
    folder.mkdir()
    openvino.save_model(layers.shortened(model), folder / FILE, compress_to_fp16=conversion.precision == "float16")
    return layers.named(ports)


def _int8(model: openvino.Model, conversion: Conversion) -> openvino.Model:
    """Quantize over all calibration samples, one at a time."""
    nncf.set_log_level(logging.ERROR)
    count = len(next(iter(conversion.calibration.values())))
    attention = any(op.get_type_name() in ("Softmax", "ScaledDotProductAttention") for op in model.get_ops())
    return nncf.quantize(
        model,
        nncf.Dataset(list(_samples(conversion))),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER if attention else None,
        subset_size=count,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            # on a small attention network 0.7 % error of the outputs without smoothing, 9 % with it
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
        ),
    )


def _samples(conversion: Conversion) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(next(iter(conversion.calibration.values())))):
        yield {name: values[row : row + 1] for name, values in conversion.calibration.items()}
