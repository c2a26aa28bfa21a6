"""Bad input through the real command: status 2 (1 where a step failed), no traceback, and what to do about it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.e2e import toy

PICTURES = """
[data]
folder = "photos"
validation = 12
calibration = 4
[teacher]
make = "my_net:build"
image = { size = 8, channels = "gray" }
[student]
family = "convnet"
"""
PICTURE_NET = """
from torch import nn


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
"""
# Learns for a while, then divides by zero: from the third epoch on the loss is NaN.
FAILING = toy.NET.replace("return self.head(", "return self.spoil() * self.head(").replace(
    "    def forward",
    "    steps = 0\n\n    def spoil(self):\n        self.steps += self.training\n"
    "        return float('nan') if self.steps > 70 else 1.0\n\n    def forward",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder to build in."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def refused(home: Path, recipe: Path, *flags: str, status: int = 2) -> str:
    """What the command says that ends with `status`; no run is left behind."""
    told, said = toy.build(recipe, home, *flags)
    assert told == status, said
    assert "Traceback" not in said
    assert "this is a bug" not in said
    assert not (home / "run").exists()
    return said


def test_every_mistake_of_recipe_and_flags_is_told_at_once(home: Path, tmp_path: Path) -> None:
    page = toy.RECIPE.replace("validation =", "validaton =").replace("teacher.safetensors", "gone.safetensors")
    page = page.replace("epochs = 30", "epochs = 0").replace("[student]", "[student]\nsearch = 3")
    page += (
        '[[target]]\nformat = "onx"\nmax_latency = "20msec"\nmax_size = "0KiB"\nmax_params = -5\nmax_drop = "-1pp"\n'
    )
    recipe = toy.write(tmp_path / "task", page)
    done = toy.ask("build", str(recipe), "--effort", "quik", "--max-time", "10parsecs", home=home)
    assert done.returncode == 2
    assert done.stdout == ""
    for place, value, advice in [
        ("[data] validaton", "is not a known key", "Did you mean 'validation'?"),
        ("[teacher] weights", "gone.safetensors", ""),
        ("[student] search", "3", ""),
        ("[train] epochs", "0 must be at least 1", ""),
        ("format", "'onx'", "Did you mean 'onnx'?"),
        ("max_latency", "20msec", "Did you mean 20ms?"),
        ("max_size", "'0KiB' must be above zero", ""),
        ("max_params", "-5", "above zero"),
        ("max_drop", "-1pp", ""),
        ("--effort", "'quik'", "Did you mean 'quick'?"),
        ("--max-time", "10parsecs", ""),
    ]:
        assert any(place in line and value in line and advice in line for line in done.stderr.splitlines()), (
            place,
            done.stderr,
        )
    in_the_page = [line for line in done.stderr.splitlines() if "--" not in line.partition(":")[0]]
    assert all(str(recipe) in line or "toy.toml" in line for line in in_the_page if line.strip()), done.stderr
    assert not (home / "store").exists()


def test_weights_of_another_checksum_are_refused_before_anything_is_spent(home: Path, tmp_path: Path) -> None:
    weights = 'weights = "teacher.safetensors"'
    recipe = toy.write(tmp_path / "task", toy.RECIPE.replace(weights, f'{weights}\nsha256 = "{"0" * 64}"'))
    said = refused(home, recipe)
    assert "toy.toml: [teacher] sha256" in said and "teacher.safetensors has another sha256" in said
    assert "get it again, or correct the sha256" in said
    assert not (home / "store").exists()


def test_a_teacher_of_other_classes_than_the_data(home: Path, tmp_path: Path) -> None:
    recipe = toy.write(tmp_path / "task", y=np.arange(320) % 4)
    said = refused(home, recipe)
    assert "teacher" in said and "3 classes" in said and "the data has 4" in said
    assert "Teacher and data must have the same classes in the same order" in said


def test_a_class_without_samples_is_named(home: Path, tmp_path: Path) -> None:
    page = toy.RECIPE.replace('arrays = "toy.npz"', 'arrays = "toy.npz"\nclasses = ["a", "b", "c", "okapi"]')
    said = refused(home, toy.write(tmp_path / "task", page))
    assert "okapi" in said and "no labelled training sample" in said


def photos(folder: Path) -> Path:
    """A recipe for 160 images of noise, one of them cut short."""
    recipe = toy.write(folder, PICTURES, PICTURE_NET)
    random = np.random.default_rng(0)
    for number in range(160):
        path = folder / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (9, 11), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    return recipe


def test_an_image_that_does_not_decode_is_named_and_skipped_only_when_told(home: Path, tmp_path: Path) -> None:
    recipe = photos(tmp_path / "task")
    said = refused(home, recipe)
    assert "photos/dog/159.png" in said and "--skip-bad" in said
    done = toy.ask("plan", str(recipe), *toy.BUDGET, "--skip-bad", home=home)
    assert "159.png" in done.stdout, done.stderr
    assert done.returncode in (0, 3)  # 3: no student is so small


def test_a_loss_of_nan_stops_says_where_and_keeps_the_last_good_weights(
    finished: Path, home: Path, tmp_path: Path
) -> None:
    toy.copy(finished / "store", home)  # the teacher has labelled these samples already
    shutil.copytree(finished / "task", tmp_path / "task")
    (tmp_path / "task/my_student.py").write_text(FAILING, encoding="utf-8")
    page = toy.RECIPE.replace('[student]\nmake = "my_net:build"', '[student]\nmake = "my_student:build"')
    recipe = tmp_path / "task/toy.toml"
    recipe.write_text(page, encoding="utf-8")
    said = refused(home, recipe, status=1)
    assert "train failed: The loss became nan at step 71 of " in said
    assert "Try a learning rate of" in said
    kept = Path(said.partition("The last good weights, of step ")[2].partition(" are in ")[2].partition(". Try")[0])
    weights = load_file(kept)
    assert set(weights) == {"words.weight", "hidden.weight", "hidden.bias", "head.weight", "head.bias"}
    assert all(np.isfinite(value).all() and value.any() for value in weights.values())


def test_a_missing_extra_is_one_sentence_with_the_pip_line(finished: Path, home: Path, tmp_path: Path) -> None:
    """onnxruntime is installed here; a hook that every Python process runs at its start makes it be absent."""
    hook = tmp_path / "hook/sitecustomize.py"
    hook.parent.mkdir()
    hook.write_text(
        "import sys\nfrom importlib import metadata\n\nfound = metadata.distribution\n\n\n"
        "def distribution(name):\n    if name == 'onnxruntime':\n        raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n\n\nmetadata.distribution = distribution\nsys.modules['onnxruntime'] = None\n",
        encoding="utf-8",
    )
    environment = toy.environment(home)
    paths = [str(hook.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = ":".join(filter(None, paths))
    recipe = finished / "task/toy.toml"
    done = toy.ask("build", str(recipe), *toy.BUDGET, "--out", str(home / "run"), home=home, env=environment)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "onnxruntime is not installed" in line and "Run: pip install 'edgekd[onnx]'" in line
    assert not (home / "run").exists()
