"""LiteRT's own profiler: what it tells of a real file, and how its operators are held against those of the file."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from edgekd.runtimes import litert
from edgekd.runtimes.fault import Fault
from edgekd.runtimes.litert import Event
from tests import placed


def events(*names: str) -> list[Event]:
    """Events of the delegate in their order, each a microsecond longer than the one before."""
    return [Event(True, i, name, (i + 1) * 1e-6) for i, name in enumerate(names)]


def alone(*kinds: str) -> list[tuple[int, str]]:
    """A partition of operators of these kinds, numbered from 10."""
    return [(10 + i, kind) for i, kind in enumerate(kinds)]


def names(told: dict[int, Event | None]) -> list[str | None]:
    return [event and event.name.partition(" (")[0] for event in told.values()]


def test_a_file_is_watched_operator_by_operator(tmp_path: Path) -> None:
    placed.tflite(tmp_path / "a.tflite")
    watch = litert.Watch(tmp_path / "a.tflite", 1, {"x": placed.SHAPE})
    runs = [watch.run({"x": np.ones(placed.SHAPE, np.float32)}) for _ in range(3)]
    assert [(one.delegated, one.number, one.name) for one in runs[2]] == [
        (True, 0, "Multiply (ND)"), (False, 1, "CUMSUM"), (True, 0, "Static Reshape (NC)"), (True, 1, "Add (ND)"),
    ]  # fmt: skip
    assert all(0 <= one.seconds < 1 for run in runs for one in run)


def test_it_computes_what_the_file_says(tmp_path: Path) -> None:
    placed.tflite(tmp_path / "a.tflite", "FLOOR")
    watch = litert.Watch(tmp_path / "a.tflite", 1, {"x": placed.SHAPE})
    watch.run({"x": np.full(placed.SHAPE, 1.75, np.float32)})
    (buffer,) = watch._outputs.values()
    address = litert.Handle()
    watch._do("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), litert.READ)
    found = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (placed.SHAPE[-1],)).copy()
    watch._do("LiteRtUnlockTensorBuffer", buffer)
    assert found.tolist() == [np.floor(1.75 * 2) + 2] * placed.SHAPE[-1]


def test_what_is_not_known_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tflite").write_bytes(b"nonsense")
    with pytest.raises(Fault, match="LiteRtCreateModelFromFile gave"):
        litert.Watch(tmp_path / "a.tflite", 1, {})
    monkeypatch.setattr(litert, "installed", lambda name: "2.9.0")
    with pytest.raises(Fault, match=r"ai-edge-litert 2\.9\.0 is not known"):
        litert.Watch(tmp_path / "a.tflite", 1, {})
    monkeypatch.undo()
    monkeypatch.setattr(litert, "find_spec", lambda name: None)
    with pytest.raises(Fault, match="no LiteRT library"):
        litert.Watch(tmp_path / "a.tflite", 1, {})


def test_every_operator_takes_the_next_event_of_its_kind() -> None:
    told = litert.matched(
        events("Transpose (ND)", "Convert (NC)", "Convolution (NHWC, QC8)", "Softmax (NC)"), {},
        [alone("TRANSPOSE", "QUANTIZE", "CONV_2D", "SOFTMAX")],
    )  # fmt: skip
    assert names(told) == ["Transpose", "Convert", "Convolution", "Softmax"]
    assert list(told) == [10, 11, 12, 13]


def test_what_xnnpack_fuses_has_no_event() -> None:
    told = litert.matched(
        events("Convolution (NHWC)", "Add (ND)"), {}, [alone("PAD", "CONV_2D", "RELU6", "RESHAPE", "ADD")]
    )
    assert names(told) == [None, "Convolution", None, None, "Add"]
    kept = litert.matched(events("Constant Pad (ND)", "Convolution (NHWC)"), {}, [alone("PAD", "CONV_2D")])
    assert names(kept) == ["Constant Pad", "Convolution"]


def test_what_it_does_before_and_after_an_operator_belongs_to_it() -> None:
    told = litert.matched(
        events("Convert (NC, F32, QD8)", "Fully Connected (NC)", "Add (ND)", "Clamp (NC)", "Clamp (NC)"), {},
        [alone("FULLY_CONNECTED", "ADD", "RELU")],
    )  # fmt: skip
    assert names(told) == ["Fully Connected", "Add", "Clamp"]
    assert told[10] is not None and told[10].seconds == pytest.approx(3e-6)
    behind = litert.matched(events("Add (ND)", "Clamp (NC)", "Mean (ND)"), {}, [alone("ADD", "MEAN")])
    assert behind[10] is not None and behind[10].seconds == pytest.approx(3e-6)


def test_partitions_and_the_interpreters_own_operators_are_told_apart() -> None:
    every = [*events("Add (ND)"), Event(False, 4, "CUMSUM", 1.0), *events("Multiply (ND)", "Add (ND)")]
    told = litert.matched(every, {4: "CUMSUM"}, [[(3, "ADD")], [(5, "MUL"), (6, "ADD")]])
    assert {number: event and event.name for number, event in told.items()} == {
        4: "CUMSUM", 3: "Add (ND)", 5: "Multiply (ND)", 6: "Add (ND)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("every", "kinds", "message"),
    [
        (events("Add (ND)", "Add (ND)"), ("ADD",), "cannot be told apart"),
        (events("Add (ND)"), ("ADD", "ADD"), "cannot be told apart"),
        (events("Multiply (ND)"), ("CONV_2D",), "cannot be told apart"),
        ([], ("ADD",), "0 partitions, and there are 1"),
        ([*events("Add (ND)"), Event(False, 7, "CAST", 0.0)], ("ADD",), "calls the operator CUMSUM CAST"),
    ],
)
def test_what_does_not_fit_is_a_fault(every: list[Event], kinds: tuple[str, ...], message: str) -> None:
    with pytest.raises(Fault, match=message):
        litert.matched(every, {7: "CUMSUM"}, [alone(*kinds)])


def test_a_typical_run_leaves_out_the_first_and_interruptions() -> None:
    runs = [[Event(True, 0, "Add (ND)", seconds)] for seconds in (9.0, 1.0, 2.0, 3.0, 50.0)]
    assert litert.averaged(runs) == [Event(True, 0, "Add (ND)", 2.5)]
    with pytest.raises(Fault, match="does not tell the same of every run"):
        litert.averaged([*runs, []])
    with pytest.raises(Fault, match="does not tell the same of every run"):
        litert.averaged(runs[:1])
