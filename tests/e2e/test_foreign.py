"""As a new user would: data that are not the default, a teacher from the user's own file, a recipe written by hand."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import nn

from tests.e2e import toy

NET = """
from torch import nn


def build(side, channels=3, classes=3):
    layers = [nn.Conv2d(channels, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * side**2, classes))
"""
TRAIN = """
[train]
trial_epochs = 2
epochs = 6
views = 2
candidates = 3
distill = [[1.0, 0.9]]
control = [[1.0, 1.0]]
"""
LETTERS = """
[data]
folder = "letters"           # class per sub-folder
test = "letters_test"
validation = 40
calibration = 24

[teacher]
make = "my_net:build"
arguments = { side = 24, channels = 1 }
weights = "best.pt"
image = { size = 24, channels = "gray", mean = [0.5], std = [0.25] }

[student]
family = "convnet"
width = 8
depth = 1
expansion = 1
"""
SHAPES = """
[data]
folder = "photos"
test = "photos_test"
validation = 60
calibration = 24

[teacher]
make = "my_net:build"
arguments = { side = 40 }
weights = "best.pt"
image = { size = 40, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }

[student]
family = "convnet"
image = { size = 24 }
depth = 1

[[target]]
format = "tflite"
precision = "float32"
max_size = "9KiB"

[[target]]
format = "onnx"
precision = "float32"
"""


def letter(name: str, number: int, random: np.random.Generator) -> Image.Image:
    """b and d, which are each other's mirror images, and x; gray, with noise."""
    image = Image.new("L", (24, 24), 30)
    place = tuple(int(v) for v in random.integers(4, 9, 2))
    ImageDraw.Draw(image).text(place, name, 220, ImageFont.load_default(18), anchor="lt")
    noisy = np.asarray(image, np.float32) + random.normal(0, 12, (24, 24))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def shape(name: str, number: int, random: np.random.Generator) -> Image.Image:
    """Coloured stripes, checks or a disc in an image of odd sides, with noise."""
    width, height = (int(v) for v in random.integers(45, 90, 2))
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    period = int(random.integers(8, 14))
    drawn = {
        "checks": (across // period + down // period) % 2 == 0,
        "disc": (across - width / 2) ** 2 + (down - height / 2) ** 2 < (min(width, height) / 3) ** 2,
        "stripes": (across + (-1) ** number * down) // period % 2 == 0,
    }[name]
    colours = random.integers(0, 256, (2, 3))
    colours[1] = (colours[0] + 128) % 256
    pixels = colours[drawn.astype(int)] + random.normal(0, 8, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def save(image: Image.Image, stem: Path, number: int) -> None:
    """PNG and JPEG; some are stored turned, with the EXIF orientation that says so, some with an alpha channel."""
    if image.mode == "L" or number % 4 == 0:
        image.save(stem.with_suffix(".png"))
    elif number % 4 == 1:
        image.save(stem.with_suffix(".jpg"), quality=90)
    elif number % 4 == 2:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(stem.with_suffix(".JPEG"), quality=90, exif=exif.tobytes())
    else:
        image.putalpha(250)
        image.save(stem.with_suffix(".png"))


def draw(folder: Path, make: Callable[..., Image.Image], classes: tuple[str, ...], counts: dict[str, int]) -> None:
    random = np.random.default_rng(7)
    for part, count in counts.items():
        for name in classes:
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                save(make(name, number, random), place / f"{number:03d}", number)


def read(folder: Path, size: int, mode: str, mean: list[float], std: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as a user's own training script reads them: (N, C, size, size), and class numbers by sorted names."""
    images, labels = [], []
    for label, place in enumerate(sorted(folder.iterdir())):
        for path in sorted(place.iterdir()):
            with Image.open(io.BytesIO(path.read_bytes())) as opened:
                upright = ImageOps.exif_transpose(opened)
            images.append(np.array(ImageOps.fit(upright.convert(mode), (size, size), Image.Resampling.BILINEAR)))
            labels.append(label)
    pixels = np.stack(images).reshape(len(images), size, size, -1)
    values = (pixels / 255 - np.array(mean)) / np.array(std)
    return torch.tensor(values.transpose(0, 3, 1, 2), dtype=torch.float32), torch.tensor(labels)


def train(folder: Path, images: torch.Tensor, labels: torch.Tensor) -> None:
    """The user's own training: a few epochs, saved as many scripts do, wrapped and with the names of DataParallel."""
    torch.manual_seed(0)
    (folder / "my_net.py").write_text(NET, encoding="utf-8")
    space: dict[str, Callable[..., nn.Module]] = {}
    exec(NET, space)  # the very file that the recipe names
    network = space["build"](images.shape[-1], images.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(20):
        for rows in torch.randperm(len(images)).split(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 20, "state_dict": state}, folder / "best.pt")


@pytest.mark.long
def test_digits_like_data_to_tflite_and_onnx_and_the_mirror_is_noticed(tmp_path: Path) -> None:
    draw(tmp_path, letter, ("b", "d", "x"), {"letters": 90, "letters_test": 40})
    train(tmp_path, *read(tmp_path / "letters", 24, "L", [0.5], [0.25]))
    (tmp_path / "letters.toml").write_text(LETTERS + TRAIN, encoding="utf-8")
    done = toy.ask("build", "letters.toml", "--target", "tflite,onnx", "--out", "run", home=tmp_path, timeout=580)
    assert done.returncode == 0, done.stderr
    told = toy.report(tmp_path)
    assert told["status"] == "fits" and set(told["bundles"]) == {"tflite", "onnx"}
    teachers = [row for row in told["rows"] if row["role"] == "teacher"]
    assert len(teachers) == 2
    assert all(row["score"]["accuracy"]["value"] > 0.95 and row["score"]["agreement"] > 0.995 for row in teachers)
    ships = [row for row in told["rows"] if row["ships"]]
    assert all(row["score"]["accuracy"]["value"] > 0.5 and row["score"]["parity"]["passed"] for row in ships)
    assert any("write mirror = false under [train]" in note for note in told["notes"])
    for target in ("tflite", "onnx"):
        checked = toy.ask("verify", f"run/{target}", home=tmp_path)
        assert checked.returncode == 0, checked.stdout
    assert "edgekd build letters.toml --target tflite --target onnx" in (tmp_path / "run/report.md").read_text()

    (tmp_path / "letters.toml").write_text(LETTERS + TRAIN + "mirror = false\n", encoding="utf-8")
    ahead = toy.ask("plan", "letters.toml", "--target", "tflite", home=tmp_path)
    assert ahead.returncode == 0 and "shifted a little, never mirrored" in ahead.stdout


@pytest.mark.long
def test_a_colour_folder_of_all_kinds_of_files_and_a_limit_that_binds(tmp_path: Path) -> None:
    draw(tmp_path, shape, ("checks", "disc", "stripes"), {"photos": 120, "photos_test": 40})
    imagenet = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    train(tmp_path, *read(tmp_path / "photos", 40, "RGB", *imagenet))
    (tmp_path / "shapes.toml").write_text(SHAPES + TRAIN, encoding="utf-8")
    done = toy.ask("build", "shapes.toml", "--out", "run", home=tmp_path, timeout=580)
    assert done.returncode == 0, done.stderr
    told = toy.report(tmp_path)
    ships, twin = [row for row in told["rows"] if row["ships"]]
    assert (ships["target"], twin["target"]) == ("tflite", "onnx") and ships["size"] == twin["size"]
    assert ships["precision"] == "float32" and ships["artifact"]["size"] <= 9 * 1024
    over = [one for one in told["candidates"] if not one["fits"]]
    assert over and all("tflite size" in one["why"] and one["validation_accuracy"] is None for one in over)
    assert ("tflite size" in told["binds"]) or "no better on the validation part" in told["binds"]
    (inputs,) = ships["artifact"]["signature"]["inputs"]
    assert (inputs["preprocess"]["size"], inputs["preprocess"]["canvas"]) == (24, 40)
    teachers = [row["score"] for row in told["rows"] if row["role"] == "teacher"]
    assert all(one["accuracy"]["value"] > 0.75 and one["agreement"] > 0.99 for one in teachers)
    assert all(toy.ask("verify", f"run/{name}", home=tmp_path).returncode == 0 for name in ("tflite", "onnx"))
