"""Several heads in one network: the whole command, with one teacher for all and with one for each."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import toy

RECIPE = """
[data]
train = "points.npz"
test = "later.npz"
validation = 80
calibration = 16
[data.classes]
third = ["low", "middle", "high"]
side = ["left", "right"]
TEACHER
[student]
family = "mlp"
search = false
width = 24
depth = 1
[train]
trial_epochs = 4
epochs = 20
batch = 32
learning_rate = 0.01
distill = [[1.0, 0.9]]
control = [[1.0, 1.0]]
"""
ONE = '[teacher]\nsaved = "outputs.npz"'
EACH = '[teacher.heads]\nside = { saved = "side.npz" }\nthird = { saved = "third.npz" }'


def points(count: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Points in a plane, and which third of one axis and which side of a line they lie in."""
    rows = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    third = np.searchsorted([-1 / 3, 1 / 3], rows[:, 0])
    return rows, {"third": third, "side": (rows[:, 0] + rows[:, 1] > 0).astype(np.int64)}


def write(folder: Path, teacher: str = ONE) -> Path:
    """The data (a third has no side), the answers of teachers that know, and the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (rows, known), (later, truth) = points(600, 0), points(300, 1)
    given = known | {"side": np.where(np.arange(600) % 3 == 0, -1, known["side"])}
    np.savez(folder / "points.npz", row=rows, **{f"y_{name}": values for name, values in given.items()})
    np.savez(folder / "later.npz", row=later, **{f"y_{name}": values for name, values in truth.items()})
    sure = {name: [6 * np.eye(n, dtype=np.float32)[of[name]] for of in (known, truth)] for name, n in CLASSES.items()}
    for name, (train, test) in sure.items():
        np.savez(folder / f"{name}.npz", train=train, test=test)
    both = [np.concatenate([sure["third"][i], sure["side"][i]], 1) for i in range(2)]
    np.savez(folder / "outputs.npz", train=both[0], test=both[1])
    page = folder / "points.toml"
    page.write_text(RECIPE.replace("TEACHER", teacher), encoding="utf-8")
    return page


CLASSES = {"third": 3, "side": 2}
NAMES = {"third": ["low", "middle", "high"], "side": ["left", "right"]}


def printed(bundle: Path, folder: Path) -> dict[str, float]:
    """How often the bundle's own program prints the right class of each head for the test points."""
    rows, truth = points(300, 1)
    np.savez(folder / "inputs.npz", row=rows)
    command = [sys.executable, str(bundle / "run.py"), "inputs.npz"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = [line.partition(": ")[2].split(", ") for line in said.stdout.splitlines()]
    right = {
        name: [line[i].split()[:2] == [name, NAMES[name][k]] for line, k in zip(lines, truth[name], strict=True)]
        for i, name in enumerate(CLASSES)
    }
    return {name: float(np.mean(each)) for name, each in right.items()}


@pytest.mark.slow
@pytest.mark.parametrize("teacher", [ONE, EACH], ids=["one", "each"])
def test_a_student_with_two_heads_is_built_and_judged_by_each(tmp_path: Path, teacher: str) -> None:
    page = write(tmp_path / "page", teacher)
    wanted = ("--target", "tflite,onnx", "--precision", "int8", "--bench", "quick", "--out", "run")
    done = toy.ask("build", str(page), *wanted, home=tmp_path, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "third" in done.stdout and "what the teacher added" in done.stdout
    report = toy.report(tmp_path)
    assert list(report["gain"]["heads"]) == list(CLASSES)
    for row in (row for row in report["rows"] if row["ships"]):
        score = row["score"]
        each = {head["name"]: head["accuracy"]["value"] for head in score["heads"]}
        assert list(each) == list(CLASSES) and min(each.values()) > 0.8
        assert score["accuracy"]["value"] == pytest.approx(np.mean(list(each.values())))
        bundle = tmp_path / "run" / row["target"]
        assert printed(bundle, page.parent) == pytest.approx(each)
        signature = json.loads((bundle / "signature.json").read_text(encoding="utf-8"))
        assert [(head["name"], head["start"]) for head in signature["heads"]] == [("third", 0), ("side", 3)]
        assert (bundle / "labels.txt").read_text(encoding="utf-8").splitlines()[2:4] == ["third: high", "side: left"]
        for name in ("../report.md", "MODEL_CARD.md"):
            text = (bundle / name).read_text(encoding="utf-8")
            assert "third" in text and f"{100 * each['side']:.1f} %" in text, text
    checked = toy.ask("verify", str(tmp_path / "run/onnx"), home=tmp_path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("distill =", 'objectives = [{ use = "kd", head = "thrid" }]\ndistill ='), "there is no head 'thrid'"),
        (('side = ["left"', 'sides = ["left"'), "classes are given for sides, but the heads are third, side"),
        (("validation = 80", 'validation = 80\nmetric = "auc"'), "no mean over samples, and there are 2 heads"),
        ((ONE, EACH.replace("third =", "thirds =")), "there are teachers of side, thirds"),
    ],
)
def test_what_does_not_fit_the_heads_is_one_clear_error(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    page = write(tmp_path / "page")
    page.write_text(page.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    done = toy.ask("build", str(page), "--target", "onnx", home=tmp_path, timeout=120)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
