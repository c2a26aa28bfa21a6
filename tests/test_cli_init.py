"""`edgekd init` as a user runs it: the teacher is tried in a worker, the recipe says what was found, plan takes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.recipes.recipe import load_plan
from edgekd.samples.guesses import IMAGENET_MEAN, IMAGENET_STD
from edgekd.spec import Image
from tests import colours

BGR = Image(size=16, channels="bgr", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])
INIT = ("init", "--teacher", "my_net:build", "--weights", "best.pt", "--data", "photos", "--size", "16")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/, my_net.py and best.pt, a network that learnt from bgr images."""
    folder = tmp_path_factory.mktemp("init")
    torch.set_num_threads(1)
    colours.photos(folder / "photos")
    colours.learnt(folder / "best.pt", BGR)
    return folder


def edgekd(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    here = {"PYTHONPATH": str(Path(__file__).parents[1]), "EDGEKD_STORE": str(place / "store"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "edgekd", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, env=os.environ | here, check=False)


def test_a_fault_is_found_written_and_the_recipe_can_be_planned(place: Path):
    done = edgekd(place, *INIT, "--target", "onnx")
    assert done.returncode == 0, done.stderr
    assert "found: channels are bgr: with rgb " in done.stdout and "next: edgekd plan recipe.toml" in done.stdout
    text = (place / "recipe.toml").read_text(encoding="utf-8")
    assert "# FOUND: channels are bgr" in text and "are right with these settings" in text
    assert load_plan(place / "recipe.toml").teacher.image == BGR
    planned = edgekd(place, "plan", "recipe.toml")
    assert planned.returncode == 0, planned.stderr
    assert "targets: onnx" in planned.stdout

    healthy = ("--channels", "bgr", "--out", "again.toml", "--json")
    told = json.loads(edgekd(place, *INIT, *healthy).stdout)
    assert told["findings"] == [] and told["recipe"] == "again.toml" and told["tried"]["chosen"] == 0
    assert told["tried"]["attempts"][0]["accuracy"]["value"] > 0.9


def test_a_teacher_that_cannot_be_loaded_leaves_no_recipe(place: Path):
    done = edgekd(place, "init", "--teacher", "my_net:biuld", "--data", "photos", "--out", "none.toml")
    assert done.returncode == 2 and "Did you mean 'build'?" in done.stderr and "Traceback" not in done.stderr
    assert not (place / "none.toml").exists()


def test_saved_outputs_are_not_tried_and_that_is_said(place: Path):
    np.savez(place / "saved.npz", train=np.zeros((300, 6), np.float32))
    done = edgekd(place, "init", "--teacher", "saved.npz", "--data", "photos", "--size", "16", "--out", "saved.toml")
    assert done.returncode == 0, done.stderr
    assert "not tried on the data: its saved outputs" in done.stdout
    assert "# The teacher was not tried on the data" in (place / "saved.toml").read_text(encoding="utf-8")
    assert load_plan(place / "saved.toml").teacher.source.name == "saved"
