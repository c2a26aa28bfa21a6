"""Where operators run, as each runtime tells it of files whose answer is known."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.runtimes import profile
from edgekd.runtimes.fault import Fault
from tests import placed


def told(folder: Path, runtime: str, file: str, shape: tuple[int, ...] = placed.IMAGE, **more: Any) -> dict[str, Any]:
    """The answer of a job over one sample."""
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    request = {"runtime": runtime, "model": file, "threads": 1, "signature": placed.signature(shape)}
    return profile.run({**request, "inputs": {"x": "x.npy"}, **more}, folder)


def places(answer: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    """Of operators that count, by what they are: whether they are wanted, and why not."""
    return {one["name"]: (one["wanted"], one["why"]) for one in answer["operators"] if one["counts"]}


def test_tflite_tells_what_xnnpack_left_and_how_many_parts_it_took(tmp_path: Path) -> None:
    placed.tflite(tmp_path / "a.tflite")
    answer = told(tmp_path, "tflite", "a.tflite", placed.SHAPE)
    assert answer["partitions"] == 2
    assert places(answer) == {
        "doubled": (True, ""), "between": (False, "XNNPACK did not take it (it gives float32)"), "y": (True, ""),
    }  # fmt: skip
    assert [one["kind"] for one in answer["operators"]] == ["MUL", "CUMSUM", "RESHAPE", "ADD"]
    assert [one["kernel"] for one in answer["operators"]] == [
        "XNNPACK Multiply (ND)", "TFLite", "XNNPACK Static Reshape (NC)", "XNNPACK Add (ND)",
    ]  # fmt: skip
    assert all(0 <= one["seconds"] < 1 for one in answer["operators"]) and answer["untimed"] == ""


def test_tflite_is_whole_where_xnnpack_takes_everything(tmp_path: Path) -> None:
    placed.tflite(tmp_path / "a.tflite", "FLOOR")
    answer = told(tmp_path, "tflite", "a.tflite", placed.SHAPE)
    assert answer["partitions"] == 1 and {wanted for wanted, _ in places(answer).values()} == {True}


def test_where_litert_cannot_watch_tflite_still_tells_what_xnnpack_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed.tflite(tmp_path / "a.tflite")
    monkeypatch.setattr("edgekd.runtimes.litert.KNOWN", ("1.0.",))
    answer = told(tmp_path, "tflite", "a.tflite", placed.SHAPE)
    assert answer["partitions"] == 2 and "is not known to edgekd" in answer["untimed"]
    assert [(one["kernel"], one["seconds"]) for one in answer["operators"]][:2] == [("XNNPACK", None), ("TFLite", None)]


def test_a_watch_that_breaks_is_told_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed.tflite(tmp_path / "a.tflite")

    def fail(*_: object) -> None:
        raise Fault("it broke")

    monkeypatch.setattr("edgekd.runtimes.litert.Watch.run", fail)
    answer = told(tmp_path, "tflite", "a.tflite", placed.SHAPE)
    assert answer["untimed"] == "it broke" and answer["partitions"] == 2
    assert {one["seconds"] for one in answer["operators"]} == {None}


def test_onnx_tells_an_activation_that_was_not_fused_and_its_conversions(tmp_path: Path) -> None:
    placed.qdq(tmp_path / "a.onnx")
    answer = told(tmp_path, "onnx", "a.onnx")
    kinds = {one["kind"]: (one["wanted"], one["why"]) for one in answer["operators"]}
    assert kinds["QLinearConv"] == kinds["Transpose"] == (True, "")
    assert kinds["HardSigmoid"] == kinds["Mul"] == (False, "works in float32 between 8-bit values")
    found = places(answer)
    assert found["c1_DQ"] == (False, "takes 8-bit values to float32 for HardSigmoid, Mul")
    assert found["h_Q"] == (False, "takes Mul in float32 back to 8 bits")
    assert found["x_Q"] == found["c2_DQ"] == (True, ""), "those at the ends are the file's float interface"
    assert sum(not wanted for wanted, _ in found.values()) == 4
    assert {one["name"] for one in answer["operators"] if one["conversion"]} == {"x_Q", "c1_DQ", "h_Q", "c2_DQ"}
    assert all(0 < one["seconds"] < 1 for one in answer["operators"]) and answer["untimed"] == ""
    assert answer["partitions"] is None


def test_onnx_tells_a_convolution_that_takes_8_bit_values_and_computes_in_float(tmp_path: Path) -> None:
    placed.qdq(tmp_path / "a.onnx", "Relu", last_pair=False)
    found = places(told(tmp_path, "onnx", "a.onnx"))
    assert found["conv2"] == (False, "takes 8-bit values and computes in float32")
    assert found["w2_DQ"] == (False, "unpacks its weights to float32 at every run")
    assert found["h_DQ"] == (False, "takes 8-bit values to float32 for FusedConv")
    assert found["conv1_token_1"] == (True, "")


def test_onnx_names_lead_back_to_the_tensors_of_the_file(tmp_path: Path) -> None:
    placed.qdq(tmp_path / "a.onnx", "Relu")
    also = {one["name"]: one["also"] for one in told(tmp_path, "onnx", "a.onnx")["operators"]}
    assert "c1" in also["conv1_token_1"] and "h" in also["between"] and "" not in also["between"]


def test_openvino_tells_kernels_and_a_convolution_that_does_not_compute_in_8_bits(tmp_path: Path) -> None:
    for name, quantized in (("q", True), ("f", False)):
        placed.ir(tmp_path / f"{name}.openvino", quantized)
    quantized, plain = (told(tmp_path, "openvino", f"{name}.openvino") for name in ("q", "f"))
    assert places(quantized)["conv"] == (False, "computes in float32 in a file that quantizes what it takes")
    assert places(plain)["conv"] == (True, "")
    assert places(plain)["sine"] == places(quantized)["sine"] == (False, "runs on a reference kernel")
    kernels = {one["name"]: one["kernel"] for one in plain["operators"]}
    assert kernels["sine"].startswith("ref_") and kernels["conv"].endswith("_f32")
    reorders = [one for one in plain["operators"] if one["kind"] == "Reorder"]
    assert reorders and all(one["wanted"] and one["conversion"] and one["counts"] for one in reorders)
    assert all(one["seconds"] >= 0 for one in plain["operators"])
    assert [one["name"] for one in plain["operators"] if not one["counts"]] == [plain["operators"][-1]["name"]]


def test_the_first_run_does_not_count_in_openvinos_mean_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("edgekd.runtimes.openvino")
    watched = module.Compilation.__new__(module.Compilation)
    watched._runs, watched._first = 11, {"conv": 500}
    layers = [("conv", None, {"execTimeMcs": "55"}), ("relu", None, {"execTimeMcs": "not_executed"})]
    monkeypatch.setattr(module.Compilation, "layers", lambda _: layers)
    assert watched.seconds() == {"conv": pytest.approx(10.5e-6), "relu": 0.0}


def test_openvinos_runs_are_shared_among_compilations_of_which_the_median_is_told(tmp_path: Path) -> None:
    module = importlib.import_module("edgekd.runtimes.openvino")
    placed.ir(tmp_path / "a.openvino", False)
    watched = module.profiled(tmp_path / "a.openvino", 1, placed.signature(placed.IMAGE), 1)
    for _ in range(module.IN_A_ROW * 2 + 1):
        watched.feed([np.ones(placed.IMAGE, np.float32)])
        watched.invoke()
    assert [one._runs for one in watched._all] == [10, 10, 1]
    for one, seconds in zip(watched._all, (1.0, 7.0, 3.0), strict=True):
        one.seconds = lambda seconds=seconds: {"conv": seconds}
    told = {one["name"]: one["seconds"] for one in watched.placed()["operators"]}
    assert told["conv"] == 3.0


def test_a_file_that_does_not_run_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nonsense")
    with pytest.raises(Fault, match=r"a\.onnx does not run in ONNX Runtime"):
        told(tmp_path, "onnx", "a.onnx")


def test_nothing_is_left_in_the_folder_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed.qdq(tmp_path / "a.onnx", "Relu")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    told(tmp_path, "onnx", "a.onnx")
    assert list((tmp_path / "temporary").iterdir()) == []
