from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.runtimes import preprocess
from edgekd.samples import pictures


@pytest.fixture(params=[(28, 1), (96, 3)], ids=["gray 28", "colour 96"])
def samples(request: pytest.FixtureRequest) -> np.ndarray:
    canvas, channels = request.param
    rows, columns = np.indices((canvas, canvas))
    plain = 255 * rows / canvas + 60 * (columns > canvas // 3)
    stack = [np.roll(np.repeat(plain[..., None], channels, 2), n, axis=1) for n in range(4)]
    return np.clip(stack, 0, 255).astype(np.uint8)


def decoded(path: Path, samples: np.ndarray, filter: str = "bilinear") -> np.ndarray:
    channels = "gray" if samples.shape[3] == 1 else "rgb"
    return preprocess.decode(path, samples.shape[1], channels, filter).astype(int)


def test_they_are_what_they_say(tmp_path: Path, samples: np.ndarray) -> None:
    written = {picture.file: picture for picture in pictures.write(tmp_path, samples)}
    with Image.open(tmp_path / "odd-size.png") as image:
        assert image.width % 2 and image.height % 2 and min(image.size) > samples.shape[1]
        assert written["odd-size.png"].shows == f"{image.width} x {image.height} pixels"
        size = image.size
    with Image.open(tmp_path / "turned.jpg") as image:
        assert image.format == "JPEG" and image.getexif()[0x0112] == 6 and image.size == size[::-1]
    with Image.open(tmp_path / "alpha.png") as image:
        assert image.mode == "RGBA" and image.getextrema()[3][0] < 100


def test_the_turned_picture_is_the_same_picture(tmp_path: Path, samples: np.ndarray) -> None:
    pictures.write(tmp_path, samples)
    gap = np.abs(decoded(tmp_path / "turned.jpg", samples) - decoded(tmp_path / "odd-size.png", samples))
    assert gap.mean() < 1.5, "JPEG loses a little, a forgotten rotation would lose far more"


@pytest.mark.parametrize("filter", ["bicubic", "lanczos", "box"])
def test_another_filter_gives_another_canvas(tmp_path: Path, samples: np.ndarray, filter: str) -> None:
    pictures.write(tmp_path, samples)
    for name in ("odd-size.png", "alpha.png"):
        assert (decoded(tmp_path / name, samples, filter) != decoded(tmp_path / name, samples)).mean() > 0.2


def test_the_same_samples_give_the_same_bytes(tmp_path: Path, samples: np.ndarray) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        pictures.write(folder, samples)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_small_canvas_gives_61_by_83() -> None:
    assert pictures.enlarge(np.zeros((28, 28, 1), np.uint8)).shape == (61, 83, 3)
