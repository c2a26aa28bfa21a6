import math

import pytest

from edgekd.report import text
from edgekd.report.headline import headline
from edgekd.results import Interval, Measurement
from edgekd.units import show_seconds
from tests import synthetic


def test_table_has_the_four_rows_with_device_and_basis() -> None:
    header, *body = text.table(synthetic.report())
    assert header[2] == "p90 latency on this computer (AMD EPYC 9B14)"
    assert [line[0] for line in body] == [
        "teacher float32", "teacher int8", "student without teacher int8", "student distilled int8 (ships)",
    ]  # fmt: skip
    ships = body[-1]
    p90 = synthetic.rows()[-1].measurement.latency.p90
    assert ships[1] == "89.4 % (88.6–90.2 %)" and ships[2] == f"{show_seconds(p90)} (measured)"
    assert ships[3:] == ("42.6 KiB", "1.81 MiB (measured)", "23.4 k", "yes")
    assert {len(line) for line in body} == {len(header)}


def test_what_was_not_measured_says_why() -> None:
    header, *body = text.table(synthetic.everywhere())
    assert header[0] == "target" and [line[0] for line in body] == ["tflite"] * 4 + ["coreml"] * 3
    assert body[-1][1:4] == (
        "student distilled float32 (ships)",
        "not measured",
        f"not measured ({synthetic.APPLE_ONLY})",
    )
    assert body[-1][5] == "not measured", "the reason is told once"


def test_an_accuracy_by_reference_stands_beside_a_latency_that_was_not_measured() -> None:
    score = synthetic.score(0.9, 0.03, parity=synthetic.FAITHFUL).model_copy(update={"basis": "reference"})
    note = "accuracy by reference: evaluated by definition"
    rows = tuple(row.model_copy(update={"score": score, "notes": (note,)}) for row in synthetic.unmeasured())
    report = synthetic.report(rows=rows)
    _, *body = text.table(report)
    assert body[-1][1:3] == ("90.0 % (89.2–90.8 %, reference)", f"not measured ({synthetic.APPLE_ONLY})")
    assert text.remarks(report) == (note,)


def test_missing_int8_teacher_and_missed_budget() -> None:
    _, *body = text.table(synthetic.missed())
    teacher = next(line for line in body if line[0] == "teacher int8")
    assert teacher[2].startswith("not measured (the teacher could not be quantized") and teacher[3] == "no file"
    assert [line[0] for line in body if "distilled" in line[0]] == [
        "student distilled float32",
        "student distilled int8",
    ]
    assert body[-1][-1] == "no (p90 latency 53.4 µs is over 20 µs)"


def test_devices_are_named_in_each_cell_where_there_are_several() -> None:
    phone = synthetic.DEVICE.model_copy(update={"name": "pixel-8", "fingerprint": "b", "processor": "Tensor G3"})
    first, *others = synthetic.rows()
    elsewhere = first.measurement.model_copy(update={"device": phone, "basis": "stand-in"})
    header, *body = text.table(synthetic.report(rows=(first.model_copy(update={"measurement": elsewhere}), *others)))
    assert header[2] == "p90 latency"
    assert body[0][2].endswith("(stand-in on pixel-8 (Tensor G3))")
    assert body[1][2].endswith("(measured on this computer (AMD EPYC 9B14))")


def test_unstable_latency_is_marked() -> None:
    measurement = Measurement(basis="measured", device=synthetic.DEVICE, latency=synthetic.latency(1e-3, stable=False))
    assert text.seconds(measurement, "p50").note == "measured, unstable"


@pytest.mark.parametrize(("value", "shown"), [(-0.012, "−1.2 pp"), (0.0311, "+3.1 pp"), (0.0001, "0.0 pp")])
def test_points_have_a_sign_but_zero_has_none(value: float, shown: str) -> None:
    cell = text.points(Interval(value=value, low=value - 0.01, high=value + 0.01))
    assert cell.main == shown and " to " in cell.note


def test_a_class_without_samples_is_a_dash() -> None:
    assert text.share(math.nan) == text.NONE


def test_a_long_reason_stands_below_the_table() -> None:
    why = "the teacher has no file: convert failed: RuntimeError: Lowering not found: aten.adaptive_max_pool2d.default"
    rows = tuple(
        row.model_copy(update={"measurement": Measurement(basis="not measured", why=why)})
        if row.role.startswith("teacher")
        else row
        for row in synthetic.rows()
    )
    report = synthetic.report(rows=rows)
    assert max(len(cell) for line in text.table(report)[1:] for cell in line) <= 72
    assert text.table(report)[1][2] == "not measured"
    assert text.reasons(report) == (f"teacher float32 on tflite was not measured: {why}",)
    assert text.reasons(synthetic.report()) == ()
    assert why not in headline(rows, None) and "the teacher not timed" in headline(rows, None)


def test_why_a_budget_could_not_be_judged_is_told() -> None:
    assert text.doubts(synthetic.report()) == ()
    told = synthetic.everywhere()
    assert text.doubts(told) == (f"the budget of coreml could not be judged: {synthetic.APPLE_ONLY}",)
    shaky = synthetic.latency(45e-6, stable=False)
    rows = [
        row.model_copy(update={"fits": None, "measurement": row.measurement.model_copy(update={"latency": shaky})})
        for row in synthetic.rows()
    ]
    (doubt,) = text.doubts(synthetic.report(rows=rows))
    assert (
        doubt
        == "the budget of tflite could not be judged: its latency is unstable near the budget: sessions differ by 31 %"
    )
