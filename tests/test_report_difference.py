"""A comparison as lines and as a page: offline, whole, readable, and the same bytes for the same answer."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from edgekd.report import difference, layers
from edgekd.results import Diffed, File, Hidden, Layer
from tests.test_report import Reader

FACTS = (("File", "student.onnx"), ("Run", "runs/x"))


def layer(node: str, snr: float, lost: float = 0.0, **more: object) -> Layer:
    fields = {
        "node": node, "name": node, "module": node, "kind": "Conv2d", "operator": "conv2d", "tensor": f"t.{node}",
        "shape": (4, 8), "snr": snr, "lost": lost, "difference": 0.25, "scale": 3.0,
    }  # fmt: skip
    return Layer.model_validate(fields | more)


def made(**changes: object) -> Diffed:
    """Five layers, the third of which is wrong, and all after it."""
    found = (
        layer("stem", math.inf),
        layer("conv1", 41.5, 3.0, name="conv1 + norm1"),
        layer("conv2", 4.2, 37.3, name="layers.2", clipped=0.031, channels=120.0, outliers=9.0),
        layer("relu", 9.0),
        layer("head", -math.inf, 64.2, not_finite=0.5, difference=math.inf, shape=()),
    )
    hidden = (
        Hidden(node="a", name="norm2", module="norm2", kind="BatchNorm2d", operator="batch_norm",
               why="it has no tensor of its own: fused into relu, which follows"),
        Hidden(node="b", name="steps", module="", kind="Net", operator="add",
               why="the converter folded it: it does not depend on the inputs"),
    )  # fmt: skip
    fields = {
        "layers": found, "first": "conv2", "worst": ("head", "conv2", "conv1"), "hidden": hidden,
        "cause": "few values are 9 times larger", "advice": 'Give ranges = "percentile"', "basis": "measured",
        "samples": 8, "threshold": 15.0, "values": File(entry="e", name="values.npz", sha256="0", size=1),
    }  # fmt: skip
    return Diffed.model_validate(fields | changes)


@pytest.fixture
def values(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    arrays = {}
    for one in made().layers:
        ours = random.normal(size=600).astype(np.float32)
        theirs = ours + random.normal(0, 0.1, 600).astype(np.float32)
        arrays |= {f"torch:{one.node}": ours, f"file:{one.node}": theirs}
    arrays["file:head"][:300] = np.inf
    np.savez(tmp_path / "values.npz", **arrays)
    return tmp_path / "values.npz"


def page(diffed: Diffed, values: Path | None, folder: Path) -> tuple[str, Reader]:
    difference.write(diffed, "onnx-int8 of toy", FACTS, values, folder / "diff.html")
    text, reader = (folder / "diff.html").read_text(encoding="utf-8"), Reader()
    reader.feed(text)
    assert not reader.open
    return text, reader


def test_the_page_is_one_offline_file_with_a_plot_for_every_layer(values: Path, tmp_path: Path) -> None:
    text, reader = page(made(), values, tmp_path)
    assert reader.foreign == [] and "@import" not in text and "url(http" not in text
    assert text.count("<svg") == 1 + len(made().layers) and len(reader.ids) == len(set(reader.ids))
    assert text.count('role="img" aria-label="') == text.count("<svg")
    assert "aria-label=\"values of conv1 + norm1: the file's over torch's\"" in text
    assert text.count('scope="col"') == text.count("<th ") > 0 and '<html lang="en">' in text
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", text)) == set(), "colours are the page's own"
    for word in ("First divergent layer: layers.2 has 4.2 dB where 15 dB is the least", "few values are 9 times",
                 'Give ranges = "percentile"', "student.onnx", "measured on 8 golden samples", "nothing right",
                 "no difference", "3.1 % clipped", "channels 120 times apart", "norm2", "fused into relu"):  # fmt: skip
        assert word in reader.words, word
    assert "nan" not in reader.words.lower().split() and "inf" not in reader.words.lower().split()


def test_the_same_answer_gives_the_same_bytes(values: Path, tmp_path: Path) -> None:
    one, _ = page(made(), values, tmp_path)
    assert page(made(), values, tmp_path)[0] == one


def test_names_from_outside_are_text_not_markup(values: Path, tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>'
    found = made()
    first = found.layers[0].model_copy(update={"name": evil})
    text, reader = page(made(layers=(first, *found.layers[1:]), cause=evil), values, tmp_path)
    assert "script" not in reader.foreign and evil not in text and evil in reader.words


def test_without_values_or_matplotlib_there_is_a_page_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(difference, "draw", lambda *_: ({}, "Pictures need matplotlib."))
    text, reader = page(made(), tmp_path / "values.npz", tmp_path)
    assert "<svg" not in text and "Pictures need matplotlib." in reader.words and "conv1 + norm1" in reader.words
    nothing = made(layers=(), first=None, worst=(), hidden=(), basis="not measured", why="no runtime here", values=None)
    text, reader = page(nothing, None, tmp_path)
    assert "Nothing was compared: no runtime here" in reader.words and "<table" not in text


def test_what_differs_is_drawn_away_from_the_line(values: Path) -> None:
    drawn = layers.figures(made(), dict(np.load(values)))
    assert sorted(drawn) == ["layer-0", "layer-1", "layer-2", "layer-3", "layer-4", "overview"]
    assert "var(--limit)" in drawn["layer-2"] and "var(--limit)" not in drawn["layer-0"]
    assert drawn["overview"].count("stroke: var(--accent)") >= 2, "two layers are right"
    assert all(len(svg) < 60_000 for svg in drawn.values())


def test_the_verdict_says_where_it_begins() -> None:
    assert difference.verdict(made()) == "First divergent layer: layers.2 has 4.2 dB where 15 dB is the least"
    fine = (layer("a", 44.0), layer("b", 40.5))
    text = difference.verdict(made(layers=fine, first=None))
    assert text == "No layer diverges: all 2 that can be seen are above 15 dB; the lowest is b with 40.5 dB"
    noisy = (layer("a", 38.0), layer("b", 18.0, 20.0), layer("c", 13.0, 5.0))
    text = difference.verdict(made(layers=noisy, first="b"))
    assert text == (
        "Noise adds up until c has 13.0 dB and less than 15 dB; most of it comes from b, which loses 20.0 dB"
    )


def test_what_is_hidden_is_counted_by_reason() -> None:
    assert difference.hidden(made()) == (
        "no tensor shows 2 of 7 layers: 1 fused into the next, 1 folded by the converter"
    )
    assert difference.hidden(made(hidden=())) == "no layer is hidden"
    one = made().hidden[0].model_copy(update={"why": "the runtime hides it"})
    assert "1 hidden by the runtime" in difference.hidden(made(hidden=(one,)))


def test_the_basis_is_told() -> None:
    assert difference.basis(made()) == "measured on 8 golden samples"
    text = difference.basis(made(basis="reference", why="by definition"))
    assert text == "reference on 8 golden samples: by definition"


def test_tables_name_the_worst_first_and_mark_what_is_below() -> None:
    worst = difference.worst(made())
    assert [row[0].main for row in worst.body] == ["head", "layers.2", "conv1 + norm1"]
    assert all(len(row) == len(worst.header) for row in worst.body)
    table = difference.layers(made())
    assert table.strong == {2, 3, 4} and [row[1].main for row in table.body][-1] == "nothing right"
    assert table.body[4][3].main == "infinite" and "50 % not finite" in table.body[4][5].note
