"""A model that takes a camera's frames, through the real commands: its bundle prepares nothing."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import toy

NET = """
import torch
from torch import nn


class Seer(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 16, 3, 2, 1), nn.Linear(16, 3)

    def forward(self, image):
        return 5 * self.head(torch.relu(self.conv(image)).mean((2, 3)))


def build():
    return Seer()
"""
MODEL = ("export", "my_seer:build", "--data", "frames.npz", "--size", "12", "--mean", "0.5,0.4,0.3", "--std", "0.25")
EVERYWHERE = ("--target", "tflite,onnx,openvino,coreml", "--precision", "float32", "--input", "raw", "--out", "run")
RAW = ("--target", "onnx", "--precision", "float32", "--input", "raw", "--out", "run")

RESIZED = """
[data]
arrays = "frames.npz"
[teacher]
make = "my_seer:build"
image = { size = 12 }
[student]
family = "convnet"
width = 8
depth = 1
expansion = 1
image = { size = 8, mean = [0.5], std = [0.25] }
[train]
teacher_share = 1.0
trial_epochs = 1
epochs = 2
views = 1
candidates = 1
distill = [[1.0, 0.9]]
control = [[1.0, 1.0]]
"""


def write(folder: Path) -> Path:
    """A network of the user's, and pictures of three colours."""
    folder.mkdir()
    random, labels = np.random.default_rng(0), np.arange(150) % 3
    frames = random.integers(0, 120, (150, 12, 12, 3))
    frames[np.arange(150), :, :, labels] += 120
    np.savez(folder / "frames.npz", x=frames.astype(np.uint8), y=labels)
    (folder / "my_seer.py").write_text(NET, encoding="utf-8")
    return folder


def imported(source: Path) -> set[str]:
    """Names that a program imports from its `runtime` package."""
    nodes = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in nodes if node.module == "runtime" for alias in node.names}


@pytest.mark.slow
def test_a_bundle_of_raw_input_prepares_nothing_and_is_sound(tmp_path: Path) -> None:
    folder = write(tmp_path / "task")
    done = toy.ask(*MODEL, *RAW, home=tmp_path / "home", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (
        "The input image takes raw pixels, uint8 of 12 x 12, RGB: channels rgb, scale, mean and deviation"
        in done.stdout
    )
    bundle = folder / "run/onnx"
    (spec,) = json.loads((bundle / "signature.json").read_text(encoding="utf-8"))["inputs"]
    assert (spec["dtype"], spec["shape"], spec["preprocess"]) == ("uint8", [-1, 12, 12, 3], None)
    assert spec["inside"]["mean"] == [0.5, 0.4, 0.3]
    assert imported(bundle / "run.py") == {"digests", "replay", "onnx"}
    for page in ("README.md", "MODEL_CARD.md"):
        assert "RGB pixels as a camera gives them" in (bundle / page).read_text(encoding="utf-8")
    assert "--input raw" in (folder / "run/report.md").read_text(encoding="utf-8")
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    (row,) = told["rows"]
    assert row["score"]["parity"]["passed"] and row["measurement"]["basis"] == "measured"
    assert toy.ask("verify", "run/onnx", home=tmp_path / "home", cwd=folder).returncode == 0
    again = toy.ask(*MODEL, *RAW, home=tmp_path / "home", cwd=folder)
    assert again.returncode == 0 and "(0 steps run" in again.stdout
    compared = toy.ask("diff", "run/onnx", "--against", "run", home=tmp_path / "home", cwd=folder)
    assert compared.returncode == 0 and "No layer diverges" in compared.stdout


def test_ids_have_nothing_to_prepare_and_that_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    folder = toy.write(tmp_path / "task").parent
    done = toy.ask("plan", "toy.toml", "--target", "onnx", "--input", "raw", home=tmp_path / "home", cwd=folder)
    assert done.returncode == 2 and "ids is int64, ids or a mask; mask is int64, ids or a mask" in done.stderr
    assert "--input raw" in done.stderr and "label started" not in done.stderr
    wrong = toy.ask("plan", "toy.toml", "--target", "onnx", "--input", "rwa", home=tmp_path / "home", cwd=folder)
    assert wrong.returncode == 2 and "--input" in wrong.stderr and "'raw'" in wrong.stderr


@pytest.mark.long
def test_pictures_larger_than_the_student_go_into_every_format(tmp_path: Path) -> None:
    folder = write(tmp_path / "task")
    (folder / "resized.toml").write_text(RESIZED, encoding="utf-8")
    done = toy.ask("build", "resized.toml", *EVERYWHERE, home=tmp_path / "home", cwd=folder, timeout=1500)
    assert done.returncode in (0, 3), done.stderr
    told = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    students = [row for row in told["rows"] if row["role"] == "student"]
    assert {row["target"] for row in students} == {"tflite", "onnx", "openvino", "coreml"}
    for row in students:
        (spec,) = row["artifact"]["signature"]["inputs"]
        assert (spec["dtype"], spec["shape"][1:], spec["inside"]["size"]) == ("uint8", [12, 12, 3], 8)
        assert row["score"]["parity"]["relative_error"] < 1e-3
    for target in told["bundles"]:
        assert toy.ask("verify", f"run/{target}", home=tmp_path / "home", cwd=folder).returncode == 0
