"""Float32 files quantized by ai-edge-quantizer: which operators compute how, for each precision.

The choices are measured, on x86 with VNNI, in pairs with float32.

* Static 8 bits everywhere split the graphs of CNNs and transformers into 14 to 44 XNNPACK partitions and took 2 to 4
  times as long as float32: `int8` is of convolutions and linear layers, and `int8-full` is for chips without float.
* What pads or pools the inputs of such a layer comes along: a pad in float between 8-bit convolutions costs what they
  gain (students of the family convnet took 0.7 to 1.1 times as long as float32, with 8-bit pads 0.4 to 0.5 times).
* A last layer too small to count gives its outputs in float: 8 bits of them make ties, and 3 to 8 dB of noise.
* Ranges that are found at run time cost a pass over a layer's inputs: a linear layer took half the time of float32, a
  3x3 convolution of 32 channels a third, but a 1x1 convolution of 32 channels twice as much (of 48: 1.1, of 64: 0.9, of
  128: 0.5 times). `int8-dynamic` is of those convolutions that compute enough with each value.
* 4-bit weights are delegated for linear layers with ranges found at run time (half the time of float32), not for
  convolutions or for linear layers in float (2 to 3 times).
"""

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from ai_edge_quantizer import qtyping, quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from numpy.typing import NDArray

from edgekd.errors import Problem, Unsuited
from edgekd.litert import content as files
from edgekd.litert import integers
from edgekd.litert.ranges import ranges as found_ranges
from edgekd.results import Signature
from edgekd.spec import Precision, Ranges

Op = qtyping.TFLOperationName
Kind = files.Kind
LINEAR = {
    Kind.CONV_2D: Op.CONV_2D,
    Kind.DEPTHWISE_CONV_2D: Op.DEPTHWISE_CONV_2D,
    Kind.FULLY_CONNECTED: Op.FULLY_CONNECTED,
}
WEIGHTED = {Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D, Kind.TRANSPOSE_CONV, Kind.FULLY_CONNECTED, Kind.EMBEDDING_LOOKUP}
# Operators that hand values on as they are, with zeros around them or the largest of some: 8 bits cost nothing there.
MOVES = {Kind.PAD: Op.PAD, Kind.MAX_POOL_2D: Op.MAX_POOL_2D}
EVERYWHERE = ".*"
# Products for each input and for each output value from which a convolution gains by finding its ranges at run time.
WORTH_IT = 64
# A last layer that is no larger a share of all products is left in float.
SMALL = 0.05
INSTEAD = {
    "int8": "Use float32: there is nothing to compute in 8 bits",
    "int8-full": "Use int8: those operators, inputs and outputs stay float32 in it",
    "int8-dynamic": "Use int8, or int8-weights for a small file",
    "int8-weights": "Use float32: there is nothing to make smaller",
    "int4-weights": "Use int8-weights",
}


def quantized(
    model: bytes,
    precision: Precision,
    signature: Signature,
    samples: Mapping[str, NDArray[Any]],
    ranges: Ranges,
    in_float: Sequence[str] = (),
) -> bytes:
    """A float32 file in another precision; operators that give the tensors `in_float` stay as they are.

    Raises Unsuited for a precision that can do nothing for it.
    """
    if precision == "int8-full":
        if in_float:
            raise _unsuited(precision, "some of its operators are to stay float32")
        model = integers.with_gathers(model)
    content = files.read(model)
    _check(content, precision)
    recipe = _recipe(content, precision, in_float)
    for name in in_float:
        recipe.add_quantization_config(_only(name), Op.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE)
    work = quantizer.Quantizer(model, recipe.get_quantization_recipe())
    needed = found_ranges(model, signature, samples, ranges) if work.need_calibration else None
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        # of the interpreter that the quantizer reads the signature with
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
        made = bytes(work.quantize(needed).quantized_model)
    raw = [spec.name for spec in signature.inputs if spec.is_raw]
    if raw:
        made = integers.with_raw_inputs(made, raw)
    if precision == "int8-full":
        made = integers.with_integer_casts(made)
        _refuse_floats(files.read(made))
    return made


def _check(content: Any, precision: Precision) -> None:
    """Raise Unsuited where no operator would become what the precision says."""
    kinds = set(files.kinds(content))
    if precision == "int4-weights" and Kind.FULLY_CONNECTED not in kinds:
        raise _unsuited(precision, "it has no linear layers, and XNNPACK has no convolutions with 4-bit weights")
    if precision == "int8-dynamic" and Kind.FULLY_CONNECTED not in kinds and not list(dynamic_convolutions(content)):
        reason = "it has no linear layers, and its convolutions are slower where ranges are found at run time"
        raise _unsuited(precision, reason)
    if precision in ("int8", "int8-weights") and not kinds & WEIGHTED:
        raise _unsuited(precision, "it has no convolutions, linear layers or embeddings")


def _unsuited(precision: Precision, reason: str) -> Unsuited:
    return Unsuited(Problem(f"tflite {precision}", f"this network cannot use it: {reason}", INSTEAD[precision]))


def _recipe(content: Any, precision: Precision, in_float: Sequence[str]) -> recipe_manager.RecipeManager:
    """Which operators compute how; of several rules for one, the last counts."""
    recipe = recipe_manager.RecipeManager()
    match precision:
        case "float16":
            recipe.add_weight_only_config(EVERYWHERE, Op.ALL_SUPPORTED, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
        case "int8":
            for name in LINEAR.values():
                recipe.add_static_config(EVERYWHERE, name, activation_num_bits=8, weight_num_bits=8)
            recipe.add_weight_only_config(EVERYWHERE, Op.EMBEDDING_LOOKUP, num_bits=8)
            for name, moves in _before_linear(content, in_float):
                recipe.add_static_config(_only(name), moves, activation_num_bits=8, weight_num_bits=8)
            for name in _small_heads(content):
                recipe.add_weight_only_config(_only(name), Op.FULLY_CONNECTED, num_bits=8)
        case "int8-full":
            recipe.add_static_config(EVERYWHERE, Op.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        case "int8-dynamic":
            recipe.add_weight_only_config(EVERYWHERE, Op.ALL_SUPPORTED, num_bits=8)
            recipe.add_dynamic_config(EVERYWHERE, Op.FULLY_CONNECTED, num_bits=8)
            for name in dynamic_convolutions(content):
                recipe.add_dynamic_config(_only(name), Op.CONV_2D, num_bits=8)
        case "int8-weights":
            recipe.add_weight_only_config(EVERYWHERE, Op.ALL_SUPPORTED, num_bits=8)
        case "int4-weights":
            recipe.add_weight_only_config(EVERYWHERE, Op.ALL_SUPPORTED, num_bits=8)
            # OCTAV leaves out the largest weights where that is best: 1 to 2 dB less noise than the whole range
            recipe.add_dynamic_config(EVERYWHERE, Op.FULLY_CONNECTED, num_bits=4, algorithm_key=AlgorithmName.OCTAV)
        case _:
            raise ValueError(f"there is no recipe for {precision}")
    return recipe


def _only(name: str) -> str:
    """A pattern for the one operator that gives a tensor."""
    return f"^{re.escape(name)};"


def _before_linear(content: Any, in_float: Sequence[str]) -> Iterator[tuple[str, qtyping.TFLOperationName]]:
    """Operators that hand values on to layers in 8 bits, and to nothing else: names of their outputs, and kinds."""
    names, chosen = files.names(content), set[int]()
    pairs = list(zip(content.subgraphs[0].operators, files.kinds(content), strict=True))
    in_8_bits = {int(one.outputs[0]) for one, kind in pairs if kind in LINEAR and names[one.outputs[0]] not in in_float}
    for one, kind in reversed(pairs):
        output = int(one.outputs[0])
        readers = {int(reader.outputs[0]) for reader in files.readers(content, output)}
        if kind in MOVES and readers and readers <= in_8_bits | chosen and names[output] not in in_float:
            chosen.add(output)
            yield names[output], MOVES[kind]


def _small_heads(content: Any) -> Iterator[str]:
    """Outputs of the file that are given by a linear layer which is too small to count."""
    graph, names = content.subgraphs[0], files.names(content)
    small = SMALL * sum(files.products(content, one) for one in graph.operators)
    for one, kind in zip(graph.operators, files.kinds(content), strict=True):
        last = kind == Kind.FULLY_CONNECTED and one.outputs[0] in graph.outputs
        if last and files.products(content, one) <= small:
            yield names[one.outputs[0]]


def dynamic_convolutions(content: Any) -> Iterator[str]:
    """The outputs of convolutions that compute enough with each value to gain by finding their ranges at run time."""
    graph, names = content.subgraphs[0], files.names(content)
    for one, kind in zip(graph.operators, files.kinds(content), strict=True):
        if kind != Kind.CONV_2D:
            continue
        outputs, height, width, inputs = (int(size) for size in graph.tensors[one.inputs[1]].shape)
        stride = prod((one.builtinOptions.strideH, one.builtinOptions.strideW))
        if min(height * width * outputs / stride, height * width * inputs) >= WORTH_IT:
            yield names[one.outputs[0]]


def _refuse_floats(content: Any) -> None:
    """Raise Unsuited where an operator still computes in float32."""
    graph = content.subgraphs[0]
    kinds = {
        files.kind_name(kind)
        for one, kind in zip(graph.operators, files.kinds(content), strict=True)
        if any(graph.tensors[index].type == files.FLOAT for index in one.outputs)
    }
    kinds -= {"DEQUANTIZE"} if len(kinds) > 1 else set()
    if kinds:
        raise _unsuited("int8-full", f"there are no 8-bit versions of {', '.join(sorted(kinds))}")
