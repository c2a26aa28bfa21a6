"""The conversion zoo: its list may only grow, its networks are worth converting, and its verdicts can fail."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.zoo import making, summary
from benchmarks.zoo.asking import Asked
from benchmarks.zoo.cells import Cell, Cells, failed, judged
from benchmarks.zoo.entries import entries
from edgekd.errors import EdgekdError, NotConverted, Problem, Unsuited
from edgekd.jobs import Reached
from edgekd.results import Rehearsed
from edgekd.spec import Device
from edgekd.stages import rehearse
from edgekd.store import Store
from edgekd.workspace import locate
from tests import altered
from tests import converted as toy

# whoever takes a network out of the list says so here
NAMES = """
    student_convnet student_resnet resnet_bottleneck resnext vgg densenet squeezenet inception convnext repvgg
    mobilenet_v1 mobilenet_v2 mobilenet_v3 efficientnet shufflenet_v2 ghostnet convmixer efficientnet_lite0
    unet fpn_detector ssd_lite yolo deeplab autoencoder super_resolution hourglass style_transfer
    vit deit swin mobilevit mlp_mixer poolformer detr
    cnn_1d tcn wavenet ds_cnn gru lstm bilstm gru_cells crnn_ctc voice_activity conformer speaker silero_vad
    text_encoder torch_encoder bert_tiny distilbert t5_encoder text_cnn gpt2 llama decoder_block minilm
    two_tower dlrm tabular_resnet ft_transformer anomaly_vae nbeats
"""
KNOWN = {one.name: one for one in entries()}
# one of each file of networks
FEW = ("convnext", "shufflenet_v2", "yolo", "swin", "voice_activity", "text_encoder", "two_tower")
OWN = tuple(name for name, one in KNOWN.items() if not one.needs)
Made = Callable[[str], Path]


def test_no_network_was_taken_out_of_the_list() -> None:
    assert set(NAMES.split()) <= set(KNOWN) and len(KNOWN) == len(entries())


def built(name: str) -> None:
    entry = KNOWN[name]
    net, batch = making.network(entry), making.samples(entry, making.VALIDATION, 1)
    given = making.signature(net, entry, batch)
    outputs = making.answers(net, batch, given, 256)
    assert [spec.name for spec in given.inputs] == list(entry.inputs)
    assert making.varied(outputs) >= making.VARIED
    for spec in given.outputs:
        assert outputs[spec.name].shape == (making.VALIDATION, *spec.shape[1:]) and spec.dtype == "float32"
        assert np.isfinite(outputs[spec.name]).all()


@pytest.mark.parametrize("name", FEW)
def test_a_network_gives_outputs_that_depend_on_the_sample(name: str) -> None:
    built(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OWN if name not in FEW])
def test_every_network_gives_outputs_that_depend_on_the_sample(name: str) -> None:
    built(name)


def test_an_output_that_is_the_same_for_every_sample_does_not_vary() -> None:
    flat = np.ones((8, 3)) + 1e-6 * np.random.default_rng(0).normal(size=(8, 3))
    assert making.varied({"a": np.eye(8), "b": flat}) < making.VARIED < making.varied({"a": np.eye(8)})


def test_the_same_program_is_made_of_the_same_source(tmp_path: Path) -> None:
    one, other = (making.make(KNOWN["two_tower"], tmp_path) for _ in range(2))
    assert one.source == other.source and one.program.golden.entry == one.program.file.entry
    assert locate(tmp_path / "entries", one.program.file).is_file()
    assert one.splits.parts["calibration"].count == making.CALIBRATION


@pytest.mark.parametrize(
    ("run", "precision", "varied", "state"),
    [
        (Rehearsed(basis="measured", relative_error=1e-6), "float32", 0.5, "right"),
        (Rehearsed(basis="measured", relative_error=0.5, fault="too far"), "float32", 0.5, "wrong"),
        (Rehearsed(basis="measured", relative_error=0.1), "int8", 0.5, "right"),
        (Rehearsed(basis="measured", relative_error=0.1), "int8", 0.2, "lossy"),
        (Rehearsed(basis="measured", relative_error=float("inf")), "int8", 0.2, "lossy"),
        (Rehearsed(basis="measured", relative_error=0.01, fault="b is not finite"), "int8", 0.2, "wrong"),
        (Rehearsed(basis="measured", fault="it does not run"), "int8", 0.2, "failed"),
        (Rehearsed(basis="not measured", fault="no rule for gru"), "float32", 0.2, "not verified"),
        (EdgekdError("the worker ended"), "float32", 0.2, "failed"),
    ],
)
def test_a_verdict(run: Rehearsed | EdgekdError, precision: str, varied: float, state: str) -> None:
    assert judged(run, precision, varied)["state"] == state


def test_why_there_is_no_file() -> None:
    named = failed(NotConverted(Problem("tflite", "the converter fails at aten.x in a (B): no", "Instead, y")))
    assert named["state"] == "failed" and named["named"] and "aten.x in a (B)" in str(named["why"])
    assert not failed(NotConverted(Problem("tflite", "the converter failed: no", "")))["named"]
    assert failed(Unsuited(Problem("coreml int8", "no layer", "Use float16")))["state"] == "unsuited"


@pytest.mark.parametrize("number", [None, 0, 1])
def test_a_layer_with_its_weights_in_another_order_is_not_right_in_8_bits(
    converted: Made, tmp_path: Path, number: int | None
) -> None:
    folder = converted("onnx")
    made = toy.artifact(folder, "onnx", "words", "int8")
    file = locate(folder / "entries", made.file)
    if number is not None:
        file = altered.weight("onnx", file, tmp_path, number)
    with np.load(locate(folder / "entries", made.golden), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = session.run(None, {one.name: arrays[f"input:{one.name}"] for one in session.get_inputs()})
    outputs = dict(zip((one.name for one in session.get_outputs()), found, strict=True))
    run = rehearse.judged(made, outputs, arrays, "measured")
    verdict = judged(run, "int8", making.varied({"logits": arrays["output:logits"]}))
    assert verdict["state"] == ("right" if number is None else "lossy"), verdict


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_cell_is_filled_by_the_steps_of_a_build_and_known_the_second_time(tmp_path: Path, precision: str) -> None:
    for run in range(2):
        with Store(tmp_path / "store") as store:
            cell = Cells(Asked(store), Reached(Device()).facts(), profile=True).fill(KNOWN["dlrm"], "onnx", precision)
            assert (cell.state, cell.basis, cell.why, cell.route) == ("right", "measured", "", "")
            assert cell.decibels is not None and cell.decibels > (10 if precision == "int8" else 60)
            assert all(one.cached for one in store.records) == bool(run)


def test_the_page_has_every_network_and_every_reason() -> None:
    models = [KNOWN["lstm"], KNOWN["vit"]]
    cells = [
        Cell(model="lstm", format="onnx", precision="float32", state="right", basis="measured", decibels=100.0),
        Cell(model="lstm", format="tflite", precision="int8", state="failed", why="at aten.lstm | in net"),
        Cell(model="vit", format="tflite", precision="int8", state="lossy", why="3 dB", delegated=0.75, stays="GELU"),
    ]
    told = summary.answer(models, cells)
    assert told["rows"][0]["value"] == "1 of 3, 33.3 % (1 lossy, 1 failed)"
    for text in ("| lstm |", "| vit |", "at aten.lstm / in net", "100 dB", "| vit | tflite int8 | 25 % | GELU |"):
        assert text in told["page"]
