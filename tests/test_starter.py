"""The recipe that init writes: it loads, says what was found, and guesses images from what it can see."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.commands.starter import Start, compose, first_image
from edgekd.errors import UsageError
from edgekd.recipes.recipe import load_plan
from edgekd.results import Attempt, Finding, Interval, Tried
from edgekd.spec import Image

IMAGENET = Image(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HALF = Image(size=32, channels="bgr", mean=(0.5,), std=(0.5,))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("dog", "cat"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    (tmp_path / "nets").mkdir()
    for name in ("nets/my_net.py", "teacher.onnx", "outputs.npz", "best.pt"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def start(**more: object) -> Start:
    return Start(**{"teacher": "nets.my_net:build", "data": "photos", "image": IMAGENET, "weights": "best.pt", **more})


def tried(**more: object) -> Tried:
    share = Interval(value=0.93, low=0.9, high=0.95)
    attempts = (Attempt(name="a", image=HALF, samples=400, accuracy=share, reordered=share),)
    return Tried(
        **{"samples": 400, "classes": ("cat", "dog"), "image": HALF, "attempts": attempts, "chosen": 0, **more}
    )


def test_what_was_found_is_written_and_said(place: Path) -> None:
    finding = Finding(about="accuracy", message="no better\x1b than chance", fix="Check it\n[evil]")
    text = compose(start(), place / "recipe.toml", tried(order=("dog", "cat"), findings=(finding,), notes=("so so",)))
    (place / "recipe.toml").write_text(text, encoding="utf-8")
    plan = load_plan(place / "recipe.toml")
    assert plan.teacher.image == HALF and plan.student.image and plan.student.image.channels == "bgr"
    assert plan.data.source.settings["classes"] == ["dog", "cat"]
    assert "# Tried on 400 labelled training samples: 93 % (90 to 95) are right with these settings." in text
    assert "# FOUND: no better than chance. Check it [evil]" in text and "# Note: so so." in text


@pytest.mark.parametrize("teacher", ["nets.my_net:build", "teacher.onnx", "outputs.npz"])
@pytest.mark.parametrize("folder", [".", "recipes/deep"])
def test_every_teacher_and_any_place_gives_a_recipe_that_loads(place: Path, teacher: str, folder: str) -> None:
    recipe = place / folder / "recipe.toml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    weights = "best.pt" if ":" in teacher else ""
    if ":" in teacher and folder != ".":
        return  # code lies beside or below its recipe
    recipe.write_text(compose(start(teacher=teacher, weights=weights), recipe), encoding="utf-8")
    plan = load_plan(recipe)
    assert plan.teacher.image == (None if teacher.endswith("npz") else IMAGENET)
    assert "# The teacher was not tried on the data." in recipe.read_text(encoding="utf-8")


def test_names_of_any_kind_are_quoted(place: Path) -> None:
    odd = 'ph"o\\t os'
    (place / odd / "a").mkdir(parents=True)
    (place / "recipe.toml").write_text(compose(start(data=odd), place / "recipe.toml"), encoding="utf-8")
    assert Path(load_plan(place / "recipe.toml").data.source.files["folder"].path).name == odd


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((9, 28, 28), np.uint8, Image(size=28, channels="gray", mean=(0.449,), std=(0.226,))),
        ((9, 40, 32, 3), np.uint8, IMAGENET.model_copy(update={"size": 32})),
        ((9, 28, 28), np.float32, None),
        ((9, 6), np.int64, None),
    ],
)
def test_images_in_arrays_are_recognised(place: Path, shape: tuple[int, ...], dtype: type, expected: Image) -> None:
    np.savez(place / "data.npz", x=np.zeros(shape, dtype), y=np.zeros(9, np.int64))
    assert first_image("data.npz", None, None, None, None) == expected


def test_what_the_user_says_of_images_counts() -> None:
    assert first_image("photos", None, None, None, None) == IMAGENET
    assert first_image("nothing.npz", None, None, None, None) is None
    assert first_image("photos", 32, "bgr", "0.5", "0.5") == HALF
    turned = first_image("photos", None, "bgr", None, None)
    assert turned and turned.mean == (0.406, 0.456, 0.485)
    for mean, std, flag in (("0.5", None, "--std"), (None, "1", "--mean"), ("1", "0", "--std"), ("1,2", "1", "--mean")):
        with pytest.raises(UsageError, match=flag):
            first_image("photos", None, None, mean, std)
