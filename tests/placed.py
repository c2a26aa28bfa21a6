"""Small files made by hand whose operators are known to run on, and off, the kernels that one wants."""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import openvino
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from openvino import opset13 as ops

SHAPE = (1, 4, 8)


def signature(shape: tuple[int, ...] = SHAPE, output: str = "y") -> dict[str, Any]:
    plain = {"dtype": "float32", "scale": None, "zero_point": None, "preprocess": None}
    return {"inputs": [{"name": "x", "shape": shape, **plain}], "outputs": [{"name": output, "shape": shape, **plain}]}


def tflite(path: Path, between: str = "CUMSUM") -> None:
    """A product, then `between` (XNNPACK has no kernel for CUMSUM), then a reshape and a sum."""
    model, codes = schema.ModelT(), schema.BuiltinOperator
    kinds = ("MUL", between, "RESHAPE", "ADD")
    model.version = 3
    model.operatorCodes = []
    for kind in kinds:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(codes, kind)
        code.deprecatedBuiltinCode = min(127, code.builtinCode)
        model.operatorCodes.append(code)
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []

    def tensor(name: str, values: Any = None, dtype: Any = np.float32, shape: tuple[int, ...] = SHAPE) -> int:
        made = schema.TensorT()
        made.name, made.shape = name, list(shape if values is None else np.shape(values))
        made.type = {np.float32: schema.TensorType.FLOAT32, np.int32: schema.TensorType.INT32}[dtype]
        made.buffer = 0
        if values is not None:
            made.buffer = len(model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(values, dtype).tobytes(), np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def add(kind: str, inputs: list[int], output: int) -> None:
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = kinds.index(kind), inputs, [output]
        options = {"MUL": "Mul", "ADD": "Add", "CUMSUM": "Cumsum", "RESHAPE": "Reshape"}.get(kind)
        if options is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            made.builtinOptions = getattr(schema, f"{options}OptionsT")()
        graph.operators.append(made)

    x, two, axis = tensor("x"), tensor("two", np.full(SHAPE, 2)), tensor("axis", np.array(1), np.int32)
    target = tensor("target", np.array(SHAPE), np.int32)
    doubled, between_, same, y = (tensor(name) for name in ("doubled", "between", "same", "y"))
    add("MUL", [x, two], doubled)
    add(between, [doubled, axis] if between == "CUMSUM" else [doubled], between_)
    add("RESHAPE", [between_, target], same)
    add("ADD", [same, two], y)
    graph.inputs, graph.outputs = [x], [y]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


IMAGE = (1, 3, 8, 8)


def qdq(path: Path, between: str = "HardSwish", last_pair: bool = True) -> None:
    """Two convolutions with 8-bit values around both and around what stands between them."""
    random, make = np.random.default_rng(0), helper.make_node

    def constant(name: str, value: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(value, name)

    def pair(tensor: str, given: str) -> list[onnx.NodeProto]:
        return [
            make("QuantizeLinear", [tensor, "s", "z"], [f"{tensor}_q"], name=f"{tensor}_Q"),
            make("DequantizeLinear", [f"{tensor}_q", "s", "z"], [given], name=f"{tensor}_DQ"),
        ]

    def conv(number: int, tensor: str) -> list[onnx.NodeProto]:
        weight = make("DequantizeLinear", [f"w{number}", "ws", "wz"], [f"w{number}_f"], name=f"w{number}_DQ")
        work = make("Conv", [tensor, f"w{number}_f"], [f"c{number}"], name=f"conv{number}", pads=[1] * 4)
        return [weight, work]

    end = pair("c2", "y") if last_pair else [make("Relu", ["c2"], ["y"], name="end")]
    nodes = [
        *pair("x", "x_d"), *conv(1, "x_d"), *pair("c1", "c1_d"), make(between, ["c1_d"], ["h"], name="between"),
        *pair("h", "h_d"), *conv(2, "h_d"), *end,
    ]  # fmt: skip
    weights = [constant(f"w{n}", random.integers(-99, 99, (3, 3, 3, 3)).astype(np.int8)) for n in (1, 2)]
    steps = [constant("s", np.float32(0.1)), constant("z", np.uint8(128)), constant("ws", np.float32(0.01))]
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, IMAGE) for name in ("x", "y")]
    graph = helper.make_graph(
        nodes, "placed", described[:1], described[1:], [*weights, *steps, constant("wz", np.int8(0))]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def ir(folder: Path, quantized: bool) -> None:
    """A hyperbolic sine, for which OpenVINO has a reference kernel, then a convolution whose weights are float32."""
    random = np.random.default_rng(0)
    x = ops.parameter(IMAGE, np.float32, name="x")
    before = ops.sinh(x, name="sine")
    if quantized:
        ends = [ops.constant(np.float32(value)) for value in (-1, 1, -1, 1)]
        before = ops.fake_quantize(before, *ends, levels=256, name="steps")
    weights = ops.constant(random.normal(size=(3, 3, 3, 3)).astype(np.float32))
    made = ops.convolution(before, weights, [1, 1], [1, 1], [1, 1], [1, 1], name="conv")
    made.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    folder.mkdir()
    openvino.save_model(openvino.Model([made], [x], "placed"), folder / "model.xml", compress_to_fp16=False)
