"""OpenVINO: Intel processors, this computer.

IR (model.xml and model.bin) by way of ONNX, quantized by NNCF.
int8 is static with NNCF's MIXED preset: symmetric weights per channel, activations as they come. Weights of the float32
file stay float32; OpenVINO itself would store float16 unless told otherwise. bfloat16 is how the runtime computes.
"""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

if "openvino_telemetry" not in sys.modules:
    # None makes its import fail; openvino and nncf then use stand-ins that send nothing, and write nothing at home
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino

from edgekd import plugins
from edgekd.ov import layers, opening, quantizing
from edgekd.plugins import Conversion, Converted, Lowered, Opened
from edgekd.results import Signature
from edgekd.spec import Precision, Value

VERSION = 2
PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime", "openvino", "nncf")
USES = ("formats.onnx",)
EXTRA = "openvino"
REQUIRES = ("nncf>=3.0",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64", "windows-amd64")
ALIASES = ("ov", "open-vino")
SUFFIXES = (".openvino", ".xml")
PRECISIONS = ("float32", "float16", "bfloat16", "int8", "int8-weights", "int4-weights")
RANGES = ("min-max", "percentile")

NAME = "student.openvino"
FILE = "model.xml"
IN_FLOAT = (
    "All computes in float32; OpenVINO's rounding of activations to 8 bits at run time is turned off in the file."
)
BY_NNCF = ("int8", "int8-weights", "int4-weights")
NOTES: dict[Precision, tuple[str, ...]] = {
    "float32": (),
    "float16": ("Weights are stored as float16; the runtime decides in which precision it computes.",),
    "bfloat16": (
        "Weights are stored as float32, and computed with in bfloat16 where the processor can, else in float32.",
        "The file asks for that under edgekd/inference_precision; a program that does not use edgekd's runtime module "
        "sets INFERENCE_PRECISION_HINT to bf16 itself.",
    ),
    "int8": ("Inputs and outputs stay float32.",),
    "int8-weights": ("Weights are stored in 8 bits, those of convolutions too.", IN_FLOAT),
    "int4-weights": (
        "Weights of linear layers and embeddings are stored in 4 bits, those of convolutions in 8.",
        IN_FLOAT,
    ),
}
# Where the file says in which precision to compute, and runtimes/openvino reads it.
COMPUTE = ["edgekd", "inference_precision"]


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write the folder student.openvino with model.xml and model.bin; names and batch are those of the program."""
    if conversion.precision == "float32":
        return _float32(conversion)
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        base = conversion.base or _lowered(conversion, Path(name))
        # the model keeps its file mapped, so it must be written while that file is there
        model = _changed(openvino.Core().read_model(base.path / FILE), conversion, base.layers)
        names = _write(model, layers.by_name(model, base.layers), conversion)
    made_by = f"{base.made_by}, nncf {version('nncf')}" if conversion.precision in BY_NNCF else base.made_by
    return Converted(NAME, base.signature, made_by, NOTES[conversion.precision], names)


def _changed(model: openvino.Model, conversion: Conversion, names: Mapping[str, str]) -> openvino.Model:
    """A float32 model in another precision. Raises Unsuited where that would do nothing."""
    match conversion.precision:
        case "bfloat16":
            model.set_rt_info("bf16", COMPUTE)
        case "int8":
            return quantizing.static(model, conversion, names)
        case "int8-weights":
            return quantizing.int8_weights(model, conversion, names)
        case "int4-weights":
            return quantizing.int4_weights(model, conversion, names)
    return model


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
