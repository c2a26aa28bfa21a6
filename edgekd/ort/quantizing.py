"""ONNX models in fewer bits, by ONNX Runtime's tools."""

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from edgekd.errors import Problem, Unsuited
from edgekd.ort import layers, ranges
from edgekd.plugins import Conversion

# Where there is attention, quantizing more than these loses far more accuracy than it gains speed.
LINEAR = ("Conv", "MatMul", "Gemm", "Gather")
# What has weights to be quantized without looking at activations. Convolutions have not: ONNX Runtime's kernel for them
# with ranges found at run time is about ten times slower than the float one, and there is none for 4-bit weights.
WEIGHTED = ("MatMul", "Gemm", "Gather")
# Below this share of all weights, fewer bits for linear layers and embeddings change neither size nor speed.
SHARE = 0.1
# Weights that share a scale in 4 bits.
BLOCK = 32
INT4_OPSET = 21

# importing MatMulNBitsQuantizer turned on everybody's messages
logging.getLogger().setLevel(logging.WARNING)


def float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute in float16 behind a float32 interface."""
    half = OnnxModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=_before_products(model)))
    half.topological_sort()
    converted: onnx.ModelProto = half.model
    return converted


def _before_products(model: onnx.ModelProto) -> list[str]:
    """The Transposes, by name, that a product with weights reads: these stay in float32.

    On x86 processors ONNX Runtime crashes where it joins such two in float16 (its issue 28392; still so in 1.31).
    """
    weights = {value.name for value in model.graph.initializer}
    read = {node.input[0] for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights}
    return [node.name for node in model.graph.node if node.op_type == "Transpose" and node.output[0] in read]


def _replace(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Give a graph other nodes, some of which may be its own."""
    copies = []
    for node in nodes:
        copies.append(onnx.NodeProto())
        copies[-1].CopyFrom(node)
    del graph.node[:]
    graph.node.extend(copies)


def static(model: onnx.ModelProto, conversion: Conversion, names: Mapping[str, str]) -> onnx.ModelProto:
    """Compute in 8 bits, with ranges of activations from the calibration part.

    Raises Unsuited where an activation is infinite; `names` are the program's nodes by the tensors that hold them.
    """
    attention = any(node.op_type in ("Softmax", "LayerNormalization") for node in model.graph.node)
    kinds = LINEAR if attention else tuple(sorted({*QLinearOpsRegistry, *QDQRegistry}))
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        folder = Path(name)
        prepared, quantized, cache = (folder / f"{part}" for part in ("prepared.onnx", "quantized.onnx", "ranges.json"))
        _prepare(model, prepared)
        found = ranges.found(prepared, kinds, partial(one_by_one, conversion.calibration), conversion.ranges, folder)
        given = onnx.load(prepared)
        _check_finite(found, given, names)
        save_tensors_data(found, cache)
        quantize_static(
            prepared,
            quantized,
            None,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(kinds),
            nodes_to_exclude=layers.behind(given, names, conversion.in_float),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=ranges.METHODS[conversion.ranges],
            calibration_cache_path=cache,
        )
        return onnx.load(quantized)


def one_by_one(inputs: Mapping[str, NDArray[np.float32]]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Samples of named arrays as batches of one."""
    for row in range(len(next(iter(inputs.values())))):
        yield {name: values[row : row + 1] for name, values in inputs.items()}


def _prepare(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as the quantizer wants it: with known shapes and fused operators."""
    path = path.absolute()
    plain = path.with_name("plain.onnx")
    onnx.save(model, plain)
    try:
        with contextlib.chdir(path.parent):  # it leaves what it was at where it gives up
            quant_pre_process(model, path)
    # its own shape inference gives up at some resizing and broadcasting, with any error; then onnx's is enough
    except Exception:
        quant_pre_process(plain, path, skip_symbolic_shape=True)


def dynamic(model: onnx.ModelProto, conversion: Conversion, names: Mapping[str, str]) -> onnx.ModelProto:
    """Compute linear layers in 8 bits, with ranges of activations found at each run. Raises Unsuited."""
    _check_worthwhile(model, "int8-dynamic", "int8")
    with tempfile.TemporaryDirectory(dir=conversion.folder) as name:
        prepared, quantized = Path(name) / "prepared.onnx", Path(name) / "quantized.onnx"
        _prepare(model, prepared)
        kept = layers.behind(onnx.load(prepared), names, conversion.in_float)
        quantize_dynamic(
            prepared,
            quantized,
            op_types_to_quantize=list(WEIGHTED),
            # it makes products of general matrix multiplications first, and names them so
            nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantized)


def int4_weights(model: onnx.ModelProto, conversion: Conversion, names: Mapping[str, str]) -> onnx.ModelProto:
    """Store weights of linear layers and embeddings in 4 bits, in blocks with a scale each. Raises Unsuited."""
    _check_worthwhile(model, "int4-weights", "int8")
    # the first set of operators that knows 4-bit numbers
    newer = onnx.version_converter.convert_version(model, max(INT4_OPSET, model.opset_import[0].version))
    _split_gemms(newer.graph)
    quantizer = MatMulNBitsQuantizer(
        newer,
        bits=4,
        block_size=BLOCK,
        is_symmetric=True,
        nodes_to_exclude=layers.behind(newer, names, conversion.in_float),
        op_types_to_quantize=("MatMul", "Gather"),
    )
    quantizer.process()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


def _split_gemms(graph: onnx.GraphProto) -> None:
    """Write linear layers of the form x W' + b as two operators: the 4-bit kernel is a product alone."""
    constants = {value.name: value for value in graph.initializer}
    nodes = []
    for node in graph.node:
        options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        scaled = options.get("alpha", 1.0) != 1.0 or options.get("beta", 1.0) != 1.0
        if node.op_type != "Gemm" or node.input[1] not in constants or options.get("transA") or scaled:
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        name = f"{node.output[0]}_weight"
        turned = np.ascontiguousarray(weight.T) if options.get("transB") else weight
        graph.initializer.append(numpy_helper.from_array(turned, name))
        biased = len(node.input) > 2 and node.input[2]
        product = f"{node.output[0]}_product" if biased else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], name], [product], name=node.name))
        if biased:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}_bias"))
    _replace(graph, nodes)
    read = {name for node in nodes for name in node.input}
    kept = [value for value in graph.initializer if value.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _check_worthwhile(model: onnx.ModelProto, precision: str, instead: str) -> None:
    """Raise Unsuited where linear layers and embeddings hold next to none of the weights."""
    sizes = {
        value.name: int(np.prod(value.dims))
        for value in model.graph.initializer
        if value.data_type == onnx.TensorProto.FLOAT
    }
    # the first input of Gather is its table; the second of the others are their weights
    places = {"MatMul": 1, "Gemm": 1, "Gather": 0}
    weighted = {
        node.input[places[node.op_type]]
        for node in model.graph.node
        if node.op_type in WEIGHTED and node.input[places[node.op_type]] in sizes
    }
    share = sum(sizes[name] for name in weighted) / max(1, sum(sizes.values()))
    if share >= SHARE:
        return
    held = f"hold {share:.0%} of its weights" if weighted else "are not in it"
    message = f"it changes linear layers and embeddings only, and these {held}"
    raise Unsuited(Problem(f"onnx {precision}", message, f"Use {instead}, which quantizes convolutions too"))


def _check_finite(found: TensorsData, model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Raise Unsuited where a range is infinite, naming the constant that it comes from."""
    endless = ranges.unbounded(found)
    if not endless:
        return
    producers = {output: node for node in model.graph.node for output in node.output}
    bad = {
        v.name for v in model.graph.initializer if v.data_type == 1 and not np.isfinite(numpy_helper.to_array(v)).all()
    }
    source = _source(endless[0], producers, bad)
    node = names.get(endless[0])
    what = f"the value of {node!r}" if node else f"the tensor {endless[0]!r}"
    why = f", because of the constant {source!r}" if source else ""
    message = f"{what} is infinite for some calibration sample{why}: 8 bits cannot stand for its range"
    hint = "Use a large finite number in the network, such as -1e4 for what a mask hides, or float16"
    raise Unsuited(Problem("onnx int8", message, hint))


def _source(tensor: str, producers: Mapping[str, onnx.NodeProto], constants: set[str]) -> str | None:
    """The one of these constants that a tensor is computed from."""
    left, seen = [tensor], set()
    while left:
        name = left.pop(0)
        if name in constants:
            return name
        if name in producers and name not in seen:
            seen.add(name)
            left += producers[name].input
    return None
