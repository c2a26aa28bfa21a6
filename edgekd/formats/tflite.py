"""TFLite (LiteRT) files by litert-torch, quantized by ai-edge-quantizer.

int8 quantizes convolutions, linear layers and embeddings only, with a float interface: other operators would split the
graph into many XNNPACK partitions, which is slower than float32. Activation ranges are the minimum and maximum over all
calibration samples; the quantizer's own default, a moving average, clips rare large values.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from numpy.typing import NDArray

from edgekd.litert import lowering, opening
from edgekd.litert.content import ENTRY
from edgekd.nets import programs
from edgekd.plugins import Conversion, Converted, Opened
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert")
EXTRA = "tflite"
PRECISIONS = ("float32", "float16", "int8")

NAME, OPENED = "student.tflite", "opened.tflite"
Op = qtyping.TFLOperationName
FIXED_BATCH = "Runs one sample at a time: the converter does not keep this network's batch dimension."
IDS = "Inputs of 64-bit integers are taken as 32-bit ones."
NOTES = {
    "float32": (),
    "float16": ("Weights are stored as float16 and computed with in float32.",),
    "int8": ("Convolutions and linear layers compute in 8 bits; the rest, inputs and outputs are float32.",),
}


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write student.tflite. Inputs and outputs keep their names and layout; the file's own signature has them."""
    model, signature, layers = _base(conversion)
    made_by = f"litert-torch {version('litert-torch')}"
    if conversion.precision != "float32":
        recipe = _float16() if conversion.precision == "float16" else _int8()
        model = _quantize(model, recipe, signature, conversion)
        layers = opening.followed(model, layers)
        made_by += f", ai-edge-quantizer {version('ai-edge-quantizer')}"
    (conversion.folder / NAME).write_bytes(model)
    notes = (*_changes(conversion.signature, signature), *NOTES[conversion.precision])
    return Converted(NAME, signature, made_by, notes, layers)


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened:
    """Write opened.tflite, whose signature has the inner tensors of `layers` as outputs, called "layer:TENSOR"."""
    model, whole, nodes = opening.opened(file.read_bytes(), signature, layers)
    (folder / OPENED).write_bytes(model)
    return Opened(OPENED, whole, nodes)


def _base(conversion: Conversion) -> tuple[bytes, Signature, Mapping[str, str]]:
    """The float32 file: the one that is there already, or a new one."""
    base = conversion.base
    if base is not None:
        return base.path.read_bytes(), base.signature, base.layers
    return lowering.float32(programs.load(conversion.program), conversion.signature, conversion.calibration)


def _changes(wanted: Signature, given: Signature) -> tuple[str, ...]:
    """What is different from the program's own signature, as notes."""
    fixed = programs.dynamic(wanted) and not programs.dynamic(given)
    narrowed = [spec.dtype for spec in wanted.inputs] != [spec.dtype for spec in given.inputs]
    return ((FIXED_BATCH,) if fixed else ()) + ((IDS,) if narrowed else ())


def _float16() -> qtyping.ModelQuantizationRecipe:
    """All weights as float16."""
    recipe = recipe_manager.RecipeManager()
    recipe.add_quantization_config(
        regex=".*",
        operation_name=Op.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    return recipe.get_quantization_recipe()


def _int8() -> qtyping.ModelQuantizationRecipe:
    """Static 8-bit convolutions and linear layers, weights per channel; embeddings have 8-bit weights only."""
    recipe = recipe_manager.RecipeManager()
    for name in (Op.CONV_2D, Op.DEPTHWISE_CONV_2D, Op.FULLY_CONNECTED):
        recipe.add_static_config(regex=".*", operation_name=name, activation_num_bits=8, weight_num_bits=8)
    recipe.add_weight_only_config(regex=".*", operation_name=Op.EMBEDDING_LOOKUP, num_bits=8)
    return recipe.get_quantization_recipe()


def _quantize(
    model: bytes, recipe: qtyping.ModelQuantizationRecipe, signature: Signature, conversion: Conversion
) -> bytes:
    """Quantize by a recipe; static ones get the smallest and largest value of each tensor over all samples."""
    quantize = quantizer.Quantizer(model, recipe)
    ranges = _ranges(model, recipe, signature, conversion.calibration) if quantize.need_calibration else None
    return bytes(quantize.quantize(ranges).quantized_model)


def _ranges(
    model: bytes, recipe: qtyping.ModelQuantizationRecipe, signature: Signature, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Smallest and largest value of each tensor over all calibration samples."""
    calibration = calibrator.Calibrator(model, num_threads=1, qsv_update_func=calibrator.qsv_utils.min_max_update)
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe)
    typed = {spec.name: inputs[spec.name].astype(spec.dtype) for spec in signature.inputs}
    count = len(next(iter(typed.values())))
    samples = [{name: values[row : row + 1] for name, values in typed.items()} for row in range(count)]
    calibration.calibrate({ENTRY: samples}, manager)
    ranges: dict[str, Any] = calibration.get_model_qsvs()
    return ranges
