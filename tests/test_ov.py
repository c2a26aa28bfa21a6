"""OpenVINO files: their precisions, what is refused, that they start from float32, and how they are opened."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as operators

from edgekd import plugins
from edgekd.errors import Unsuited
from edgekd.ov import layers, opening, quantizing
from edgekd.plugins import Conversion, Lowered
from edgekd.results import Signature, TensorSpec
from edgekd.runtimes import openvino as runtime
from edgekd.workspace import locate
from tests import converted as toy

Made = Callable[[str], Path]
RANDOM = np.random.default_rng(0)
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", shape=(-1, 4, 8)),), outputs=(TensorSpec(name="y", shape=(-1, 4, 3)),)
)


def base(folder: Path, net: str) -> Lowered:
    """The float32 file of a toy network."""
    made = toy.artifact(folder, "openvino", net, "float32")
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


def written(conversion: Conversion) -> Path:
    made = plugins.find("formats", "openvino").convert(conversion)
    return conversion.folder / made.name


def read(file: Path) -> openvino.Model:
    return openvino.Core().read_model(file / "model.xml")


def sizes(model: openvino.Model) -> Counter[str]:
    """How many numbers the constants of each type hold."""
    found: Counter[str] = Counter()
    for op in model.get_ops():
        if op.get_type_name() == "Constant":
            found[op.get_element_type().get_type_name()] += int(np.prod(op.get_output_shape(0)))
    return found


def run(file: Path, signature: Signature, feed: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, object]]:
    """The first output for each sample by itself, and what the runtime says of itself."""
    model = runtime.load(file, 1, signature.model_dump(mode="json"), 1)
    found = []
    for row in range(len(next(iter(feed.values())))):
        model.feed([feed[spec.name][row : row + 1] for spec in signature.inputs])
        model.invoke()
        found.append(model.outputs()[0])
    return np.concatenate(found), model.notes


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def small(masked: float | None = None) -> openvino.Model:
    """x (batch, 4, 8) -> a linear layer -> y; with `masked`, of the largest of four where large ones become that."""
    x = operators.parameter([-1, 4, 8], np.float32, name="x")
    value = x
    if masked is not None:
        value = operators.select(operators.greater(x, np.float32(1)), np.float32(masked), x)
        value.set_friendly_name("masked")
        value = operators.reduce_max(value, np.array([1]))
    y = operators.matmul(value, RANDOM.normal(size=(8, 3)).astype(np.float32), False, False)
    for node, name in ((x, "x"), (y, "y")):
        node.set_friendly_name(name)
        node.output(0).get_tensor().set_names({name})
    return openvino.Model([y], [x], "small")


def nothing(folder: Path) -> Conversion:
    return Conversion(Path(), SIGNATURE, "int8", {"x": RANDOM.normal(size=(8, 4, 8)).astype("f4")}, folder)


@pytest.mark.parametrize("net, precision", [("images", "int8"), ("words", "int8"), ("images", "float16")])
def test_starting_from_the_float32_file_makes_the_same_bytes(
    converted: Made, tmp_path: Path, net: str, precision: str
) -> None:
    folder = converted("openvino")
    made = plugins.find("formats", "openvino").convert(asked(folder, net, precision, tmp_path))
    anew = toy.artifact(folder, "openvino", net, precision)
    whole = locate(folder / "entries", anew.file)
    for name in ("model.xml", "model.bin"):
        assert (tmp_path / made.name / name).read_bytes() == (whole / name).read_bytes()
    assert json.loads(locate(folder / "entries", anew.layers).read_text()) == dict(made.layers)
    assert (made.made_by, made.notes) == (anew.made_by, anew.notes)


def test_bfloat16_is_computed_in_where_the_file_asks_for_it(converted: Made, tmp_path: Path) -> None:
    folder = converted("openvino")
    conversion = asked(folder, "words", "bfloat16", tmp_path)
    feed = toy.samples(folder, "words", conversion.signature, 16)
    expected, told = run(conversion.base.path, conversion.signature, feed)
    assert told["precision"] == "f32" and "fallback" not in told
    file = written(conversion)
    assert (file / "model.bin").read_bytes() == (conversion.base.path / "model.bin").read_bytes(), "float32 weights"
    found, told = run(file, conversion.signature, feed)
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    assert told["precision"] == "bf16" and 1e-4 < error(found, expected) < 2e-2


def test_a_processor_without_bfloat16_computes_in_float32_and_says_so(
    converted: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = converted("openvino")
    conversion = asked(folder, "words", "bfloat16", tmp_path)
    feed = toy.samples(folder, "words", conversion.signature, 4)
    monkeypatch.setattr(runtime, "CAPABILITIES", {"bf16": "what no processor has"})
    found, told = run(written(conversion), conversion.signature, feed)
    np.testing.assert_array_equal(found, run(conversion.base.path, conversion.signature, feed)[0])
    assert told["precision"] == "f32"
    assert told["fallback"] == "it computes in f32, since this processor has no bf16 arithmetic"


@pytest.mark.parametrize("precision, held, most", [("int8-weights", {"u8"}, 0.02), ("int4-weights", {"i4"}, 0.2)])
def test_weights_in_fewer_bits_are_computed_with_in_float(
    converted: Made, tmp_path: Path, precision: str, held: set[str], most: float
) -> None:
    folder = converted("openvino")
    for net in ("words", "images"):
        conversion = asked(folder, net, precision, tmp_path / net)
        feed = toy.samples(folder, net, conversion.signature, 16)
        expected, _ = run(conversion.base.path, conversion.signature, feed)
        file = written(conversion)
        found, _ = run(file, conversion.signature, feed)
        assert 1e-4 < error(found, expected) < most
        # 4 bits for linear layers and embeddings, 8 for convolutions
        assert set(sizes(read(file))) - {"f16", "f32", "i64"} == held | ({"u8"} if net == "images" else set())
        compiled = openvino.Core().compile_model(file / "model.xml", "CPU")
        assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 0


def test_4_bits_are_refused_where_convolutions_hold_the_weights(tmp_path: Path) -> None:
    x = operators.parameter([-1, 16, 8, 8], np.float32, name="x")
    kernel = RANDOM.normal(size=(32, 16, 3, 3)).astype(np.float32)
    seen = operators.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    flat = operators.reduce_mean(seen, np.array([2, 3]))
    model = openvino.Model([operators.matmul(flat, RANDOM.normal(size=(32, 3)).astype("f4"), False, False)], [x], "m")
    with pytest.raises(Unsuited, match=r"these hold 2% of this network.s weights\. Use int8-weights"):
        quantizing.int4_weights(model, nothing(tmp_path), {})


def test_a_network_without_weights_has_none_to_store(tmp_path: Path) -> None:
    x = operators.parameter([-1, 8], np.float32, name="x")
    with pytest.raises(Unsuited, match="no weights"):
        quantizing.int8_weights(openvino.Model([operators.relu(x)], [x], "m"), nothing(tmp_path), {})


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_an_infinite_activation_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(Unsuited, match="the value of 'masked_fill' is infinite for some calibration sample"):
        quantizing.static(small(-np.inf), nothing(tmp_path), {"masked:0": "masked_fill"})
    made = quantizing.static(small(-9.0), nothing(tmp_path), {"masked:0": "masked_fill"})
    assert any(op.get_type_name() == "FakeQuantize" for op in made.get_ops())


def test_percentile_leaves_out_rare_large_values(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(4, 64, 512)).astype(np.float32)
    values[1, 0, 0] = 90
    signature = SIGNATURE.model_copy(update={"inputs": (TensorSpec(name="x", shape=(-1, 64, 512)),)})
    widths = {}
    for ranges in ("min-max", "percentile"):
        x = operators.parameter([-1, 64, 512], np.float32, name="x")
        x.output(0).get_tensor().set_names({"x"})
        weight = np.eye(512, 3, dtype=np.float32)
        model = openvino.Model([operators.matmul(x, weight, False, False)], [x], "m")
        made = quantizing.static(
            model, Conversion(Path(), signature, "int8", {"x": values}, tmp_path, None, ranges), {}
        )
        (fake,) = [op for op in made.get_ops() if op.get_type_name() == "FakeQuantize"]
        widths[ranges] = float(fake.input_value(2).get_node().data.max() - fake.input_value(1).get_node().data.min())
    assert widths["min-max"] > 90 and 6 < widths["percentile"] < 15


@pytest.mark.parametrize("precision", ["int8", "int8-weights"])
def test_layers_that_shall_stay_float_do(converted: Made, tmp_path: Path, precision: str) -> None:
    folder = converted("openvino")
    some = asked(folder, "words", precision, tmp_path / "some", in_float=frozenset({"relu"}))
    whole = asked(folder, "words", precision, tmp_path / "whole")
    quantized, kept = (sizes(read(written(conversion))) for conversion in (whole, some))
    # the activation function and the linear layer that it follows, 16 x 32
    kind = "u8" if precision == "int8-weights" else "i8"
    assert 512 <= quantized[kind] - kept[kind] < 600 and 400 < kept["f32"] - quantized["f32"] < 600


def test_a_value_without_the_sample_in_front_gets_it_there(tmp_path: Path) -> None:
    x = operators.parameter([-1, 4, 8], np.float32, name="x")
    turned = operators.transpose(x, np.array([1, 0, 2]))
    back = operators.transpose(operators.relu(turned), np.array([1, 0, 2]))
    y = operators.reduce_sum(back, np.array([2]))
    for node, name in ((x, "x"), (turned, "turned"), (back, "back"), (y, "y")):
        node.set_friendly_name(name)
    x.output(0).get_tensor().set_names({"x"})
    y.output(0).get_tensor().set_names({"y"})
    file = tmp_path / "a.openvino"
    file.mkdir()
    openvino.save_model(openvino.Model([y], [x], "m"), file / "model.xml", compress_to_fp16=False)
    (tmp_path / "copy").mkdir()
    signature = SIGNATURE.model_copy(update={"outputs": (TensorSpec(name="y", shape=(-1, 4)),)})
    named = {"turned:0": "moved", "back:0": "moved_1", "y": "sum_1"}
    made = opening.opened(file, signature, named, tmp_path / "copy", "model.xml")
    shapes = {spec.name: spec.shape for spec in made.signature.outputs}
    assert {node: shapes[output] for output, node in made.layers.items()} == {
        "moved": (1, 4, 1, 8),
        "moved_1": (-1, 4, 8),
        "sum_1": (-1, 4),
    }
    loaded = runtime.load(tmp_path / "copy" / made.name, 1, made.signature.model_dump(mode="json"), 1)
    given = RANDOM.normal(size=(1, 4, 8)).astype(np.float32)
    loaded.feed([given])
    loaded.invoke()
    values = dict(zip((spec.name for spec in made.signature.outputs), loaded.outputs(), strict=True))
    found = {node: values[output] for output, node in made.layers.items()}
    np.testing.assert_array_equal(found["moved"], given.transpose(1, 0, 2)[None])
    np.testing.assert_array_equal(found["moved_1"], np.maximum(given, 0))


def test_results_keep_their_names_and_inner_tensors_lose_them(converted: Made) -> None:
    folder = converted("openvino")
    made = toy.artifact(folder, "openvino", "images", "float32")
    model = read(locate(folder / "entries", made.file))
    assert [port.get_names() for port in model.outputs] == [{"logits"}]
    inner = [op for op in model.get_ordered_ops() if op.get_type_name() in ("Convolution", "Clamp")]
    assert inner and not any(op.output(0).get_names() for op in inner)


def test_the_operators_behind_a_value_go_back_to_the_next_known_one() -> None:
    model = small(-9.0)
    named = {"masked:0": "where", "y": "linear"}
    (product,) = [op for op in model.get_ops() if op.get_type_name() == "MatMul"]
    (most,) = [op for op in model.get_ops() if op.get_type_name() == "ReduceMax"]
    assert set(layers.behind(model, named, {"linear"})) == {product.get_friendly_name(), most.get_friendly_name()}
    assert layers.behind(model, named, ()) == []
