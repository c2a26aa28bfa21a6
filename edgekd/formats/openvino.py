"""OpenVINO IR (model.xml and model.bin) by way of ONNX, quantized by NNCF.

int8 is static with NNCF's MIXED preset: symmetric weights per channel, activations as they come, from the minimum and
maximum over all calibration samples (NNCF's own default averages the samples' ranges and so clips rare large values).
Weights of the float32 file stay float32; OpenVINO itself would store float16 unless told otherwise.
"""

import logging
import sys
import tempfile
from collections.abc import Iterator
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
from edgekd.plugins import Conversion, Converted
from edgekd.spec import Value

VERSION = 1
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
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        onnx = plugins.find("formats", "onnx")
        made = onnx.convert(replace(conversion, precision="float32", folder=Path(name)))
        # the model keeps its file mapped, so it must be written while that file is there
        _write(openvino.convert_model(Path(name) / made.name), conversion)
    made_by = f"{made.made_by}, openvino {version('openvino')}"
    if conversion.precision == "int8":
        made_by += f", nncf {version('nncf')}"
    return Converted(NAME, made.signature, made_by, NOTES[conversion.precision])


def _write(model: openvino.Model, conversion: Conversion) -> None:
    """Quantize where that is asked for, and save."""
    if conversion.precision == "int8":
        model = _int8(model, conversion)
    folder = conversion.folder / NAME
    folder.mkdir()
    openvino.save_model(_short_names(model), folder / FILE, compress_to_fp16=conversion.precision == "float16")


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


def _short_names(model: openvino.Model) -> openvino.Model:
    """Number the operators and drop inner tensors' names: they hold counters of this process, and fill the file."""
    for index, operator in enumerate(model.get_ordered_ops()):
        if operator.get_type_name() == "Parameter":
            continue
        operator.set_friendly_name(f"n{index}")
        for output in operator.outputs():
            if all(port.get_node().get_type_name() != "Result" for port in output.get_target_inputs()):
                output.get_tensor().set_names(set())
    return model


def _samples(conversion: Conversion) -> Iterator[dict[str, NDArray[np.float32]]]:
    for row in range(len(next(iter(conversion.calibration.values())))):
        yield {name: values[row : row + 1] for name, values in conversion.calibration.items()}
