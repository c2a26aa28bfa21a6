"""Where files run, as a report and a prompt tell it."""

from pathlib import Path

import pytest

from edgekd.report import report as pages
from edgekd.report import text, where
from edgekd.results import Placement, Profiled, Report
from edgekd.spec import Budget, Target
from tests import synthetic

OFF = Placement(
    name="relu6_1_DequantizeLinear", kind="DequantizeLinear", layer="conv2 + norm2", wanted=False, why="not fused",
    conversion=True, seconds=2e-6,
)  # fmt: skip
EVERY = (
    Placement(name="x_Q", kind="QuantizeLinear", layer="", kernel="", wanted=True, conversion=True, seconds=1e-6),
    Placement(name="conv", kind="QLinearConv", layer="conv1", kernel="brgconv_I8", wanted=True, seconds=6e-6),
    OFF,
    OFF.model_copy(update={"kind": "Mean", "conversion": False, "seconds": 0.0, "layer": "mean"}),
)
TIMED = Profiled(basis="measured", placements=EVERY, fallback=0.5, fallback_time=2 / 9, device=synthetic.DEVICE)
UNTIMED = Profiled(
    basis="measured", fallback=0.5, partitions=2, untimed="the runtime does not tell",
    placements=tuple(one.model_copy(update={"seconds": None}) for one in EVERY),
)  # fmt: skip
UNKNOWN = Profiled(basis="not measured", why="no profiler")


def report(placement: Profiled | None, floats: Profiled | None = None) -> Report:
    """The usual report; the student's int8 file ships, and its float32 twin was looked into too."""
    found = {"int8": placement, "float32": floats}
    rows = tuple(
        row.model_copy(update={"placement": found[row.precision]}) if row.role == "student" else row
        for row in synthetic.rows()
    )
    return synthetic.report(rows=rows)


def test_shares_of_every_file_that_was_looked_into() -> None:
    table = where.shares(report(TIMED, UNTIMED).rows)
    assert [str(cell) for cell in table.body[1]] == [
        "student distilled int8 (ships)", "4", "50.0 % (2 of 4)", "22.2 %", "2", text.NONE, "measured",
    ]  # fmt: skip
    assert [str(cell) for cell in table.body[0]][2:] == [
        "50.0 % (2 of 4)", "not told (the runtime does not tell)", "2", "2", "measured",
    ]  # fmt: skip
    assert table.strong == {1}
    assert where.shares(report(None).rows).body == ()


def test_what_was_not_looked_into_says_why() -> None:
    (line,) = where.shares(report(UNKNOWN).rows).body
    assert [str(cell) for cell in line][1:] == [text.NONE] * 5 + ["not measured (no profiler)"]
    assert where.details(report(UNKNOWN)) == () and where.fallbacks(report(UNKNOWN)) == ()


def test_operators_stand_by_their_time_in_the_users_names() -> None:
    table = where.operators(TIMED)
    assert table.header == ("", "operator", "kernel", "time", "share", "where")
    assert [[str(cell) for cell in line] for line in table.body] == [
        ["conv1", "QLinearConv", "brgconv_I8", "6 µs", "66.7 %", ""],
        ["conv2 + norm2", "DequantizeLinear", text.NONE, "2 µs", "22.2 %", "falls back (not fused)"],
        ["x_Q", "QuantizeLinear", text.NONE, "1 µs", "11.1 %", "conversion"],
        ["mean", "Mean", text.NONE, "under 1 µs", "0.0 %", "falls back (not fused)"],
    ]


def test_without_times_only_what_falls_back_is_shown() -> None:
    table = where.operators(UNTIMED)
    assert table.header == ("", "operator", "kernel", "where")
    assert [line[1].main for line in table.body] == ["DequantizeLinear", "Mean"]


def test_only_the_fifteen_that_take_longest_are_shown_and_the_rest_is_counted() -> None:
    many = tuple(EVERY[1].model_copy(update={"seconds": n * 1e-6}) for n in range(1, 19))
    found = TIMED.model_copy(update={"placements": many, "fallback": 0.0, "fallback_time": 0.0})
    ((title, remark, table),) = where.details(report(found))
    assert len(table.body) == 15 and table.body[0][3].main == "18 µs"
    assert title == "tflite int8: where the time goes (3 operators that take less are left out)"
    assert "no latency" in remark


def test_details_are_of_what_ships() -> None:
    assert where.details(report(None, TIMED)) == ()
    ((title, remark, _),) = where.details(report(UNTIMED))
    assert (title, remark) == (
        "tflite int8: what falls back", "There is no time for each operator: the runtime does not tell.",
    )  # fmt: skip
    whole = UNTIMED.model_copy(update={"placements": UNTIMED.placements[:2], "fallback": 0.0})
    assert where.details(report(whole)) == (), "nothing falls back, and nothing is timed"


def test_the_prompt_has_one_line_a_file_and_only_where_something_falls_back() -> None:
    assert where.fallbacks(report(TIMED)) == (
        "tflite int8: 2 of 4 operators fall back (22.2 % of the time): DequantizeLinear, Mean",
    )
    by_word = UNTIMED.model_copy(update={"basis": "reference", "placements": (OFF,) * 3})
    assert where.fallbacks(report(by_word)) == (
        "tflite int8: 3 of 3 operators fall back, by reference: 3 DequantizeLinear",
    )
    fine = TIMED.model_copy(update={"placements": EVERY[:2], "fallback": 0.0, "fallback_time": 0.0})
    assert where.fallbacks(report(fine)) == where.fallbacks(report(None, TIMED)) == ()


@pytest.mark.parametrize("page", ["report.html", "report.md"])
def test_the_pages_have_a_section_where_something_is_known(page: str, tmp_path: Path) -> None:
    pages.render(report(TIMED), tmp_path)
    written = (tmp_path / page).read_text(encoding="utf-8")
    for words in ("Where it runs", "conv2 + norm2", "brgconv_I8", "not fused", "66.7 %", "no latency"):
        assert words in written
    assert Report.model_validate_json((tmp_path / "report.json").read_text(encoding="utf-8")) == report(TIMED)
    pages.render(report(None), tmp_path)
    assert "Where it runs" not in (tmp_path / page).read_text(encoding="utf-8")


def test_a_budget_that_could_not_be_judged_says_that_nobody_saw_where_it_runs() -> None:
    budget = Budget(max_fallback="5%")
    rows = tuple(row.model_copy(update={"fits": None if row.ships else row.fits}) for row in report(UNKNOWN).rows)
    target = Target(name="tflite", format="tflite", budget=budget)
    told = synthetic.report(rows=rows, plan=synthetic.plan((target,)))
    assert text.doubts(told) == (
        "the budget of tflite could not be judged: where its operators run was not measured: no profiler",
    )
