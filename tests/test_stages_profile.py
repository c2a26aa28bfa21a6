"""Where a file's operators run, in the user's own names, for real files of every format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import jobs
from edgekd.errors import DeviceError, NotVerified
from edgekd.plugins import Operator
from edgekd.results import Artifact, DeviceFacts, Placement, Profiled
from edgekd.spec import Device
from edgekd.stages import profile
from edgekd.steps import Profile
from edgekd.workspace import Workspace
from tests import converted as toy

Made = Callable[[str], Path]
HERE = Device()


@pytest.fixture(scope="module")
def facts() -> DeviceFacts:
    return jobs.Reached(HERE).facts()


def question(folder: Path, facts: DeviceFacts, made: Artifact, net: str, **changes: Any) -> Profile:
    known = {"device": HERE, "fingerprint": facts.fingerprint, "runtime": facts.runtimes.get(made.format, "")}
    return Profile(program=toy.program(folder, net), artifact=made, splits=toy.splits(folder)[net], **known | changes)


def answer(folder: Path, facts: DeviceFacts, out: Path, format: str, name: str, **changes: Any) -> Profiled:
    net, precision = name.split("-", 1)
    made = toy.artifact(folder, format, net, precision)
    space = Workspace(out, folder / "entries", "0" * 64)
    found = profile.run(question(folder, facts, made, net, **changes), space)
    assert list(out.iterdir()) == [], "nothing temporary is left"
    return found


def test_onnx_int8_is_told_in_the_users_own_names(converted: Made, facts: DeviceFacts, tmp_path: Path) -> None:
    found = answer(converted("onnx"), facts, tmp_path, "onnx", "images-int8")
    assert (found.basis, found.device, found.partitions, found.why) == ("measured", facts, None, "")
    layers = {one.kind: one.layer for one in found.placements}
    assert layers["QGemm"] == "head" and layers["ReduceMean"] == "mean"
    assert {one.layer for one in found.placements if one.kind == "QLinearConv"} == {
        "conv1 + norm1 + relu6", "conv2 + norm2 + relu6_1",
    }  # fmt: skip
    assert found.placements[0].layer == "conv1 + norm1 + relu6", "a conversion works for the layer that reads it"
    off = [one for one in found.placements if not one.wanted]
    assert [one.kind for one in off] == ["DequantizeLinear", "ReduceMean", "QuantizeLinear"]
    assert found.fallback == len(off) / len(found.placements)
    total = sum(one.seconds or 0 for one in found.placements)
    assert found.fallback_time == pytest.approx(sum(one.seconds or 0 for one in off) / total)
    assert found.untimed == ""


def test_onnx_float16_on_a_processor_without_it_is_told(converted: Made, facts: DeviceFacts, tmp_path: Path) -> None:
    found = answer(converted("onnx"), facts, tmp_path, "onnx", "images-float16")
    conv = next(one for one in found.placements if one.kind == "Conv")
    assert conv.wanted or "float16" in conv.why
    assert found.fallback is not None and (found.fallback > 0.5) == (not conv.wanted)


def test_onnx_float32_is_all_where_one_wants_it(converted: Made, facts: DeviceFacts, tmp_path: Path) -> None:
    found = answer(converted("onnx"), facts, tmp_path, "onnx", "words-float32")
    assert (found.fallback, found.fallback_time) == (0.0, 0.0) and len(found.placements) > 5
    assert not {"Reshape", "Unsqueeze"} & {one.kind for one in found.placements}


def test_tflite_tells_what_xnnpack_did_not_take(converted: Made, facts: DeviceFacts, tmp_path: Path) -> None:
    found = answer(converted("tflite"), facts, tmp_path, "tflite", "words-int8")
    assert [(one.kind, one.layer) for one in found.placements if not one.wanted] == [
        ("CAST", "to"), ("EMBEDDING_LOOKUP", "table"),
    ]  # fmt: skip
    assert found.partitions == 1 and found.fallback == 2 / len(found.placements)
    assert found.fallback_time is None and found.untimed == profile.TOO_SHORT, "tiny as it is"
    assert {one.seconds is None for one in found.placements} == {False}
    whole = answer(converted("tflite"), facts, tmp_path, "tflite", "images-int8")
    assert (whole.fallback, whole.partitions) == (0.0, 1)


def test_openvino_int8_computes_in_8_bits(converted: Made, facts: DeviceFacts, tmp_path: Path) -> None:
    found = answer(converted("openvino"), facts, tmp_path, "openvino", "images-int8")
    heavy = [one for one in found.placements if one.kind in ("Convolution", "FullyConnected")]
    assert len(heavy) == 3 and all(one.kernel.lower().endswith(("i8", "u8")) for one in heavy)
    assert found.fallback == 0.0
    floats = answer(converted("openvino"), facts, tmp_path, "openvino", "images-float32")
    assert any(one.kernel.endswith("f32") for one in floats.placements) and floats.fallback == 0.0


def test_core_ml_is_by_documentation_and_never_called_measured(
    converted: Made, facts: DeviceFacts, tmp_path: Path
) -> None:
    half = answer(converted("coreml"), facts, tmp_path, "coreml", "images-float16", runtime="")
    assert (half.basis, half.fallback, half.device) == ("reference", 0.0, None)
    assert "nothing was seen to run" in half.why and half.untimed
    assert [one.layer for one in half.placements if one.kind == "linear"] == ["head"]
    whole = answer(converted("coreml"), facts, tmp_path, "coreml", "images-float32", runtime="")
    assert whole.fallback == 1.0
    assert {one.why for one in whole.placements} == {
        "has float32 values, and the Neural Engine computes in float16 (Core ML Tools Guide, Typed Execution)"
    }


def test_a_format_without_runtime_and_documentation_is_not_measured(
    converted: Made, facts: DeviceFacts, tmp_path: Path
) -> None:
    found = answer(converted("onnx"), facts, tmp_path, "onnx", "images-int8", runtime="")
    assert found == Profiled(basis="not measured", why="onnx does not run here")
    gone = facts.model_copy(update={"runtimes": {}, "missing": {"onnx": "it is elsewhere"}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.Reached, "facts", lambda _: gone)
        found = answer(converted("onnx"), facts, tmp_path, "onnx", "images-int8")
    assert (found.basis, found.fallback) == ("not measured", None) and "it is elsewhere" in found.why


def test_a_runtime_that_does_not_tell_says_why(
    converted: Made, facts: DeviceFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"operators": None, "why": "its watch is broken"}
    monkeypatch.setattr(jobs.Job, "ask", lambda *_: told)
    found = answer(converted("onnx"), facts, tmp_path, "onnx", "images-int8")
    assert (found.basis, found.why, found.device) == ("not measured", "its watch is broken", facts)


def test_a_package_that_cannot_be_read_is_not_measured(
    converted: Made, facts: DeviceFacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Path) -> list[Operator]:
        raise NotVerified("what is this")

    monkeypatch.setattr("edgekd.formats.coreml.placed", refuse)
    found = answer(converted("coreml"), facts, tmp_path, "coreml", "images-float16", runtime="")
    assert (found.basis, found.why) == ("not measured", "what is this")


def test_another_device_than_the_one_asked_about_is_an_error(
    converted: Made, facts: DeviceFacts, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match="is not the device"):
        answer(converted("onnx"), facts, tmp_path, "onnx", "images-int8", fingerprint="another")


def test_operators_without_recorded_layers_keep_the_runtimes_names(
    converted: Made, facts: DeviceFacts, tmp_path: Path
) -> None:
    folder = converted("onnx")
    made = toy.artifact(folder, "onnx", "images", "int8").model_copy(update={"layers": None})
    found = profile.run(question(folder, facts, made, "images"), Workspace(tmp_path, folder / "entries", "0" * 64))
    assert {one.layer for one in found.placements} == {""} and all(one.name for one in found.placements)


def test_an_operator_works_for_the_first_layer_that_is_made_of_it() -> None:
    operators = [
        Operator("a", "A", ("a",)),
        Operator("b", "B", ("b",), ("a",), counts=False),
        Operator("c", "C", ("c",), ("b",), also=("known",)),
        Operator("d", "D", ("d",), ("a",), also=("later",)),
        Operator("e", "E", ("e",), ("d",)),
    ]
    assert profile._nodes(operators, {"known": "one", "later": "two"}) == {0: "one", 1: "one", 2: "one", 3: "two"}
    assert profile._nodes(operators, {}) == {}


@pytest.mark.parametrize(
    ("seconds", "coarse", "time"),
    [
        ((1e-6, 3e-6), 0.0, 0.75),
        ((1e-6, 8e-6), 1e-6, 8 / 9),
        ((1e-6, 7e-6), 1e-6, None),
        ((0.0, 0.0), 0.0, None),
        ((None, 1e-6), 0.0, None),
    ],
)
def test_shares_of_time_are_told_where_rounding_lost_little(
    seconds: tuple[float | None, ...], coarse: float, time: float | None
) -> None:
    placements = tuple(
        Placement(name=str(i), kind="A", wanted=i == 0, seconds=value) for i, value in enumerate(seconds)
    )
    found = profile._shares(Profiled(basis="measured", placements=placements), coarse)
    assert (found.fallback, found.untimed) == (0.5, "" if time else profile.TOO_SHORT)
    assert found.fallback_time == (None if time is None else pytest.approx(time))
    assert profile._shares(Profiled(basis="measured"), 0.0).fallback == 0.0


def test_the_golden_sample_is_the_first(converted: Made, facts: DeviceFacts, tmp_path: Path) -> None:
    sent: list[tuple[int, ...]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.Job, "save", lambda self, name, array: sent.append(np.shape(array)))
        patch.setattr(jobs.Job, "ask", lambda *_: {"operators": None, "why": "no"})
        answer(converted("onnx"), facts, tmp_path, "onnx", "images-int8")
    assert [shape[0] for shape in sent] == [1]
