"""A model that needs no training, and networks that a target cannot have, through the real commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import toy

MODEL = ("export", "my_net:build16", "--data", "toy.npz", "--weights", "teacher.safetensors", "--target", "onnx")
FLOAT = ("--precision", "float32")
SIXTEEN = """

def build16():
    return Reader(16)
"""
WRITE = """

if __name__ == "__main__":
    from safetensors.torch import load_file
    network = build16()
    network.load_state_dict(load_file("teacher.safetensors"))
    ones = torch.ones(2, 12, dtype=torch.int64)
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        network.eval(), (ones, ones.clone()), "model.onnx", dynamo=True, input_names=["ids", "mask"],
        output_names=["scores"], external_data=False, dynamic_shapes=(batch, batch),
    )
"""
ODD = toy.NET.replace(
    "torch.relu(self.hidden(self.words(ids)))", "torch.lgamma(self.hidden(self.words(ids)).abs() + 1)"
)


def run(folder: Path, *arguments: str):
    return toy.ask(*arguments, home=folder.parent / "home", cwd=folder)


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_operator_that_no_converter_knows_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=ODD).parent
    done = run(folder, "build", "toy.toml", "--target", "onnx")
    assert done.returncode == 2
    assert (
        "target onnx, float32: the converter fails at aten.lgamma in the network's own forward (Reader)" in done.stderr
    )
    assert "By torchscript: " in done.stderr and "label started" not in done.stderr
    assert "use a polynomial approximation of it; or leave this target out" in done.stderr
    assert "train started" not in done.stderr


@pytest.mark.slow
def test_a_size_that_no_file_keeps_is_a_missed_budget_and_float32_stands_beside_it(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=toy.NET + SIXTEEN).parent
    done = run(folder, *MODEL, "--precision", "int8", "--max-size", "1B", "--out", "run")
    assert done.returncode == 3 and "size: " in done.stdout and "over 1 B" in done.stdout
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    assert [row["precision"] for row in told["rows"]] == ["float32", "int8"]
    assert [row["ships"] for row in told["rows"]] == [False, True]


@pytest.mark.slow
def test_an_onnx_file_ships_where_formats_start_from_it_and_is_refused_where_not(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=toy.NET + SIXTEEN + WRITE).parent
    subprocess.run([sys.executable, "-W", "ignore", "my_net.py"], cwd=folder, check=True, capture_output=True)
    done = run(folder, "export", "model.onnx", "--data", "toy.npz", "--target", "onnx,openvino", *FLOAT, "--out", "run")
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    whole = [row for row in told["rows"] if row["precision"] == "float32"]
    assert [row["target"] for row in whole] == ["onnx", "openvino"]
    assert all(row["score"]["accuracy"]["value"] == 1.0 and row["score"]["parity"]["passed"] for row in whole)
    assert run(folder, "verify", "run/openvino").returncode == 0
    refused = run(folder, "export", "model.onnx", "--data", "toy.npz", "--target", "tflite")
    assert refused.returncode == 2
    assert "target tflite, float32: this format is made from torch networks, and an ONNX file is none" in refused.stderr


FAR = toy.NET.replace("return self.head(x.sum(1) / mask.sum(1))", "return self.head(x.sum(1) / mask.sum(1)) - far(x)")
FAR = FAR.replace(
    "class Reader", "def far(x):\n    return 0 * torch.cdist(x, x).mean((1, 2))[:, None]\n\n\nclass Reader"
)


@pytest.mark.slow
def test_what_one_exporter_cannot_the_older_one_does_and_the_lock_says_so(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task", net=FAR + SIXTEEN).parent
    done = run(folder, *MODEL, *FLOAT, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "onnx files come by torchscript, since dynamo fails: the converter fails at aten." in done.stdout
    steps = json.loads((folder / "run/edgekd.lock.json").read_text(encoding="utf-8"))["steps"]
    assert {step["asked"].get("route") for step in steps if step["stage"] == "convert"} == {"torchscript"}
    assert "Made by torch's older exporter" in (folder / "run/onnx/MODEL_CARD.md").read_text(encoding="utf-8")
    assert run(folder, "verify", "run/onnx").returncode == 0


def own_environment(folder: Path) -> Path:
    """onnx2tf as a command, with its packages in a folder of their own: they are not the versions that edgekd has."""
    site, command = folder / "site", folder / "bin/onnx2tf"
    wanted = ["pip", "install", "--quiet", "--target", str(site), "--ignore-requires-python", "onnx2tf==2.6.9"]
    subprocess.run([sys.executable, "-m", *wanted], check=True, capture_output=True)
    command.parent.mkdir()
    lines = ("import sys", f"sys.path.insert(0, {str(site)!r})", "import onnx2tf", "onnx2tf.main()")
    command.write_text("\n".join((f"#!{sys.executable} -W ignore", *lines)), encoding="utf-8")
    command.chmod(0o755)
    return command.parent


@pytest.mark.slow
def test_what_the_first_converter_to_tflite_cannot_goes_by_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{own_environment(tmp_path)}:{os.environ['PATH']}")
    folder = toy.write(tmp_path / "task", net=toy.NET + SIXTEEN + WRITE).parent
    subprocess.run([sys.executable, "-W", "ignore", "my_net.py"], cwd=folder, check=True, capture_output=True)
    done = run(folder, "export", "model.onnx", "--data", "toy.npz", "--target", "tflite", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "tflite files come by onnx2tf, since litert-torch fails: this format is made from torch" in done.stdout
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    assert {row["artifact"]["route"] for row in told["rows"]} == {"onnx2tf"}
    assert all(row["score"]["accuracy"]["value"] == 1.0 for row in told["rows"] if row["precision"] == "float32")
    assert "onnx2tf 2.6.9" in (folder / "run/tflite/MODEL_CARD.md").read_text(encoding="utf-8")
    assert run(folder, "verify", "run/tflite").returncode == 0
