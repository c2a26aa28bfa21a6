"""TensorFlow Lite (LiteRT): Android, Linux boards, this computer.

Made by litert-torch, quantized by ai-edge-quantizer.
Ranges of activations are over all calibration samples, the smallest and largest value or without the outermost 0.01 %
at either end; the quantizer's own way, a moving average, clips rare large values and makes some transformers useless.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from edgekd.litert import lowering, opening, quantizing
from edgekd.nets import programs
from edgekd.plugins import Conversion, Converted, Opened
from edgekd.results import Signature
from edgekd.spec import CALIBRATED, Precision, Value

VERSION = 4
PACKAGES = ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert")
EXTRA = "tflite"
# litert-converter has wheels for these two only; elsewhere TFLite files run but are not made
PLATFORMS = ("linux-x86_64", "darwin-arm64")
REQUIRES = (
    "litert-torch>=0.10,<0.11; (sys_platform == 'linux' and platform_machine == 'x86_64') "
    "or (sys_platform == 'darwin' and platform_machine == 'arm64')",
    "ai-edge-quantizer>=0.10,<0.11; (sys_platform == 'linux' and platform_machine == 'x86_64') "
    "or (sys_platform == 'darwin' and platform_machine == 'arm64')",
)
ALIASES = ("litert", "tf-lite", "tensorflow-lite", "lite")
SUFFIXES = (".tflite",)
PRECISIONS = ("float32", "float16", "int8", "int8-full", "int8-dynamic", "int8-weights", "int4-weights")
RANGES = ("min-max", "percentile")

NAME, OPENED = "student.tflite", "opened.tflite"
FIXED_BATCH = "Runs one sample at a time: the converter does not keep this network's batch dimension."
IDS = "Inputs of 64-bit integers are taken as 32-bit ones."
IN_FLOAT = "Operators that stay float32, for the sake of accuracy: {}."
CLIPPED = "Ranges leave out the smallest and the largest 0.01 % of an activation's values."
NEW_RUNTIME = "Needs LiteRT: tflite-runtime 2.14 {}."
NOTES: dict[Precision, tuple[str, ...]] = {
    "float32": (),
    "float16": ("Weights are stored as float16 and computed with in float32.",),
    "int8": (
        "Convolutions and linear layers compute in 8 bits, but for a small last one; the rest, inputs and outputs are "
        "float32.",
    ),
    "int8-full": (
        "All operators compute in 8 bits, for chips without float; on processors int8 may be faster.",
        "Inputs and outputs are 8-bit integers with the scale and zero point of the signature.",
    ),
    "int8-dynamic": (
        "Linear layers, and convolutions with many channels or large kernels, compute in 8 bits with ranges found at "
        "run time; other weights have 8 bits, and the rest is float32.",
        NEW_RUNTIME.format("runs it without an error, and its outputs are wrong"),
    ),
    "int8-weights": ("Weights are stored in 8 bits and computed with in float32.",),
    "int4-weights": (
        "Weights of linear layers have 4 bits, others 8. Linear layers compute in 8 bits, with ranges found at run "
        "time; the rest is float32.",
        NEW_RUNTIME.format("refuses it"),
    ),
}


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write student.tflite. Inputs and outputs keep their names and layout; the file's own signature has them."""
    precision, ranges = conversion.precision, conversion.ranges
    model, signature, layers, made_by = _base(conversion)
    notes = [*_changes(conversion.signature, signature), *NOTES[precision]]
    if precision != "float32":
        in_float = [tensor for tensor, node in layers.items() if node in conversion.in_float]
        notes += [IN_FLOAT.format(len(in_float))] if in_float else []
        notes += [CLIPPED] if precision in CALIBRATED and ranges == "percentile" else []
        model = quantizing.quantized(model, precision, signature, conversion.calibration, ranges, in_float)
        signature, layers = opening.with_scales(model, signature), opening.followed(model, layers)
        made_by += f", ai-edge-quantizer {version('ai-edge-quantizer')}"
    (conversion.folder / NAME).write_bytes(model)
    return Converted(NAME, signature, made_by, tuple(notes), layers)


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened:
    """Write opened.tflite, whose signature has the inner tensors of `layers` as outputs, called "layer:TENSOR"."""
    model, whole, nodes = opening.opened(file.read_bytes(), signature, layers)
    (folder / OPENED).write_bytes(model)
    return Opened(OPENED, whole, nodes)


def _base(conversion: Conversion) -> tuple[bytes, Signature, Mapping[str, str], str]:
    """The float32 file that is there already, or a new one: content, signature, layers, and what made it."""
    base = conversion.base
    if base is not None:
        return base.path.read_bytes(), base.signature, base.layers, base.made_by
    program = programs.load(conversion.program)
    model, signature, layers = lowering.float32(program, conversion.signature, conversion.calibration)
    return model, signature, layers, f"litert-torch {version('litert-torch')}"


def _changes(wanted: Signature, given: Signature) -> tuple[str, ...]:
    """What is different from the program's own signature, as notes."""
    fixed = programs.dynamic(wanted) and not programs.dynamic(given)
    narrowed = [spec.dtype for spec in wanted.inputs] != [spec.dtype for spec in given.inputs]
    return ((FIXED_BATCH,) if fixed else ()) + ((IDS,) if narrowed else ())
