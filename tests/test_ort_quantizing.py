"""ONNX files in fewer bits: what is quantized, with which ranges, what is refused, and that it starts from float32."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd import plugins
from edgekd.errors import Unsuited
from edgekd.ort import quantizing
from edgekd.plugins import Conversion, Lowered
from edgekd.results import Signature, TensorSpec
from edgekd.workspace import locate
from tests import converted as toy

Made = Callable[[str], Path]
QUANTIZED = ("float16", "int8", "int8-dynamic", "int4-weights")
RANDOM = np.random.default_rng(0)


def base(folder: Path, net: str) -> Lowered:
    """The float32 file of a toy network."""
    made = toy.artifact(folder, "onnx", net, "float32")
    named = json.loads(locate(folder / "entries", made.layers).read_text())
    return Lowered(locate(folder / "entries", made.file), made.signature, made.made_by, named)


def asked(folder: Path, net: str, precision: str, out: Path, **more: object) -> Conversion:
    """A conversion that starts from the float32 file, with the data that the fixture's conversions had."""
    program = toy.program(folder, net)
    out.mkdir(exist_ok=True)
    return Conversion(
        program=locate(folder / "entries", program.file),
        signature=program.signature,
        precision=precision,
        calibration=toy.samples(folder, net, program.signature, 160, "calibration"),
        folder=out,
        base=base(folder, net),
        **more,
    )


def model(conversion: Conversion) -> onnx.ModelProto:
    made = plugins.find("formats", "onnx").convert(conversion)
    return onnx.load(conversion.folder / made.name)


def kinds(given: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in given.graph.node]


def run(given: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(given.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(feed))[0]


def noise_to_signal(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def small(nodes: list[onnx.NodeProto], constants: Mapping[str, np.ndarray], width: int = 8) -> onnx.ModelProto:
    """A model of one input `x` and one output `y`."""
    shape = ["batch", 4, width]
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    given = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", value, given, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def nothing(folder: Path, **more: object) -> Conversion:
    """A conversion of no network in particular."""
    spec = (TensorSpec(name="x", shape=(-1, 4, 8)),)
    signature = Signature(inputs=spec, outputs=(TensorSpec(name="y", shape=(-1, 4, 8)),))
    return Conversion(Path(), signature, "int8", {"x": RANDOM.normal(size=(8, 4, 8)).astype("f4")}, folder, **more)


@pytest.mark.parametrize("net, precision", [("images", "int8"), ("words", "int8"), ("images", "float16")])
def test_starting_from_the_float32_file_makes_the_same_bytes(
    converted: Made, tmp_path: Path, net: str, precision: str
) -> None:
    folder = converted("onnx")
    made = plugins.find("formats", "onnx").convert(asked(folder, net, precision, tmp_path))
    anew = toy.artifact(folder, "onnx", net, precision)
    assert (tmp_path / made.name).read_bytes() == locate(folder / "entries", anew.file).read_bytes()
    assert json.loads(locate(folder / "entries", anew.layers).read_text()) == dict(made.layers)
    assert (made.made_by, made.notes) == (anew.made_by, anew.notes)


@pytest.mark.parametrize("net", ["images", "words"])
@pytest.mark.parametrize("precision, most", [("int8-dynamic", 0.02), ("int4-weights", 0.2)])
def test_weights_in_fewer_bits_stay_near_float32(
    converted: Made, tmp_path: Path, net: str, precision: str, most: float
) -> None:
    folder = converted("onnx")
    conversion = asked(folder, net, precision, tmp_path)
    feed = toy.samples(folder, net, conversion.signature, 16)
    expected = run(onnx.load(conversion.base.path), feed)
    assert 1e-4 < noise_to_signal(run(model(conversion), feed), expected) < most


def test_dynamic_quantization_is_of_linear_layers_and_embeddings_never_of_convolutions(
    converted: Made, tmp_path: Path
) -> None:
    folder = converted("onnx")
    words = kinds(model(asked(folder, "words", "int8-dynamic", tmp_path / "words")))
    assert words.count("DynamicQuantizeLinear") == words.count("MatMulInteger") == 2 and "Gemm" not in words
    images = kinds(model(asked(folder, "images", "int8-dynamic", tmp_path / "images")))
    assert images.count("Conv") == 2 and "ConvInteger" not in images and images.count("MatMulInteger") == 1


def test_4_bit_weights_are_those_of_products_and_embeddings(converted: Made, tmp_path: Path) -> None:
    folder = converted("onnx")
    conversion = asked(folder, "words", "int4-weights", tmp_path)
    made = model(conversion)
    assert kinds(made).count("MatMulNBits") == 2 and kinds(made).count("GatherBlockQuantized") == 1
    assert not {"Gemm", "MatMul", "Gather"} & set(kinds(made))
    assert made.opset_import[0].version >= 21
    assert (tmp_path / "student.onnx").read_bytes() != conversion.base.path.read_bytes()
    stored = {value.name: list(value.dims) for value in made.graph.initializer if value.data_type == TensorProto.FLOAT}
    assert not any(len(dims) == 2 and min(dims) >= 16 for dims in stored.values()), "no float weights are left"


@pytest.mark.parametrize("quantize", [quantizing.dynamic, quantizing.int4_weights])
@pytest.mark.parametrize("linear, said", [(0, "are not in it"), (2, "hold 3% of its weights")])
def test_what_changes_next_to_nothing_is_refused(
    tmp_path: Path, quantize: Callable[..., onnx.ModelProto], linear: int, said: str
) -> None:
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["c"], kernel_shape=[1]), helper.make_node("Relu", ["c"], ["y"])]
    constants = {"kernel": RANDOM.normal(size=(144, 4, 1))}
    if linear:
        nodes[1:] = [helper.make_node("MatMul", ["c", "weight"], ["y"], name="m")]
        constants["weight"] = RANDOM.normal(size=(8, linear))
    with pytest.raises(Unsuited, match=f"linear layers and embeddings only, and these {said}.*Use int8"):
        quantize(small(nodes, constants), nothing(tmp_path), {})
    constants["kernel"] = constants["kernel"][:4]
    if linear:
        quantize(small(nodes, constants), nothing(tmp_path), {})


def test_general_products_become_plain_ones_with_the_same_value() -> None:
    def written(**options: object) -> onnx.ModelProto:
        weight = RANDOM.normal(size=(5, 8) if options.get("transB") else (8, 5))
        nodes = [
            helper.make_node("Reshape", ["x", "flat"], ["r"], name="r"),
            helper.make_node("Gemm", ["r", "weight", "bias"], ["p"], name="p", **options),
            helper.make_node("Gemm", ["p", "second"], ["y"], name="q"),
        ]
        constants = {"weight": weight, "bias": RANDOM.normal(size=5), "second": RANDOM.normal(size=(5, 3))}
        made = small(nodes, constants)
        made.graph.initializer.append(numpy_helper.from_array(np.array([-1, 8]), "flat"))
        return made

    feed = {"x": RANDOM.normal(size=(2, 4, 8)).astype(np.float32)}
    for options in ({}, {"transB": 1}, {"alpha": 0.5}, {"beta": 2.0, "transB": 1}):
        given = written(**options)
        expected = run(given, feed)
        quantizing._split_gemms(given.graph)
        scaled = "alpha" in options or "beta" in options
        assert kinds(given) == ["Reshape", *(["Gemm"] if scaled else ["MatMul", "Add"]), "MatMul"]
        np.testing.assert_allclose(run(given, feed), expected, rtol=1e-5, atol=1e-5)
        assert {value.name for value in given.graph.initializer} == {
            n for node in given.graph.node for n in node.input
        } & {value.name for value in given.graph.initializer}


@pytest.mark.parametrize("ranges", ["min-max", "percentile", "entropy"])
def test_an_infinite_activation_is_refused_and_named(tmp_path: Path, ranges: str) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "limit"], ["hidden"], name="g"),
        helper.make_node("Where", ["hidden", "endless", "x"], ["masked"], name="w"),
        helper.make_node("Sigmoid", ["masked"], ["y"], name="s"),
    ]
    made = small(nodes, {"limit": np.array(1.0), "endless": np.array(-np.inf)})
    conversion = nothing(tmp_path, ranges=ranges)
    with pytest.raises(Unsuited) as caught:
        quantizing.static(made, conversion, {"masked": "masked_fill"})
    assert "'masked_fill' is infinite" in str(caught.value) and "constant 'endless'" in str(caught.value)
    finite = small(nodes, {"limit": np.array(1.0), "endless": np.array(-10.0)})
    assert "QuantizeLinear" in kinds(quantizing.static(finite, conversion, {}))


def test_the_float16_file_of_transposed_tensors_loads(tmp_path: Path) -> None:
    """Without a guard ONNX Runtime crashes on it, on x86 processors."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2], name="t"),
        helper.make_node("MatMul", ["t", "weight"], ["m"], name="m"),
        helper.make_node("Relu", ["m"], ["y"], name="y"),
    ]
    made = small(nodes, {"weight": RANDOM.normal(size=(8, 3))})
    half = quantizing.float16(made)
    onnx.save(half, tmp_path / "half.onnx")
    assert {v.data_type for v in half.graph.initializer} == {TensorProto.FLOAT16}
    code = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    loaded = subprocess.run([sys.executable, "-c", code, str(tmp_path / "half.onnx")], capture_output=True, check=False)
    assert loaded.returncode == 0
    feed = {"x": RANDOM.normal(size=(2, 4, 8)).astype(np.float32)}
    assert 0 < noise_to_signal(run(half, feed), run(made, feed)) < 2e-3


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic", "int4-weights"])
def test_layers_that_shall_stay_float_do(converted: Made, tmp_path: Path, precision: str) -> None:
    folder = converted("onnx")
    some = asked(folder, "words", precision, tmp_path / "some", in_float=frozenset({"relu"}))
    feed = toy.samples(folder, "words", some.signature, 16)
    expected = run(onnx.load(some.base.path), feed)
    # the activation function and the linear layer that it follows
    shapes = {tuple(v.dims) for v in model(some).graph.initializer if v.data_type == TensorProto.FLOAT}
    assert {(32, 16), (16, 32)} & shapes and not {(3, 32), (32, 3)} & shapes
    every = asked(folder, "words", precision, tmp_path / "every", in_float=frozenset(some.base.layers.values()))
    assert noise_to_signal(run(model(every), feed), expected) < 1e-6
