"""Which nodes of a program the tensors of a .tflite file hold, and reading them in the file's own runtime."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.litert import content, opening, provenance
from edgekd.nets import layers, programs
from edgekd.results import Artifact, Signature
from edgekd.runtimes import tensors
from edgekd.runtimes import tflite as runtime
from edgekd.workspace import locate
from tests import converted as toy

Made = Callable[[str], Path]
Values = dict[str, np.ndarray]
INNER = {
    "images": {"relu6", "relu6_1", "mean", "mul"},
    "words": {"to", "embedding", "mul", "sum_1", "sum_2", "clamp", "div", "relu", "linear_1"},
}
each_net = pytest.mark.parametrize("net", ["images", "words"])


def samples(folder: Path, net: str, count: int) -> Values:
    return toy.samples(folder, net, toy.program(folder, net).signature, count)


def at(folder: Path, net: str, precision: str) -> tuple[Artifact, bytes, dict[str, str]]:
    made = toy.artifact(folder, "tflite", net, precision)
    assert made.layers is not None
    path, record = (locate(folder / "entries", file) for file in (made.file, made.layers))
    return made, path.read_bytes(), json.loads(record.read_text())


def ran(path: Path, signature: Signature, inputs: Values, batch: int) -> Values:
    """Outputs as the device's runtime gives them, decoded."""
    model = runtime.load(path, 1, signature.model_dump(mode="json"), batch)
    model.feed([inputs[spec.name] for spec in signature.inputs])
    model.invoke()
    return {
        spec.name: tensors.decode(values, spec.model_dump(mode="json"))
        for spec, values in zip(signature.outputs, model.outputs(), strict=True)
    }


def nodes(folder: Path, net: str, inputs: Values) -> Values:
    program = toy.program(folder, net)
    loaded = programs.load(locate(folder / "entries", program.file))
    return layers.values(loaded, [inputs[spec.name] for spec in program.signature.inputs])


def in_file_order(value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, 1, -1) if value.ndim == 4 else value


@each_net
def test_inner_tensors_of_a_float32_file_are_the_nodes_that_they_are_said_to_be(
    net: str, converted: Made, tmp_path: Path
) -> None:
    folder = converted("tflite")
    made, model, named = at(folder, net, "float32")
    assert sorted(named.values()) == sorted(INNER[net]), "each node once"
    opened, whole, shown = opening.opened(model, made.signature, named)
    (tmp_path / "opened.tflite").write_bytes(opened)
    batch = 4 if net == "images" else 1
    inputs = samples(folder, net, batch)
    found, wanted = ran(tmp_path / "opened.tflite", whole, inputs, batch), nodes(folder, net, inputs)
    assert set(shown) == set(found) and set(shown.values()) == INNER[net]
    for spec in whole.outputs:
        value = found[spec.name]
        assert value.shape == (batch, *spec.shape[1:])
        np.testing.assert_allclose(value, in_file_order(wanted[shown[spec.name]]), 1e-4, 1e-5)


@each_net
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_opening_a_file_leaves_its_own_outputs_as_they_were(
    net: str, precision: str, converted: Made, tmp_path: Path
) -> None:
    folder = converted("tflite")
    made, model, named = at(folder, net, precision)
    opened, whole, _ = opening.opened(model, made.signature, named)
    (tmp_path / "opened.tflite").write_bytes(opened)
    (tmp_path / "plain.tflite").write_bytes(model)
    assert whole.outputs[:1] == made.signature.outputs and whole.inputs == made.signature.inputs
    inputs = samples(folder, net, 1)
    one, other = (
        ran(tmp_path / "opened.tflite", whole, inputs, 1),
        ran(tmp_path / "plain.tflite", made.signature, inputs, 1),
    )
    np.testing.assert_array_equal(one["logits"], other["logits"])


@each_net
def test_layers_of_an_int8_file_are_what_the_next_layer_reads(net: str, converted: Made, tmp_path: Path) -> None:
    folder = converted("tflite")
    made, model, named = at(folder, net, "int8")
    assert set(named.values()) == INNER[net]
    opened, whole, shown = opening.opened(model, made.signature, named)
    (tmp_path / "opened.tflite").write_bytes(opened)
    quantized = {shown[spec.name] for spec in whole.outputs if spec.dtype == "int8"}
    # relu6_1 is averaged as float, so it is read after it was dequantized; the last layer of the images is float
    assert quantized == ({"relu6"} if net == "images" else {"div", "relu"})
    assert all((spec.scale is not None) == (spec.dtype == "int8") for spec in whole.outputs)
    inputs = samples(folder, net, 1)
    found, wanted = ran(tmp_path / "opened.tflite", whole, inputs, 1), nodes(folder, net, inputs)
    for name, node in shown.items():
        signal = in_file_order(wanted[node])
        assert np.square(signal - found[name]).sum() < 0.01 * np.square(signal).sum(), node


def test_what_cannot_be_read_is_left_out(converted: Made) -> None:
    made, model, named = at(converted("tflite"), "images", "int8")
    objects = content.read(model)
    kernel = next(
        int(one.inputs[1])
        for one, kind in zip(objects.subgraphs[0].operators, content.kinds(objects), strict=True)
        if kind == content.Kind.DEPTHWISE_CONV_2D
    )
    strange = {content.names(objects)[kernel]: "weights, a scale for each channel", "t999": "not in the file"}
    assert opening.opened(model, made.signature, named | strange) == opening.opened(model, made.signature, named)


def test_files_that_ship_do_not_hold_the_names(converted: Made) -> None:
    for net in ("images", "words"):
        _, model, _ = at(converted("tflite"), net, "float32")
        assert b"Traced" not in model and b"relu" not in model


def named_after(model: bytes, names: Mapping[str, str], change: Callable[[Any], None] = lambda _: None) -> bytes:
    """A file as the converter writes it, with nodes in its tensors' names."""
    objects = content.read(model)
    for tensor in objects.subgraphs[0].tensors:
        tensor.name = names.get(tensor.name.decode(), tensor.name.decode()).encode()
    change(objects)
    return content.write(objects)


def test_names_count_where_values_are_right_and_alone_where_the_outputs_are_wrong(converted: Made) -> None:
    folder = converted("tflite")
    _, model, named = at(folder, "images", "float32")
    assert named.pop("serving_default_logits_output") == "mul"
    program = programs.load(locate(folder / "entries", toy.program(folder, "images").file))
    signature, inputs = toy.program(folder, "images").signature, samples(folder, "images", 2)
    own = dict(named)
    first = next(name for name, node in own.items() if node == "relu6")
    written = {name: f"W/_Traced_node_{node};;W/_Traced_node_conv2d;3" for name, node in own.items()}
    # an image with zeros around it is no node's value; relu6_1 is there twice, once with its channels in front
    written |= {"t12": "W/_Traced_node_conv2d;1", "t15": "W/_Traced_node_relu6_1;"}
    whole = own | {"serving_default_logits_output": "mul"}
    assert provenance.named(named_after(model, written), program, signature, inputs) == whole
    # without names the values alone say it
    assert provenance.named(model, program, signature, inputs) == whole

    def broken(objects: Any, at: str = written[first]) -> None:
        graph = objects.subgraphs[0]
        kernel = next(o for o in graph.operators if o.outputs[0] == content.names(objects).index(at))
        data = objects.buffers[graph.tensors[kernel.inputs[1]].buffer]
        data.data = np.frombuffer((np.frombuffer(bytes(data.data), np.float32) * -1).tobytes(), np.uint8)

    # every value is wrong now, and so is the output: that is what a comparison is to find
    last = {"t15" if node == "relu6_1" else name: node for name, node in whole.items()}
    assert provenance.named(named_after(model, written, broken), program, signature, inputs) == last
    # a wrong name counts neither while the outputs are right nor against a value
    wrong = written | {first: "W/_Traced_node_conv2d;"}
    assert provenance.named(named_after(model, wrong), program, signature, inputs) == whole
    at_the_end = named_after(model, wrong, lambda objects: broken(objects, "serving_default_logits_output"))
    assert provenance.named(at_the_end, program, signature, inputs) == whole
