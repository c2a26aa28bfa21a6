"""What the pages show of what the student kept, and what they say where something is missing."""

import re
from pathlib import Path

import pytest

from edgekd.cli import build as cli_build
from edgekd.conditions import Interval
from edgekd.kept import Kept, Scratch
from edgekd.report import kept, likeness
from edgekd.report import report as pages
from edgekd.results import Confidence
from tests import synthetic
from tests.test_report import read

WHY = {
    "resemblance": "why_no_resemblance",
    "explained": "why_not_explained",
    "endured": "why_not_endured",
    "transfer": "why_no_transfer",
}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, which take a process each."""
    monkeypatch.setattr(pages, "draw", lambda *_: ({}, ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kept") / "run"
    pages.render(synthetic.report(kept=synthetic.kept(), concerns=(synthetic.CONCERN,)), made)
    return made


def test_the_page_has_all_of_it_and_needs_nothing_from_elsewhere(folder: Path) -> None:
    page, reader = read(folder)
    assert reader.foreign == [] and page.count("<svg") == 7 and page.count("<img") == 3
    words = re.sub(r"\s+", " ", reader.words)
    for part in (
        "one answer to 91.2 % (90.2–92.2 %) of 5000 test samples (by the file that ships, in its own runtime)",
        "281 only the teacher answers rightly, 96 only the student",
        "shirt → T-shirt",
        "31 more",
        "8 fewer",
        "T-shirt, 61.0 % sure",
        "not labelled",
        "attributions alike: 0.43",
        "integrated gradients of image",
        "all corruptions",
        "at severity 2 and 4",
        "coverage of the test part",
        "96.9 % if both were of one source",
        "Transfer data : they are unlike the test data",
    ):
        assert part in words, part
    assert len(reader.ids) == len(set(reader.ids))


def test_words_are_marked_by_what_an_answer_owes_to_them(folder: Path) -> None:
    page, _ = read(folder)
    found = re.findall(r'class="(for|against)" style="--w: (\d+)%">(\w+)<', page)
    assert found == [
        ("for", "18", "7"),
        ("against", "70", "12"),
        ("for", "70", "7"),
        ("for", "35", "12"),
        ("for", "18", "3"),
    ]


def test_the_text_says_the_same(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "## Warnings" in text and "- **Transfer data**: they are unlike" in text and "\n\n\n" not in text
    tables = [block for block in re.split(r"\n\n+", text) if block.startswith("|")]
    assert len(tables) == 14
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    assert "| shirt → T-shirt | 40 | 71 | 31 more |" in text
    assert "| noise | 85.5 % | 69.0 % | 74.0 % | +7.5 pp (+6.5 to +8.5) |" in text
    assert "4.3 % (3.3–5.3 %)" in text and "data:image" not in text


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("field", WHY)
def test_what_is_missing_says_why(field: str, tmp_path: Path) -> None:
    without = synthetic.kept(**{field: None, WHY[field]: f"no {field} could be had"})
    pages.render(synthetic.report(kept=without), tmp_path)
    for name in ("report.html", "report.md"):
        assert f"no {field} could be had." in (tmp_path / name).read_text(encoding="utf-8")
    assert Kept.model_validate_json(without.model_dump_json()) == without


def test_a_student_that_agrees_on_everything_has_no_samples_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "draw", lambda *_: ({}, ""))
    one = synthetic.contrasted().model_copy(update={"moved": (), "parted": (), "teacher": None, "student": None})
    made = synthetic.kept(contrasted=one, explained=None, why_not_explained="both answer alike")
    pages.render(synthetic.report(kept=made), tmp_path)
    page, reader = read(tmp_path)
    assert "<img" not in page and "Samples where they part" not in reader.words and "ECE" not in reader.words
    assert "Confusion that moved" not in reader.words and "\n\n\n" not in (tmp_path / "report.md").read_text()


@pytest.mark.usefixtures("plain")
def test_what_weights_were_worth_is_told_where_there_were_some(tmp_path: Path) -> None:
    worth = Scratch(started=0.91, scratch=0.88, difference=Interval(value=0.03, low=0.01, high=0.05))
    pages.render(synthetic.report(kept=synthetic.kept(scratch=worth)), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "has 91.0 % on the test split, from random ones 88.0 %: +3.0 pp (+1.0 to +5.0), of one" in text


def test_other_bases_are_told() -> None:
    told = synthetic.contrasted().model_copy(update={"basis": "reference", "why": "torch ran the trained network"})
    assert "(reference: torch ran the trained network)" in kept.summary(told)


def test_pictures_are_only_of_what_there_is() -> None:
    assert likeness.pictures(synthetic.report()) == {}
    bare = synthetic.kept(resemblance=None, endured=None)
    drawn = likeness.pictures(synthetic.report(kept=bare))
    assert drawn["resemblance"] is None and drawn["corruptions"] is None and drawn["reliability"] is not None


@pytest.mark.usefixtures("plain")
def test_names_from_outside_are_text_not_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    first, *others = synthetic.contrasted().classes
    moved = synthetic.contrasted().moved[0].model_copy(update={"truth": evil})
    parted = synthetic.contrasted().parted[1].model_copy(update={"student": evil, "words": (evil, "a", "b")})
    update = {"classes": (first.model_copy(update={"name": evil}), *others), "moved": (moved,), "parted": (parted,)}
    made = synthetic.kept(contrasted=synthetic.contrasted().model_copy(update=update))
    concern = synthetic.CONCERN.model_copy(update={"message": evil})
    pages.render(synthetic.report(kept=made, concerns=(concern,)), tmp_path)
    page, reader = read(tmp_path)
    assert "script" not in reader.foreign and evil not in page and reader.words.count(evil) == 6


def test_warnings_stand_at_the_end_of_the_command_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cli_build.show(synthetic.report(concerns=(synthetic.CONCERN,)), tmp_path)
    said = capsys.readouterr().out
    assert "warning: transfer data: they are unlike the test data: 31.0 %" in said and "Add unlabelled samples" in said


def test_what_a_temperature_leaves_of_the_error_stands_beside_it() -> None:
    rows = synthetic.rows()
    one = Confidence(
        temperature=1.43,
        error=Interval(value=0.012, low=0.01, high=0.02),
        error_before=Interval(value=0.08, low=0.06, high=0.1),
        samples=500,
    )
    sure = [
        row.model_copy(
            update={
                "artifact": row.artifact.model_copy(
                    update={"signature": row.artifact.signature.model_copy(update={"confidence": (one,)})}
                )
            }
        )
        for row in rows
        if row.artifact
    ]
    table = kept.calibrations(synthetic.contrasted(), sure)
    assert table is not None and len(table.body) == 2 + sum(row.ships for row in sure)
    assert table.body[2][0].main == "tflite, temperature 1.43" and table.body[2][3].main == "1.2 %"
    assert len(kept.calibrations(synthetic.contrasted(), rows).body) == 2
