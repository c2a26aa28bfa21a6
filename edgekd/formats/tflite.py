"""TFLite (LiteRT) files by litert-torch, quantized by ai-edge-quantizer.

int8 quantizes convolutions, linear layers and embeddings only, with a float interface: other operators would split the
graph into many XNNPACK partitions, which is slower than float32. Activation ranges are the minimum and maximum over all
calibration samples; the quantizer's own default, a moving average, clips rare large values.
"""

import operator
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import litert_torch
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from numpy.typing import NDArray
from torch import fx
from torch.export import Dim, ExportedProgram

from edgekd.nets import programs
from edgekd.plugins import Conversion, Converted
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert")
EXTRA = "tflite"
PRECISIONS = ("float32", "float16", "int8")

NAME = "student.tflite"
ENTRY = "serving_default"
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
    model, signature = _float32(programs.load(conversion.program), conversion.signature, conversion.calibration)
    made_by = f"litert-torch {version('litert-torch')}"
    if conversion.precision != "float32":
        recipe = _float16() if conversion.precision == "float16" else _int8()
        model = _quantize(model, recipe, signature, conversion)
        made_by += f", ai-edge-quantizer {version('ai-edge-quantizer')}"
    (conversion.folder / NAME).write_bytes(model)
    notes = (*_changes(conversion.signature, signature), *NOTES[conversion.precision])
    return Converted(NAME, signature, made_by, notes)


def _changes(wanted: Signature, given: Signature) -> tuple[str, ...]:
    """What is different from the program's own signature, as notes."""
    fixed = programs.dynamic(wanted) and not programs.dynamic(given)
    narrowed = [spec.dtype for spec in wanted.inputs] != [spec.dtype for spec in given.inputs]
    return ((FIXED_BATCH,) if fixed else ()) + ((IDS,) if narrowed else ())


def _float32(
    program: ExportedProgram, signature: Signature, rows: Mapping[str, NDArray[Any]]
) -> tuple[bytes, Signature]:
    """Convert with a batch dimension of any size where that works and costs no operator, else for one sample."""
    if programs.dynamic(signature):
        narrow = programs.without_int64(signature)
        try:
            model = _lower(program, signature)
            if _shapes_are_known(model) and _runs(model, narrow, rows):
                return _short_names(model), narrow
        # what the converter raises for an operator whose lowering wants every size in numbers
        except (TypeError, ValueError, RuntimeError, AssertionError):
            pass
    one = programs.with_batch(signature, 1)
    return _short_names(_lower(program, one)), programs.without_int64(one)


def _lower(program: ExportedProgram, signature: Signature) -> bytes:
    """Run the converter on a program, for the batch of the signature."""
    any_batch = programs.dynamic(signature)
    batch = programs.TRACED_BATCH if any_batch else signature.inputs[0].shape[0]
    arguments = dict(zip((s.name for s in signature.inputs), programs.samples(signature, batch), strict=True))
    shapes = {name: {0: Dim("batch", min=1)} for name in arguments} if any_batch else None
    converted = litert_torch.convert(_named(program, signature), sample_kwargs=arguments, dynamic_shapes=shapes)
    model: bytes = converted.model_content()
    return model


def _named(program: ExportedProgram, signature: Signature) -> fx.GraphModule:
    """A module that takes and returns tensors by our names; litert-torch puts those into the file's signature."""
    graph = fx.Graph()
    inputs = tuple(graph.placeholder(spec.name) for spec in signature.inputs)
    outputs = graph.call_module("program", inputs)
    graph.output({s.name: graph.call_function(operator.getitem, (outputs, i)) for i, s in enumerate(signature.outputs)})
    module = fx.GraphModule({"program": program.module()}, graph)
    # an exported module refuses eval(), since its mode is fixed in the graph; this silences a warning about it
    module.training = False
    return module


def _shapes_are_known(model: bytes) -> bool:
    """Does the graph do without computing shapes at run time? Where it does not, XNNPACK takes only parts of it."""
    codes = flatbuffer_utils.read_model_from_bytearray(model).operatorCodes
    return all(code.builtinCode != schema.BuiltinOperator.SHAPE for code in codes)


def _runs(model: bytes, signature: Signature, rows: Mapping[str, NDArray[Any]]) -> bool:
    """Does the model treat a few samples together as it does each for itself?"""
    runner = Interpreter(model_content=model, num_threads=1).get_signature_runner(ENTRY)
    wanted = programs.TRACED_BATCH
    few = {
        s.name: (rows[s.name][:wanted] if rows else np.ones((wanted, *s.shape[1:]))).astype(s.dtype)
        for s in signature.inputs
    }
    together = runner(**few)
    for row in range(len(next(iter(few.values())))):
        alone = runner(**{name: values[row : row + 1] for name, values in few.items()})
        if not all(np.allclose(alone[name][0], together[name][row], 1e-4, 1e-4) for name in alone):
            return False
    return True


def _short_names(model: bytes) -> bytes:
    """Give inner tensors short names: the converter writes every layer's path, which can double a small file."""
    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for graph in content.subgraphs:
        kept = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept:
                tensor.name = f"t{index}"
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


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
