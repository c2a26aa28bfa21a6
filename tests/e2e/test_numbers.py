"""Numbers in the place of classes: the whole command, from float labels to a file that speaks their unit."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import tasks
from tests.e2e import toy

RECIPE = """
[data]
train = "rooms.npz"
test = "later.npz"
validation = 60
calibration = 16
metric = "rmse"
targets = ["warmth", "damp"]
unit = "K"
[teacher]
saved = "outputs.npz"
[student]
family = "mlp"
search = false
width = 24
depth = 1
[train]
trial_epochs = 4
epochs = 30
batch = 32
learning_rate = 0.01
distill = [[1.0, 0.9], [1.0, 0.5]]
control = [[1.0, 1.0], [0.3, 1.0]]
"""


def rooms(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of columns in very different units, and two numbers that they decide, far from 0."""
    rows = np.random.default_rng(seed).normal(0, 1, (count, 4))
    told = np.stack([290 + 5 * rows[:, 0] + 3 * rows[:, 1] * rows[:, 2], 280 + 4 * np.tanh(rows[:, 3])], 1)
    return (rows * [1, 100, 1, 5] + [0, 1000, 3, 0]).astype(np.float32), told.astype(np.float32)


def write(folder: Path, recipe: str = RECIPE) -> Path:
    """The data (half of it unlabelled), the answers of a teacher that knows, and the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (rows, told), (later, truth) = rooms(600, 0), rooms(200, 1)
    labels = np.where(np.arange(600)[:, None] < 300, told, np.nan)
    np.savez(folder / "rooms.npz", row=rows, y=labels)
    np.savez(folder / "later.npz", row=later, y=truth)
    np.savez(folder / "outputs.npz", train=told, test=truth)
    page = folder / "rooms.toml"
    page.write_text(recipe, encoding="utf-8")
    return page


def asked(home: Path, page: Path, *wanted: str) -> dict:
    done = toy.ask("build", str(page), *wanted, home=home, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    # what was done for the sake of accuracy is no number of it
    said = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("note: "))
    assert "RMSE" in said and "accuracy" not in said
    return toy.report(home)


def error(bundle: Path, folder: Path) -> float:
    """The RMSE of what the bundle's own program prints for the test rows."""
    rows, truth = rooms(200, 1)
    np.savez(folder / "inputs.npz", row=rows)
    said = subprocess.run(
        [sys.executable, str(bundle / "run.py"), "inputs.npz"], cwd=folder, capture_output=True, text=True, check=True
    )
    lines = [line.partition(": ")[2].replace(" K", "").split(", ") for line in said.stdout.splitlines()]
    told = np.array([[float(part.partition(" ")[2]) for part in line] for line in lines])
    assert [part.partition(" ")[0] for part in lines[0]] == ["warmth", "damp"]
    return float(np.sqrt(np.square(told - truth).mean()))


@pytest.mark.slow
def test_a_student_tells_numbers_in_their_own_unit(tmp_path: Path) -> None:
    page = write(tmp_path / "page")
    report = asked(tmp_path, page, "--target", "onnx", "--precision", "float32", "--max-error", "2.5", "--out", "run")
    (row,) = [row for row in report["rows"] if row["ships"]]
    score = row["score"]
    assert report["gauge"] == {"name": "RMSE", "unit": "K", "share": False, "lower": True} == score["gauge"]
    assert score["accuracy"]["low"] < score["accuracy"]["value"] < score["accuracy"]["high"]
    assert error(tmp_path / "run/onnx", page.parent) == pytest.approx(score["accuracy"]["value"], rel=1e-3)
    assert score["accuracy"]["value"] < 2.5 and score["drop"]["value"] == pytest.approx(score["accuracy"]["value"])
    assert score["parity"]["passed"] and score["parity"]["agreement"] is None and score["agreement"] is None
    assert report["gain"]["difference"]["value"] == pytest.approx(
        np.mean(report["gain"]["control"]) - np.mean(report["gain"]["distilled"]), rel=1e-6
    )
    assert {trial["method"] for trial in report["trials"]} >= {"imitation of the teacher", "teacher-bounded regression"}
    signature = json.loads((tmp_path / "run/onnx/signature.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["unit"]) for one in signature["columns"]] == [("warmth", "K"), ("damp", "K")]
    for name in ("report.md", "onnx/MODEL_CARD.md", "onnx/README.md"):
        text = (tmp_path / "run" / name).read_text(encoding="utf-8")
        assert "ccuracy" not in text and ("RMSE" in text or "warmth in K and damp in K" in text), text


@pytest.mark.slow
def test_quantized_files_keep_their_numbers(tmp_path: Path) -> None:
    page = write(tmp_path / "page")
    report = asked(tmp_path, page, "--target", "tflite,onnx", "--precision", "int8", "--bench", "quick", "--out", "run")
    for row in (row for row in report["rows"] if row["ships"]):
        assert row["precision"] == "int8" and row["score"]["accuracy"]["value"] < 3
        measured = error(tmp_path / "run" / row["target"], page.parent)
        assert measured == pytest.approx(row["score"]["accuracy"]["value"], rel=1e-3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('metric = "rmse"', 'metric = "accuracy"'), "accuracy cannot judge these data"),
        (("epochs = 30", 'epochs = 30\nobjectives = [{ use = "cross_entropy" }]'), "cross_entropy is for classes"),
        (('targets = ["warmth", "damp"]', 'targets = ["warmth"]'), "1 names for 2 columns"),
        (("[train]", '[train]\nscheme = { use = "mutual" }'), "mutual is for classes"),
        (("", ""), "RMSE is an error"),
    ],
)
def test_what_does_not_fit_numbers_is_one_clear_error(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    page, more = write(tmp_path / "page", RECIPE.replace(*change)), ("--target", "onnx")
    more = (*more, "--min-accuracy", "90%") if "error" in told else more
    done = toy.ask("build", str(page), *more, home=tmp_path, timeout=120)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("error") <= 2


@pytest.mark.slow
def test_pairs_are_ranked_by_auc(tmp_path: Path) -> None:
    page = tasks.write(tmp_path / "page", "pairs")
    page.write_text(page.read_text(encoding="utf-8").replace("[data]\n", '[data]\nmetric = "auc"\n'), encoding="utf-8")
    done = toy.ask(
        "build", str(page), "--target", "onnx", "--precision", "float32", "--out", "run", home=tmp_path, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [row for row in toy.report(tmp_path)["rows"] if row["ships"]]
    assert row["score"]["gauge"]["name"] == "AUC" and 0.9 < row["score"]["accuracy"]["low"] <= 1
    assert row["score"]["agreement"] > 0.8, "classes are agreed on all the same"
    told = (tmp_path / "run/report.md").read_text(encoding="utf-8")
    assert "AUC is no mean over samples" in told and "points" not in toy.report(tmp_path)["headline"]
