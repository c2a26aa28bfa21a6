import html.parser
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest

from edgekd.report import report as pages
from edgekd.report import searched
from edgekd.report.headline import headline
from edgekd.results import Cost, Report, Rung
from edgekd.spec import Budget, Target
from tests import synthetic

ASKED_FOR = (
    "student distilled int8 (ships)",
    "88.6–90.2 %",
    "measured",
    "this computer (AMD EPYC 9B14)",
    "+5.3 pp",
    "+4.2 to +6.4",
    "File size binds",
    "temperature 4, teacher weight 0.9",
    "over a quarter of the teacher",
    "The teacher was trained on images",
    "ai-edge-litert 2.3.0",
    "--max-latency 20ms",
    "edgekd.lock.json",
    "budget 20 ms",
    "p99",
    "trouser",
    "agrees with teacher",
)


class Reader(html.parser.HTMLParser):
    """What a page asks for from elsewhere, and whether its elements are closed in order."""

    VOID = ("meta", "br", "link", "img", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []
        self.ids: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if found.get("id") else []
        links = [found.get(name) or "" for name in ("src", "href", "xlink:href", "data")]
        self.foreign += [link for link in links if link and not link.startswith(("#", "data:image/png;base64,"))]
        self.foreign += [tag] if tag in ("script", "link", "iframe", "object") else []

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "


def read(folder: Path) -> tuple[str, Reader]:
    page = (folder / "report.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return page, reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report") / "run"
    pages.render(synthetic.report(), made)
    return made


def test_the_json_is_the_whole_report(folder: Path) -> None:
    written = (folder / "report.json").read_text()
    assert Report.model_validate_json(written) == synthetic.report()
    assert json.loads(written)["schema_version"] == 2


def test_the_page_is_one_offline_file(folder: Path) -> None:
    page, reader = read(folder)
    assert reader.foreign == [] and "@import" not in page and "url(http" not in page
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    assert len(reader.ids) == len(set(reader.ids)), "pictures do not share ids"


def test_the_page_shows_what_the_issue_asks_for(folder: Path) -> None:
    page, reader = read(folder)
    assert page.count("<svg") == 4
    for part in ASKED_FOR:
        assert part in reader.words, part
    assert "65×\u00a0smaller" not in page and "5.3\u00a0±\u00a01.1\u00a0points" in page


def test_the_same_report_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    pages.render(synthetic.report(), tmp_path)
    for name in ("report.html", "report.md", "report.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_markdown_tables_are_well_formed(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    tables = [block for block in re.split(r"\n\n+", text) if block.startswith("|")]
    assert len(tables) == 8
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    assert "| quiet latency (tflite int8) | 6 | 3.1 % | 7.9 % | 6 of 6 |" in text, "how well prices were predicted"
    assert "**student distilled int8 (ships)**" in text and "\n\n\n" not in text


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, which take a process each."""
    monkeypatch.setattr(pages, "draw", lambda *_: ({}, ""))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("made", [synthetic.missed(), synthetic.everywhere()], ids=["missed", "two targets"])
def test_reports_with_gaps_are_written_too(made: Report, tmp_path: Path) -> None:
    pages.render(made, tmp_path)
    page, reader = read(tmp_path)
    assert "not measured" in reader.words and "nan" not in reader.words.lower().split()
    why = synthetic.APPLE_ONLY if made.status == "fits" else "attention has no int8 kernel"
    assert why in reader.words and "None" not in page


@pytest.mark.usefixtures("plain")
def test_a_report_of_almost_nothing(tmp_path: Path) -> None:
    empty = synthetic.report(
        rows=(), gain=None, trials=(), candidates=(), predictors=(), caveats=(), notes=(), bundles={}, status="missed"
    )
    pages.render(empty, tmp_path)
    _, reader = read(tmp_path)
    assert "It was not measured." in reader.words and "Nothing was found." in reader.words


@pytest.mark.usefixtures("plain")
def test_names_from_outside_are_text_not_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    plan = synthetic.plan((Target(name=f"tflite@{evil}", format="tflite", budget=Budget()),))
    rows = tuple(row.model_copy(update={"target": f"tflite@{evil}"}) for row in synthetic.rows())
    pages.render(synthetic.report(plan=plan, rows=rows, caveats=(evil,), headline=evil), tmp_path)
    page, reader = read(tmp_path)
    assert "script" not in reader.foreign and evil in reader.words and evil not in page


def test_without_matplotlib_the_page_says_how_to_get_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pages.render(synthetic.report(), tmp_path)
    page, reader = read(tmp_path)
    assert "<svg" not in page and "pip install 'edgekd[report]'" in reader.words


def test_pictures_that_fail_do_not_take_the_report_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nValueError: no room")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    pages.render(synthetic.report(), tmp_path)
    assert "Pictures could not be drawn: ValueError: no room" in read(tmp_path)[1].words


def test_where_nothing_fits_there_is_no_empty_table(plain: None, tmp_path: Path) -> None:
    priced = tuple(one.model_copy(update={"front": False}) for one in synthetic.candidates())
    made = synthetic.report(rows=(), bundles={}, gain=None, status="missed", trials=(), candidates=priced)
    pages.render(made, tmp_path)
    text, page = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    tables = [block for block in re.split(r"\n\n+", text) if block.startswith("|")]
    assert len(tables) == 2 and tables[0].count("\n") >= 6 and "**" not in tables[0]
    assert "\n\n\n" not in text and "Nothing was trained" in text
    assert "<tbody>\n</tbody>" not in page and "Nothing was trained" in page


def test_a_price_that_did_not_settle_is_marked() -> None:
    first, second, *_ = synthetic.candidates()
    high = first.latency["tflite"]
    cost = Cost(target="tflite", precision="int8", size=1, p90_high=high, unstable=True)
    stable = cost.model_copy(update={"precision": "float32", "p90_high": 2 * high})
    marked = first.model_copy(update={"costs": (stable, cost)})
    table = searched.candidates(synthetic.report(candidates=(marked, second)))
    assert [str(row[3]).endswith("(unstable, timed twice)") for row in table.body] == [True, False]


def test_what_was_tried_against_loss_is_a_table_in_both_pages(tmp_path: Path) -> None:
    lost = Rung(target="tflite", precision="int8", name="as calibrated", loss=0.021, why="it loses too much")
    kept = Rung(
        target="tflite", precision="int8", name="percentile ranges", loss=0.003, kept=True, latency=2e-3, seconds=4.0
    )
    pages.render(synthetic.report(rungs=(lost, kept)), tmp_path)
    for page in ("report.md", "report.html"):
        text = (tmp_path / page).read_text(encoding="utf-8")
        for words in ("against loss by quantization", "percentile ranges", "2.1 pp", "it loses too much", "0.3 pp"):
            assert words in text
    assert "**percentile ranges (int8)**" in (tmp_path / "report.md").read_text(encoding="utf-8")
    pages.render(synthetic.report(), tmp_path)
    assert "against loss" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_exported_model_has_no_word_of_students_or_teachers(tmp_path: Path) -> None:
    rows = tuple(
        row.model_copy(update={"role": "model", "ships": row.precision == "int8"})
        for row in synthetic.report().rows
        if row.role == "student"
    )
    report = synthetic.report(rows=rows, gain=None, trials=(), candidates=(), predictors=(), student=None, chosen="")
    report = report.model_copy(update={"headline": headline(rows, None)})
    pages.render(report, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "What the teacher added" not in text and "model int8 (ships)" in text and "model float32" in text
    assert "Int8 ships: " in text and "than its float32 file" in text
