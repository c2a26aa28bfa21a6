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


def write(folder: Path, samples: np.ndarray) -> tuple[pictures.Picture, ...]:
    channels = "gray" if samples.shape[3] == 1 else "rgb"
    numbers = [0.5] * samples.shape[3]
    plain = {"canvas": samples.shape[1], "size": samples.shape[1], "filter": "bilinear", "layout": "NCHW"}
    return pictures.write(folder, samples, plain | {"channels": channels, "mean": numbers, "std": numbers})[0]


def decoded(path: Path, samples: np.ndarray, filter: str = "bilinear") -> np.ndarray:
    channels = "gray" if samples.shape[3] == 1 else "rgb"
    return preprocess.decode(path, samples.shape[1], channels, filter).astype(int)


def test_they_are_what_they_say(tmp_path: Path, samples: np.ndarray) -> None:
    written = {picture.file: picture for picture in write(tmp_path, samples)}
    with Image.open(tmp_path / "odd-size.png") as image:
        assert image.width % 2 and image.height % 2 and min(image.size) > samples.shape[1]
        assert written["odd-size.png"].exact and image.mode == "RGB"
        size = image.size
    with Image.open(tmp_path / "turned.jpg") as image:
        assert image.format == "JPEG" and image.getexif()[0x0112] == 6 and image.size == size[::-1]
    with Image.open(tmp_path / "alpha.png") as image:
        assert image.mode == "RGBA" and image.getextrema()[3][0] < 100


def test_the_turned_picture_is_one_of_the_samples(tmp_path: Path, samples: np.ndarray) -> None:
    write(tmp_path, samples)
    shown, gaps = decoded(tmp_path / "turned.jpg", samples), []
    for sample in samples:
        Image.fromarray(pictures.enlarge(sample)).save(tmp_path / "upright.png")
        gaps.append(np.abs(shown - decoded(tmp_path / "upright.png", samples)).mean())
    assert min(gaps) < 1.5, "JPEG loses a little, a forgotten rotation would lose far more"


@pytest.mark.parametrize("filter", ["bicubic", "lanczos", "box"])
def test_another_filter_gives_another_canvas(tmp_path: Path, samples: np.ndarray, filter: str) -> None:
    write(tmp_path, samples)
    for name in ("odd-size.png", "alpha.png"):
        assert (decoded(tmp_path / name, samples, filter) != decoded(tmp_path / name, samples)).mean() > 0.2


def test_the_same_samples_give_the_same_bytes(tmp_path: Path, samples: np.ndarray) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        write(folder, samples)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_small_canvas_gives_61_by_83() -> None:
    assert pictures.enlarge(np.zeros((28, 28, 1), np.uint8)).shape == (61, 83, 3)
