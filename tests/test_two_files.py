"""A format is two files, edgekd/formats/NAME.py and edgekd/runtimes/NAME.py: with these alone edgekd knows it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgekd

FORMAT = '''"""Programs of torch as they are."""

import shutil
from importlib.metadata import version

from edgekd.plugins import Conversion, Converted
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64")
ALIASES = ("as-it-is",)
SUFFIXES = (".pt2",)
PRECISIONS = ("float32",)
UNOPENED = "a program of torch is run as a whole"


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    shutil.copy(conversion.program, conversion.folder / "student.pt2")
    return Converted("student.pt2", conversion.signature, f"torch {version('torch')}")
'''
RUNTIME = '''"""Programs of torch by torch itself."""

from __future__ import annotations

import torch

VERSION = 1
PACKAGES = ("torch",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64")
UNPROFILED = "nobody asked torch"


def version():
    return torch.__version__


def load(path, threads, signature, batch=1):
    torch.set_num_threads(threads)
    return Model(torch.export.load(path).module(), batch)


class Model:
    def __init__(self, module, batch):
        self._module, self.batch, self.notes = module, batch, {}

    def feed(self, arrays):
        self._arrays = [torch.tensor(array) for array in arrays]

    def invoke(self):
        self._found = self._module(*self._arrays)

    def outputs(self):
        return [value.numpy() for value in self._found]
'''
NET = """
from torch import nn


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
"""
DATA = """
import numpy as np
random = np.random.default_rng(0)
y = np.arange(160) % 2
x = (random.integers(0, 128, (160, 4, 3)) + 100 * y[:, None, None]).astype(np.float32)
np.savez("train.npz", x=x, y=y)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All of edgekd in a folder of its own, and the two files."""
    root = Path(edgekd.__file__).parents[1]
    shutil.copytree(root / "edgekd", tmp_path / "edgekd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "models", tmp_path / "models")
    (tmp_path / "edgekd/formats/torchprogram.py").write_text(FORMAT, encoding="utf-8")
    (tmp_path / "edgekd/runtimes/torchprogram.py").write_text(RUNTIME, encoding="utf-8")
    return tmp_path


def run(copy: Path, *arguments: str) -> str:
    own = {"PYTHONPATH": str(copy), "XDG_CONFIG_HOME": str(copy / "config"), "EDGEKD_STORE": str(copy / "store")}
    command = [sys.executable, "-m", "edgekd", *arguments]
    done = subprocess.run(command, cwd=copy, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return done.stdout


def test_two_files_are_listed_found_working_and_offered(copy: Path) -> None:
    listed = {row["name"]: row for row in json.loads(run(copy, "list", "targets", "--json"))}
    assert listed["torchprogram"]["about"] == "Programs of torch as they are."
    found = {one["what"]: one for one in json.loads(run(copy, "doctor", "--json"))["findings"]}
    assert {found[f"torchprogram: {side}"]["state"] for side in ("convert", "run")} == {"works"}
    assert "torchprogram" in run(copy, "build", "--help")


@pytest.mark.slow
def test_two_files_ship(copy: Path) -> None:
    (copy / "my_net.py").write_text(NET, encoding="utf-8")
    subprocess.run([sys.executable, "-c", DATA], cwd=copy, check=True)
    arguments = ("my_net:build", "--data", "train.npz", "--target", "as-it-is", "--precision", "float32")
    run(copy, "export", *arguments, "--out", "run", "--store", str(copy / "store"))
    report = json.loads((copy / "run/report.json").read_text(encoding="utf-8"))
    (row,) = [row for row in report["rows"] if row["ships"]]
    assert (row["target"], row["measurement"]["basis"]) == ("torchprogram", "measured")
    assert "sound: every check passed" in run(copy, "verify", "run/torchprogram")
