"""What a build says the student kept is what the store's own predictions say, worked out here once more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.e2e import toy


def contrast(home: Path) -> dict[str, Any]:
    """The question about the test part of the file that ships, as it stands in the store."""
    ships = next(row["artifact"]["file"]["sha256"] for row in toy.report(home)["rows"] if row["ships"])
    for key in toy.answers_of("contrast", home):
        step = request(home, key)
        if step["student"]["part"] == "test" and ships in json.dumps(
            request(home, step["student"]["outputs"]["entry"])
        ):
            return step
    raise AssertionError("the file that ships was not looked at")


def request(home: Path, key: str) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads((home / "store/entries" / key[:2] / key / "request.json").read_text())["step"]
    return asked


def load(home: Path, file: dict[str, Any]) -> NDArray[Any]:
    return np.load(home / "store/entries" / file["entry"][:2] / file["entry"] / file["name"])


def shares(logits: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def error(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    sure, right = shares(logits).max(1), logits.argmax(1) == labels
    bins = np.ceil(sure * 15).astype(int)
    return sum(abs((right[bins == b] - sure[bins == b]).sum()) for b in set(bins)) / len(labels)


@pytest.fixture(scope="module")
def unlike(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished build's store, and a student that was trained for too short a time to be like its teacher."""
    home = tmp_path_factory.mktemp("unlike")
    toy.copy(finished / "store", home)
    status, said = toy.build(toy.write(home / "task", toy.RECIPE.replace("epochs = 30", "epochs = 4")), home)
    assert status == 0, said
    return home


@pytest.mark.slow
def test_agreement_confusion_and_calibration_are_those_of_the_stores_predictions(unlike: Path) -> None:
    told = toy.report(unlike)
    found = told["kept"]["contrasted"]
    step = contrast(unlike)
    labels = load(unlike, step["splits"]["parts"]["test"]["labels"])
    ours, theirs = load(unlike, step["student"]["outputs"]), load(unlike, step["teacher"])
    assert (theirs.argmax(1) == labels).all(), "the toy's teacher knows"
    assert found["samples"] == 80 and found["same"]["value"] == (ours.argmax(1) == theirs.argmax(1)).mean() < 1
    assert found["lost"] == (ours.argmax(1) != labels).sum() and found["won"] == 0
    for k, one in enumerate(found["classes"]):
        assert one["both"] == ((ours.argmax(1) == k) & (theirs.argmax(1) == k)).sum()
        assert (one["student"], one["labelled"]) == ((ours.argmax(1) == k).sum(), (labels == k).sum())
    for one in found["moved"]:
        pair = (labels == int(one["truth"])) & (ours.argmax(1) == int(one["taken_for"]))
        assert one["student"] == pair.sum() and one["teacher"] == 0
    assert sum(one["student"] for one in found["moved"]) == found["lost"]
    assert found["student"]["error"]["value"] == pytest.approx(error(ours, labels))
    assert found["teacher"]["error"]["value"] == pytest.approx(error(theirs, labels))
    for one in found["parted"]:
        assert one["truth"] == str(labels[one["number"]]) and one["student"] == str(ours[one["number"]].argmax())
        ids, mask = (
            load(unlike, step["splits"]["parts"]["test"]["inputs"][name])[one["number"]] for name in ("ids", "mask")
        )
        assert one["words"] == [str(x) for x in ids[mask == 1]]


@pytest.mark.slow
def test_the_teacher_answers_from_the_one_word_that_tells(unlike: Path) -> None:
    kept = toy.report(unlike)["kept"]
    assert kept["explained"]["method"] == "gradient times embedding" and len(kept["explained"]["samples"]) >= 4
    words = {one["number"]: one["words"] for one in kept["contrasted"]["parted"]}
    for one in kept["explained"]["samples"]:
        weights, said = np.array(one["teacher"]), words[one["number"]]
        assert {said[i] for i in np.flatnonzero(weights)} <= {"0", "1", "2"} and weights.max() > 0


@pytest.mark.slow
def test_layers_corruptions_and_transfer_data_are_told(unlike: Path) -> None:
    kept = toy.report(unlike)["kept"]
    assert kept["resemblance"]["student"] == kept["resemblance"]["teacher"] == ["words", "hidden", "head"]
    rows = {(row["corruption"], row["severity"]): row for row in kept["endured"]["rows"]}
    assert kept["endured"]["corrupts"] == "tokens" and rows["", 0]["teacher"]["value"] == 1.0
    assert rows["", 0]["student"]["value"] == kept["contrasted"]["student"]["accuracy"]
    assert rows["replaced", 4]["teacher"]["value"] < rows["replaced", 2]["teacher"]["value"] < 1.0
    assert rows["swapped", 4]["teacher"]["value"] == 1.0, "which does not mind the order of words"
    assert kept["transfer"]["samples"] == 80 and 0.8 < kept["transfer"]["coverage"] <= 1.0
    page = (unlike / "run/report.html").read_text(encoding="utf-8")
    assert "What the student kept" in page and "Where it saw nothing like it" in page


@pytest.mark.slow
def test_what_is_known_costs_nothing_the_second_time(unlike: Path) -> None:
    status, said = toy.build(unlike / "task/toy.toml", unlike)
    assert status == 0 and "(0 steps run," in said
    assert "warning: temperature: at temperature 1 the targets are nearly labels" in said
