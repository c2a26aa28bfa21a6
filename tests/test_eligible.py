"""What documentation says of Core ML's operators and the Neural Engine, on programs made by hand."""

from pathlib import Path

import pytest

from edgekd.mil import eligible
from edgekd.mil.reading import Operation, Program, Slot

IDS, X, CAST, GIVEN, CELL, SHAPED, Y = (
    Slot(n, name, kind, (1, 4))
    for n, (name, kind) in enumerate(
        [("ids", "int32"), ("x", "fp32"), ("x_16", "fp16"), ("rows", "fp16"), ("cell", "fp16"), ("flat", "fp16"),
         ("y", "fp32")]
    )
)  # fmt: skip


def placed(monkeypatch: pytest.MonkeyPatch, *operations: Operation) -> dict[str, tuple[bool, str]]:
    program = Program(inputs=(IDS, X), outputs=(Y,), constants={90: "w"}, operations=operations)
    monkeypatch.setattr(eligible, "read", lambda package: program)
    found = eligible.placed(Path("made up"))
    return {one.name: (one.wanted, one.why) for one in found if one.counts}


def test_float16_may_run_there_and_the_casts_at_the_ends_are_the_files_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = placed(
        monkeypatch,
        Operation("cast", "cast", {"x": 1}, (CAST,)),
        Operation("relu", "relu", {"x": 2}, (GIVEN,)),
        Operation("reshape", "reshape", {"x": 3}, (SHAPED,)),
        Operation("cast", "cast", {"x": 5}, (Y,)),
    )
    assert found == {"x_16": (True, ""), "rows": (True, ""), "y": (True, "")}


def test_what_is_barred_is_told_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    found = placed(
        monkeypatch,
        Operation("gather", "gather", {"x": 90, "indices": 0}, (GIVEN,)),
        Operation("lstm", "lstm", {"x": 3}, (CELL,)),
        Operation("exp", "exp", {"x": 1}, (Y,)),
    )
    assert found["rows"] == (
        False,
        "gather does not run on the Neural Engine (M. Hollemans, found by experiment)",
    )
    assert found["cell"] == (
        False,
        "recurrent layers do not run on the Neural Engine (Core ML Tools, issue 1780)",
    )
    assert found["y"][0] is False and found["y"][1].startswith("has float32 values, and the Neural Engine")


def test_a_cast_inside_and_whole_numbers_are_no_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Slot(7, "inner", "fp32", (1, 4))
    found = placed(
        monkeypatch,
        Operation("cast", "cast", {"x": 1}, (CAST,)),
        Operation("cast", "cast", {"x": 2}, (inner,)),
        Operation("add", "add", {"x": 0, "y": 90}, (Slot(8, "next", "int32", (1, 4)),)),
    )
    assert found["x_16"][0] and not found["inner"][0] and "float32" in found["inner"][1]
    assert not found["next"][0] and "int32" in found["next"][1]


def test_what_depends_on_no_input_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = Slot(9, "weight", "fp16", (4,))
    found = placed(
        monkeypatch,
        Operation("constexpr_lut_to_dense", "constexpr_lut_to_dense", {"lut": 90}, (weight,)),
        Operation("exp", "exp", {"x": 2}, (GIVEN,)),
    )
    assert found == {}
