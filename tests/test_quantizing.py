"""What the precisions of .tflite files are inside, and where they are refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from edgekd import plugins
from edgekd.bundle import bundle
from edgekd.bundle.verify import verify
from edgekd.errors import Unsuited
from edgekd.litert import content, integers, quantizing
from edgekd.litert.ranges import Extremes, ranges
from edgekd.lock import Lock
from edgekd.plugins import Conversion, Lowered
from edgekd.results import Artifact
from edgekd.spec import Precision
from edgekd.workspace import locate
from tests import converted as toy
from tests import small, synthetic

Made = Callable[[str], Path]
Kind = content.Kind
FLOAT, INT8, INT4 = content.FLOAT, schema.TensorType.INT8, schema.TensorType.INT4
LOCK = Lock(edgekd="0.1.0", source="", plan="0" * 64, seeds=(0,), devices={}, steps=())
each_net = pytest.mark.parametrize("net", ["images", "words"])


def at(converted: Made, net: str, precision: str) -> tuple[Artifact, Path]:
    folder = converted("tflite")
    made = toy.artifact(folder, "tflite", net, precision)
    return made, locate(folder / "entries", made.file)


def opened(converted: Made, net: str, precision: str) -> Any:
    return content.read(at(converted, net, precision)[1].read_bytes())


def types(objects: Any, kind: int) -> list[tuple[list[int], list[int]]]:
    """Types of what operators of a kind read (-1 for none) and write."""
    graph = objects.subgraphs[0]
    return [
        ([graph.tensors[i].type if i >= 0 else -1 for i in one.inputs], [graph.tensors[i].type for i in one.outputs])
        for one, own in zip(graph.operators, content.kinds(objects), strict=True)
        if own == kind
    ]


def weights(objects: Any) -> dict[int, set[int]]:
    """Types of the stored weights, by the operator that takes them: behind DEQUANTIZE, if that is there."""
    graph = objects.subgraphs[0]
    stored = {
        int(one.outputs[0]): int(one.inputs[0])
        for one, kind in zip(graph.operators, content.kinds(objects), strict=True)
        if kind == Kind.DEQUANTIZE
    }
    found: dict[int, set[int]] = {}
    for one, kind in zip(graph.operators, content.kinds(objects), strict=True):
        if kind in quantizing.WEIGHTED:
            tensor = int(one.inputs[1])
            found.setdefault(kind, set()).add(graph.tensors[stored.get(tensor, tensor)].type)
    return found


def partitions(path: Path) -> int:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return sum(one["op_name"] == "DELEGATE" for one in interpreter._get_ops_details())


def samples(folder: Path, net: str) -> dict[str, np.ndarray]:
    made = toy.artifact(folder, "tflite", net, "float32")
    return toy.samples(folder, net, made.signature, count=48)


def quantized(converted: Made, net: str, precision: Precision, model: bytes = b"", **how: Any) -> bytes:
    made, path = at(converted, net, "float32")
    how = {"ranges": "min-max"} | how
    return quantizing.quantized(
        model or path.read_bytes(), precision, made.signature, samples(converted("tflite"), net), **how
    )


@pytest.mark.parametrize("name", ["images-int8", "images-float16", "words-int8"])
def test_a_file_made_from_the_float32_one_is_the_one_made_from_the_program(name: str, converted: Made) -> None:
    net, precision = name.split("-")
    one, other = at(converted, net, precision), at(converted, net, f"{precision}@base")
    assert one[1].read_bytes() == other[1].read_bytes()
    assert (one[0].signature, one[0].notes, one[0].made_by) == (other[0].signature, other[0].notes, other[0].made_by)
    assert one[0].layers is not None and other[0].layers is not None
    assert one[0].layers.sha256 == other[0].layers.sha256


@each_net
def test_full_integer_files_hold_no_float(net: str, converted: Made) -> None:
    made, path = at(converted, net, "int8-full@base")
    objects = opened(converted, net, "int8-full@base")
    graph = objects.subgraphs[0]
    assert all(graph.tensors[i].type != FLOAT for i in (*content.computed(objects), *graph.inputs, *graph.outputs))
    expected = {"images": [("image", "int8")], "words": [("ids", "int32"), ("mask", "int32")]}[net]
    assert [(spec.name, spec.dtype) for spec in made.signature.inputs] == expected
    details = Interpreter(model_path=str(path)).get_signature_runner(content.ENTRY)
    for spec, own in [
        *((spec, details.get_input_details()[spec.name]) for spec in made.signature.inputs),
        *((spec, details.get_output_details()[spec.name]) for spec in made.signature.outputs),
    ]:
        assert spec.dtype == np.dtype(own["dtype"]).name
        assert ((spec.scale or 0.0), (spec.zero_point or 0)) == own["quantization"]
        assert (spec.scale is not None) == (spec.dtype == "int8")
    assert made.signature.outputs[0].dtype == "int8"
    assert any("8-bit integers with the scale" in note for note in made.notes)


def test_integers_are_cast_to_8_bits_where_these_hold_them(converted: Made) -> None:
    model, folder = at(converted, "words", "float32")[1].read_bytes(), converted("tflite")
    full = quantized(converted, "words", "int8-full", model)
    ((inputs, outputs),) = types(content.read(full), Kind.CAST)
    assert inputs == [schema.TensorType.INT32] and outputs == [INT8]
    # masks of 0 and 300 do not fit
    made = toy.artifact(folder, "tflite", "words", "float32")
    large = samples(folder, "words")
    large["mask"] = large["mask"] * 300
    with pytest.raises(Unsuited, match="no 8-bit versions of CAST"):
        quantizing.quantized(model, "int8-full", made.signature, large, "min-max")


def test_gathers_give_what_embeddings_did(converted: Made) -> None:
    model = at(converted, "words", "float32")[1].read_bytes()
    other = integers.with_gathers(model)
    assert Kind.EMBEDDING_LOOKUP not in content.kinds(content.read(other))
    few = {name: values[:1].astype(np.int32) for name, values in samples(converted("tflite"), "words").items()}
    np.testing.assert_array_equal(content.run(model, few)["logits"], content.run(other, few)["logits"])


@each_net
def test_ranges_found_at_run_time_are_of_linear_layers(net: str, converted: Made) -> None:
    objects = opened(converted, net, "int8-dynamic@base")
    assert all(kinds[:2] == [FLOAT, INT8] and wrote == [FLOAT] for kinds, wrote in types(objects, Kind.FULLY_CONNECTED))
    assert all(kinds[:2] == [FLOAT, FLOAT] for kinds, _ in types(objects, Kind.DEPTHWISE_CONV_2D))
    assert set.union(*weights(objects).values()) == {INT8}


@each_net
def test_weights_of_8_bits_are_computed_with_in_float(net: str, converted: Made) -> None:
    objects = opened(converted, net, "int8-weights@base")
    assert set.union(*weights(objects).values()) == {INT8}
    for kind in quantizing.WEIGHTED - {Kind.EMBEDDING_LOOKUP}:
        assert all(kinds[:2] == [FLOAT, FLOAT] for kinds, _ in types(objects, kind))


@each_net
def test_weights_of_4_bits_are_those_of_linear_layers(net: str, converted: Made) -> None:
    found = weights(opened(converted, net, "int4-weights@base"))
    assert found.pop(Kind.FULLY_CONNECTED) == {INT4}
    assert set.union(*found.values()) == {INT8}


@each_net
@pytest.mark.parametrize("precision", ["float16", "int8", "int8-dynamic", "int8-weights", "int4-weights"])
def test_xnnpack_takes_no_smaller_parts_of_them_than_of_float32(net: str, precision: str, converted: Made) -> None:
    assert partitions(at(converted, net, f"{precision}@base")[1]) == partitions(at(converted, net, "float32")[1]) == 1


def cut(converted: Made, kinds: set[int]) -> bytes:
    """The float32 file of the images without operators of some kinds, each of which has one input that is no weight."""
    objects = content.read(at(converted, "images", "float32")[1].read_bytes())
    graph, own = objects.subgraphs[0], content.kinds(objects)
    instead: dict[int, int] = {}
    left = []
    for one, kind in zip(graph.operators, own, strict=True):
        one.inputs = [instead.get(int(i), int(i)) for i in one.inputs]
        if kind in kinds:
            instead[int(one.outputs[0])] = int(one.inputs[0])
        else:
            left.append(one)
    graph.operators = left
    graph.outputs = [instead.get(int(i), int(i)) for i in graph.outputs]
    for slot in objects.signatureDefs[0].outputs:
        slot.tensorIndex = instead.get(slot.tensorIndex, slot.tensorIndex)
    return content.write(objects)


CONVOLUTIONS = {Kind.DEPTHWISE_CONV_2D, Kind.CONV_2D}


@pytest.mark.parametrize(
    "precision, without, reason",
    [
        ("int4-weights", {Kind.FULLY_CONNECTED}, "no linear layers.* 4-bit weights. Use int8-weights"),
        ("int8-dynamic", {Kind.FULLY_CONNECTED}, "no linear layers.* at run time. Use int8, or int8-weights"),
        ("int8", CONVOLUTIONS | {Kind.FULLY_CONNECTED}, "no convolutions.* Use float32"),
        ("int8-weights", CONVOLUTIONS | {Kind.FULLY_CONNECTED}, "no convolutions.* Use float32"),
    ],
)
def test_what_can_do_nothing_for_a_network_is_refused(
    precision: Precision, without: set[int], reason: str, converted: Made
) -> None:
    with pytest.raises(Unsuited, match=reason) as refused:
        quantized(converted, "images", precision, cut(converted, without))
    assert refused.value.problems[0].where == f"tflite {precision}"
    quantized(converted, "images", precision)


def test_an_operator_without_integers_is_named(converted: Made) -> None:
    objects = content.read(at(converted, "images", "float32")[1].read_bytes())
    graph = objects.subgraphs[0]
    last, added = graph.operators[-1], schema.OperatorT()
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = b"inner", FLOAT, graph.tensors[last.outputs[0]].shape, 0
    graph.tensors.append(tensor)
    added.opcodeIndex = content.add_code(objects, Kind.EXP)
    added.inputs, added.outputs = [len(graph.tensors) - 1], [int(last.outputs[0])]
    last.outputs = [len(graph.tensors) - 1]
    graph.operators.append(added)
    with pytest.raises(Unsuited, match=r"no 8-bit versions of EXP\. Use int8:"):
        quantized(converted, "images", "int8-full", content.write(objects))


def test_operators_stay_in_float_where_that_is_asked_for(converted: Made) -> None:
    objects = content.read(quantized(converted, "images", "int8", in_float=["t13"]))
    first, second = types(objects, Kind.DEPTHWISE_CONV_2D)
    assert first == ([FLOAT] * 3, [FLOAT]) and second[0][:2] == [INT8, INT8]
    assert types(objects, Kind.PAD)[0][0][0] == FLOAT, "what it reads is in float too"
    objects = content.read(quantized(converted, "words", "int8", in_float=["t22"]))
    first, second = types(objects, Kind.FULLY_CONNECTED)
    assert first == ([FLOAT] * 3, [FLOAT]) and second[0][:2] == [INT8, INT8]
    with pytest.raises(Unsuited, match="Use int8"):
        quantized(converted, "images", "int8-full", in_float=["t13"])


def test_pads_between_convolutions_are_in_8_bits_and_others_are_not(converted: Made) -> None:
    plain = at(converted, "images", "float32")[1].read_bytes()
    assert types(content.read(quantized(converted, "images", "int8")), Kind.PAD)[0][0][0] == INT8
    objects = content.read(plain)
    graph = objects.subgraphs[0]
    pad = next(o for o, kind in zip(graph.operators, content.kinds(objects), strict=True) if kind == Kind.PAD)
    content.give(objects, {"padded": int(pad.outputs[0])})
    # one that is an output too has a reader of its own
    content.give(objects, {"squared": content.add_reshape(objects, int(pad.outputs[0]), (-1, 18 * 18))})
    made = content.read(quantized(converted, "images", "int8", content.write(objects)))
    assert types(made, Kind.PAD)[0][0][0] == FLOAT


def one_convolution(outputs: int, kernel: int, inputs: int, stride: int) -> Any:
    """A file's objects with one convolution; only its shape counts here."""
    objects, graph, one = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    kernels, output = schema.TensorT(), schema.TensorT()
    kernels.shape, kernels.name, output.name = [outputs, kernel, kernel, inputs], b"weights", b"output"
    # an input, which is never looked at, and the weights
    one.opcodeIndex, one.inputs, one.outputs, one.builtinOptions = 0, [-1, 0], [1], schema.Conv2DOptionsT()
    one.builtinOptions.strideH = one.builtinOptions.strideW = stride
    graph.tensors, graph.operators, objects.subgraphs = [kernels, output], [one], [graph]
    objects.operatorCodes = []
    content.add_code(objects, Kind.CONV_2D)
    return objects


@pytest.mark.parametrize(
    "shape, gains",
    [
        ((32, 3, 32, 1), True),
        ((32, 1, 32, 1), False),
        ((64, 1, 64, 1), True),
        ((64, 1, 24, 1), False),
        ((24, 1, 64, 1), False),
        ((16, 3, 16, 2), False),
        ((32, 3, 3, 1), False),
    ],
)
def test_convolutions_find_ranges_at_run_time_where_they_compute_enough(shape: Any, gains: bool) -> None:
    found = list(quantizing.dynamic_convolutions(one_convolution(*shape)))
    assert found == (["output"] if gains else [])


@given(st.integers(1, 400), st.sampled_from([0.0, 1e-3, 1e-2, 0.1]), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_extremes_are_exact(size: int, share: float, parts: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(parts, size)).astype(np.float32)
    extremes = Extremes(values.size, share)
    for part in values:
        extremes.add(part)
    ordered, left_out = np.sort(values.ravel()), int(values.size * share)
    found = extremes.range(3)
    assert found["min"].shape == found["max"].shape == (1, 1, 1)
    assert (found["min"], found["max"]) == (ordered[left_out], ordered[-1 - left_out])


def test_extremes_know_no_infinity() -> None:
    extremes = Extremes(6, 0.0)
    extremes.add(np.array([-np.inf, 1, 2], np.float32))
    extremes.add(np.array([-3.4e38, -1, np.inf], np.float32))
    assert (extremes.range(1)["min"], extremes.range(1)["max"]) == (-1, 2)


def test_ranges_are_over_all_samples(converted: Made) -> None:
    made, path = at(converted, "images", "float32")
    rows = samples(converted("tflite"), "images")
    found = ranges(path.read_bytes(), made.signature, rows, "min-max")
    assert (found["serving_default_image"]["min"], found["serving_default_image"]["max"]) == (
        rows["image"].min(),
        rows["image"].max(),
    )
    logits = np.concatenate([content.run(path.read_bytes(), {"image": row[None]})["logits"] for row in rows["image"]])
    assert found["serving_default_logits_output"]["max"] == logits.max()
    clipped = ranges(path.read_bytes(), made.signature, rows, "percentile")
    left_out = int(rows["image"].size * 1e-4)
    assert left_out and clipped["serving_default_image"]["max"] == np.sort(rows["image"].ravel())[-1 - left_out]


def test_clipped_ranges_give_smaller_steps(converted: Made) -> None:
    steps = []
    for how in ("min-max", "percentile"):
        objects = content.read(quantized(converted, "images", "int8", ranges=how))
        tensor = objects.subgraphs[0].tensors[content.names(objects).index("t13")]
        steps.append(float(tensor.quantization.scale[0]))
    assert steps[1] < steps[0]


def test_notes_say_what_was_done_for_accuracy(converted: Made, tmp_path: Path) -> None:
    made, path = at(converted, "images", "float32")
    assert made.layers is not None
    layers = json.loads(locate(converted("tflite") / "entries", made.layers).read_text())
    plain = Conversion(
        program=Path("it is not read again"),
        signature=made.signature,
        precision="int8",
        calibration=samples(converted("tflite"), "images"),
        folder=tmp_path,
        base=Lowered(path, made.signature, "the converter", layers),
    )
    format = plugins.find("formats", "tflite")
    notes = format.convert(plain).notes
    careful = format.convert(replace(plain, ranges="percentile", in_float=frozenset({"relu6", "mean", "no such node"})))
    assert set(careful.notes) - set(notes) == {
        "Operators that stay float32, for the sake of accuracy: 2.",
        "Ranges leave out the smallest and the largest 0.01 % of an activation's values.",
    }
    assert careful.made_by.startswith("the converter, ai-edge-quantizer ") and set(careful.layers.values()) == set(
        layers.values()
    )


@each_net
def test_a_bundle_of_a_full_integer_file_is_sound_and_its_program_runs(
    net: str, converted: Made, tmp_path: Path
) -> None:
    shutil.copytree(converted("tflite") / "entries", tmp_path / "entries")
    made = toy.artifact(converted("tflite"), "tflite", net, "int8-full@base")
    store = small.Store(tmp_path)
    golden = small.golden_set(store, made, small.device_facts())
    row = synthetic.rows("tflite")[-1].model_copy(update={"artifact": made, "precision": made.precision})
    report = synthetic.report(rows=(*synthetic.rows("tflite")[:4], row))
    written = bundle.write(report, row, golden, store.entries, tmp_path / "made", LOCK)
    findings = verify(written)
    assert all(finding.passed for finding in findings), findings
    assert "golden samples, logits" in {finding.what for finding in findings}
    with np.load(written / "golden" / "golden.npz") as arrays:
        recorded, exact = arrays["runtime:logits"], arrays["output:logits"]
        np.savez(tmp_path / "inputs.npz", **{spec.name: arrays[f"raw:{spec.name}"] for spec in made.signature.inputs})
    assert np.abs(recorded - exact).max() < 0.1 * np.abs(exact).max()
    given = "inputs.npz" if net == "words" else "made/golden/turned.jpg"
    done = subprocess.run(
        [sys.executable, str(written / "run.py"), str(tmp_path / given)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in made.signature.classes)
