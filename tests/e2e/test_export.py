"""A model that needs no training, and networks that a target cannot have, through the real commands."""

import json
from pathlib import Path

from tests.e2e import toy

MODEL = ("export", "my_net:build16", "--data", "toy.npz", "--weights", "teacher.safetensors", "--target", "onnx")
SIXTEEN = """

def build16():
    return Reader(16)
"""
ODD = toy.NET.replace(
    "torch.relu(self.hidden(self.words(ids)))", "torch.lgamma(self.hidden(self.words(ids)).abs() + 1)"
)


def run(folder: Path, *arguments: str):
    return toy.ask(*arguments, home=folder.parent / "home", cwd=folder)


def test_a_model_of_the_users_own_ships_in_the_best_precision(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=toy.NET + SIXTEEN).parent
    done = run(folder, *MODEL, "--out", "run")
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    assert told["status"] == "fits" and told["student"] is None and told["gain"] is None
    rows = {row["precision"]: row for row in told["rows"]}
    assert {"float32", "float16", "int8"} <= set(rows) and {row["role"] for row in rows.values()} == {"model"}
    assert rows["float32"]["score"]["accuracy"]["value"] == 1.0 and rows["float32"]["score"]["drop"]["value"] == 0.0
    assert rows["float32"]["score"]["parity"]["passed"] and rows["float32"]["measurement"]["basis"] == "measured"
    (shipped,) = (row for row in rows.values() if row["ships"])
    assert f"{shipped['precision']} (ships)" in done.stdout
    page = (folder / "run/report.md").read_text(encoding="utf-8")
    assert "What the teacher added" not in page and "edgekd export my_net:build16 --data toy.npz" in page
    card = (folder / "run/onnx/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "converted as it is, without training" in card and "Student:" not in card
    assert run(folder, "verify", "run/onnx").returncode == 0
    again = run(folder, *MODEL, "--out", "run")
    assert again.returncode == 0 and "(0 steps run" in again.stdout


def test_mistakes_of_an_export_are_told_at_once_and_name_the_flags(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task").parent
    done = run(folder, "export", "my_net:bulid", "--data", "tyo.npz", "--target", "onxx", "--precision", "int9")
    assert done.returncode == 2
    for words in ("--data: ", "tyo.npz is not there", "--target", "Did you mean 'onnx'?", "--precision"):
        assert words in done.stderr
    missing = run(folder, "export", "my_net:build", "--target", "onnx")
    assert missing.returncode == 2 and "--data: is missing" in missing.stderr
    refused = run(folder, *MODEL, "--precision", "palette4")
    assert refused.returncode == 2 and "onnx has no palette4" in refused.stderr


def test_an_operator_that_no_converter_knows_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=ODD).parent
    for verb in ("plan", "build"):
        done = run(folder, verb, "toy.toml", "--target", "onnx")
        assert done.returncode == 2
        assert (
            "target onnx, float32: the converter fails at aten.lgamma in the network's own forward (Reader)"
            in done.stderr
        )
        assert "use a polynomial approximation of it; or leave this target out" in done.stderr
        assert "label started" not in done.stderr and "train started" not in done.stderr


def test_a_size_that_no_file_keeps_is_a_missed_budget_and_float32_stands_beside_it(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=toy.NET + SIXTEEN).parent
    done = run(folder, *MODEL, "--precision", "int8", "--max-size", "1B", "--out", "run")
    assert done.returncode == 3 and "size: " in done.stdout and "over 1 B" in done.stdout
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    assert [row["precision"] for row in told["rows"]] == ["float32", "int8"]
    assert [row["ships"] for row in told["rows"]] == [False, True]
