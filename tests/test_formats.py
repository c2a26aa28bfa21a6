"""What is particular about each format: how it quantizes, and what its files hold inside."""

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekd.mil.reading import read
from edgekd.results import Artifact
from edgekd.workspace import locate
from tests import converted as toy

Made = Callable[[str], Path]


def at(converted: Made, format: str, net: str, precision: str) -> tuple[Artifact, Path]:
    folder = converted(format)
    made = toy.artifact(folder, format, net, precision)
    return made, locate(folder / "entries", made.file)


def operators(path: Path) -> list[str]:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    return [op["op_name"] for op in interpreter._get_ops_details()]


def test_tflite_keeps_names_and_a_batch_of_any_size_where_it_can(converted: Made) -> None:
    made, path = at(converted, "tflite", "images", "float32")
    assert made.signature.inputs[0].shape == (-1, 1, 16, 16)
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [-1, 1, 16, 16]
    assert "SHAPE" not in operators(path)


def test_tflite_fixes_the_batch_and_narrows_ids_where_it_must_and_says_so(converted: Made) -> None:
    made, _ = at(converted, "tflite", "words", "float32")
    assert [(s.name, s.shape, s.dtype) for s in made.signature.inputs] == [
        ("ids", (1, 12), "int32"),
        ("mask", (1, 12), "int32"),
    ]
    assert made.signature.outputs[0].shape == (1, 3)
    assert any("one sample at a time" in note for note in made.notes)
    assert any("32-bit" in note for note in made.notes)


def test_tflite_int8_quantizes_convolutions_and_linear_layers_with_a_float_interface(converted: Made) -> None:
    _, path = at(converted, "tflite", "images", "int8")
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    assert {d["dtype"] for d in (*interpreter.get_input_details(), *interpreter.get_output_details())} == {np.float32}
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    found = set()
    for op in interpreter._get_ops_details():
        kinds = [details[i]["dtype"] for i in op["inputs"][:2]]
        found.add(op["op_name"])
        if op["op_name"] == "DEPTHWISE_CONV_2D":
            assert kinds == [np.int8, np.int8]
            assert len(details[op["inputs"][1]]["quantization_parameters"]["scales"]) == 16, "one scale a channel"
        # zeros around 8-bit values are 8-bit values; the last layer is too small to count
        if op["op_name"] in ("PAD", "MEAN", "TRANSPOSE", "FULLY_CONNECTED"):
            assert kinds[0] == (np.int8 if op["op_name"] == "PAD" else np.float32)
    assert {"DEPTHWISE_CONV_2D", "PAD", "MEAN", "FULLY_CONNECTED"} <= found
    _, path = at(converted, "tflite", "words", "int8")
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    linear = [op["inputs"] for op in interpreter._get_ops_details() if op["op_name"] == "FULLY_CONNECTED"]
    assert len(linear) == 2, "both count"
    for inputs in linear:
        assert [details[i]["dtype"] for i in inputs[:2]] == [np.int8, np.int8]
    assert [len(details[i[1]]["quantization_parameters"]["scales"]) for i in linear] == [32, 3]


def test_tflite_embeddings_have_8_bit_weights(converted: Made) -> None:
    _, path = at(converted, "tflite", "words", "int8")
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    tables = [d for d in interpreter.get_tensor_details() if d["shape"].tolist() == [20, 16] and d["dtype"] == np.int8]
    assert len(tables) == 1


def test_onnx_int8_has_unsigned_activations_and_signed_weights_per_channel(converted: Made) -> None:
    _, path = at(converted, "onnx", "images", "int8")
    model = onnx.load(path)
    kinds = {value.name: value.data_type for value in model.graph.initializer}
    quantize = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert quantize and all(kinds[node.input[2]] == onnx.TensorProto.UINT8 for node in quantize)
    signed = [v for v in model.graph.initializer if v.data_type == onnx.TensorProto.INT8 and len(v.dims) == 4]
    assert len(signed) == 2
    scales = {node.input[0]: node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    lengths = {v.name: list(v.dims) for v in model.graph.initializer}
    assert all(lengths[scales[v.name]] == [16] for v in signed)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_onnx_is_valid_dynamic_and_free_of_the_exporters_notes(converted: Made, precision: str) -> None:
    made, path = at(converted, "onnx", "images", precision)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert image.name == "image" and image.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert made.signature.inputs[0].shape[0] == -1
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    half = {v.name for v in model.graph.initializer if v.data_type == onnx.TensorProto.FLOAT16}
    assert bool(half) == (precision == "float16")


def test_onnx_folds_batch_normalization(converted: Made) -> None:
    _, path = at(converted, "onnx", "images", "float32")
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds == ["Conv", "Clip", "Conv", "Clip", "ReduceMean", "Gemm", "Mul"] or "BatchNormalization" not in kinds


def test_openvino_is_a_folder_of_xml_and_bin_in_the_precision_that_was_asked_for(converted: Made) -> None:
    found = {}
    for precision in ("float32", "float16", "int8"):
        made, path = at(converted, "openvino", "images", precision)
        assert made.file.name == "student.openvino"
        assert sorted(p.name for p in path.iterdir()) == ["model.bin", "model.xml"]
        text = (path / "model.xml").read_text()
        found[precision] = {kind for kind in ("f32", "f16", "i8") if f'element_type="{kind}"' in text}
        assert ("FakeQuantize" in text) == (precision == "int8")
        assert not re.search(r'name="(Constant|Multiply|Reshape)_\d+"', text), "counters of a process"
    # the input itself is float32 in each
    assert found == {"float32": {"f32"}, "float16": {"f32", "f16"}, "int8": {"f32", "i8"}}
    sizes = [(at(converted, "openvino", "images", p)[1] / "model.bin").stat().st_size for p in ("float32", "float16")]
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.parametrize("conversion", (*toy.CONVERSIONS, *toy.FURTHER["coreml"]))
def test_coreml_packages_hang_together_and_change_with_their_content_only(converted: Made, conversion: str) -> None:
    made, path = at(converted, "coreml", *conversion.split("-", 1))
    manifest = json.loads((path / "Manifest.json").read_text())
    entries = manifest["itemInfoEntries"]
    assert manifest["rootModelIdentifier"] in entries
    assert entries[manifest["rootModelIdentifier"]]["path"] == "com.apple.CoreML/model.mlmodel"
    for name, entry in entries.items():
        # version 5: made from a digest; version 4 would be random
        assert uuid.UUID(name).version == 5 and (path / "Data" / entry["path"]).exists()
    assert b"conversion_date" not in (path / "Data/com.apple.CoreML/model.mlmodel").read_bytes()
    assert all(s.shape[0] == 1 for s in (*made.signature.inputs, *made.signature.outputs))


def test_coreml_says_what_has_8_bits(converted: Made) -> None:
    made, _ = at(converted, "coreml", "images", "int8")
    assert any("int8 weights and int8 activations" in note for note in made.notes)
    made, _ = at(converted, "coreml", "images", "int8-weights")
    assert "int8 weights, float16 activations; activations are not quantized." in made.notes


def test_coreml_packages_hold_nothing_for_debuggers(converted: Made) -> None:
    _, path = at(converted, "coreml", "images", "float16")
    assert sorted(one.name for one in path.iterdir()) == ["Data", "Manifest.json"]


@pytest.mark.parametrize("conversion", (*toy.CONVERSIONS, *toy.FURTHER["coreml"]))
def test_coreml_packages_are_of_ios_17_and_as_their_signature_says(converted: Made, conversion: str) -> None:
    made, path = at(converted, "coreml", *conversion.split("-", 1))
    spec = ct.utils.load_spec(str(path / "Data/com.apple.CoreML/model.mlmodel"))
    assert spec.specificationVersion == 8, "iOS 17"
    found = [taken(value) for value in (*spec.description.input, *spec.description.output)]
    assert found == [(s.name, s.shape, s.dtype) for s in (*made.signature.inputs, *made.signature.outputs)]


def taken(value: Any) -> tuple[str, tuple[int, ...], str]:
    """Name, shape and type of what a package takes or gives; a gray image has one channel."""
    if value.type.HasField("imageType"):
        image = value.type.imageType
        assert image.colorSpace == image.GRAYSCALE
        return value.name, (1, image.height, image.width, 1), "uint8"
    array = value.type.multiArrayType
    return value.name, tuple(array.shape), {65568: "float32", 131104: "int32"}[array.dataType]  # ArrayFeatureType


@pytest.mark.parametrize("conversion", (*toy.CONVERSIONS, *toy.FURTHER["coreml"]))
def test_coreml_packages_store_weights_and_compute_as_the_precision_says(converted: Made, conversion: str) -> None:
    net, _, way = conversion.partition("-")
    program, precision = read(at(converted, "coreml", net, way)[1]), way.partition("@")[0]
    operators = {one.kind for one in program.operations}
    assert ("constexpr_affine_dequantize" in operators) == precision.startswith("int8")
    assert ("constexpr_lut_to_dense" in operators) == (precision == "palette4")
    assert {"quantize", "dequantize"}.isdisjoint(operators) == (precision != "int8")
    declared = {slot.kind for one in program.operations for slot in one.outputs if len(slot.shape) > 1}
    assert ("fp16" in declared) == (precision != "float32")
