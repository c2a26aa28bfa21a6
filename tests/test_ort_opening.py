"""Copies of ONNX files that show inner tensors, and which operators a node's value comes from."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.ort import layers, opening
from edgekd.results import Signature, TensorSpec
from edgekd.runtimes import onnx as runtime

WEIGHT = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", shape=(-1, 4, 3)),), outputs=(TensorSpec(name="y", shape=(-1, 4, 2)),)
)


def write(path: Path) -> Path:
    """Samples move behind the words and back; half way through it computes in float16."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2], name="a"),
        helper.make_node("MatMul", ["turned", "weight"], ["product"], name="b"),
        helper.make_node("Cast", ["product"], ["half"], to=TensorProto.FLOAT16, name="c"),
        helper.make_node("Sigmoid", ["half"], ["curved"], name="d"),
        helper.make_node("Cast", ["curved"], ["whole"], to=TensorProto.FLOAT, name="e"),
        helper.make_node("Transpose", ["whole"], ["back"], perm=[1, 0, 2], name="f"),
        helper.make_node("Relu", ["back"], ["y"], name="g"),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 4, size])] for n, size in (("x", 3), ("y", 2))
    )
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(WEIGHT, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_a_tensor_without_the_sample_in_front_gets_it_there_and_halves_become_float32(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    named = {"turned": "moved", "curved": "sigmoid", "back": "moved_1", "y": "relu"}
    made = opening.opened(write(tmp_path / "a.onnx"), SIGNATURE, named, tmp_path / "copy", "a.onnx")
    shapes = {spec.name: spec.shape for spec in made.signature.outputs}
    nodes = {node: shapes[output] for output, node in made.layers.items()}
    assert nodes == {"moved": (1, 4, 1, 3), "sigmoid": (1, 4, 1, 2), "moved_1": (-1, 4, 2), "relu": (-1, 4, 2)}
    assert {spec.dtype for spec in made.signature.outputs} == {"float32"}
    loaded = runtime.load(tmp_path / "copy" / made.name, 1, made.signature.model_dump(mode="json"), 1)
    x = np.random.default_rng(1).normal(size=(1, 4, 3)).astype(np.float32)
    loaded.feed([x])
    loaded.invoke()
    values = dict(zip((spec.name for spec in made.signature.outputs), loaded.outputs(), strict=True))
    found = {node: values[output] for output, node in made.layers.items()}
    np.testing.assert_array_equal(found["moved"], x.transpose(1, 0, 2)[None])
    assert found["sigmoid"].dtype == np.float32
    np.testing.assert_allclose(found["sigmoid"][0, :, 0], 1 / (1 + np.exp(-x[0] @ WEIGHT)), atol=2e-3)
    np.testing.assert_array_equal(found["relu"], values["y"])
    assert onnx.load(tmp_path / "a.onnx").graph.output[0].name == "y"


def test_the_operators_behind_a_value_go_back_to_the_next_known_one(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "a.onnx"))
    named = {"turned": "moved", "product": "linear", "curved": "sigmoid", "y": "relu"}
    assert set(layers.behind(model, named, {"linear"})) == {"b"}
    # an activation function with what it follows
    assert set(layers.behind(model, named, {"sigmoid"})) == {"d", "c"}
    assert set(layers.behind(model, named, {"relu"})) == {"g", "f", "e"}
    assert set(layers.behind(model, {**named, "back": "moved_1"}, {"relu"})) == {"g", "f", "e"}
    assert layers.behind(model, named, {"nothing"}) == [] == layers.behind(model, named, ())


def test_the_tensor_that_the_next_layer_reads_is_behind_a_pair(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="a"),
        helper.make_node("QuantizeLinear", ["a", "s"], ["aq"], name="q"),
        helper.make_node("DequantizeLinear", ["aq", "s"], ["ad"], name="d"),
        helper.make_node("Neg", ["ad"], ["y"], name="y"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    assert layers.dequantized(model, {"a": "relu", "y": "neg", "gone": "x"}) == {"ad": "relu", "y": "neg"}
