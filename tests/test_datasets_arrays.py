"""Samples from .npz files, and every mistake in them at once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.datasets import arrays
from edgekd.errors import UsageError
from edgekd.plugins import Canvas, Source

GRAY = Canvas(8, "gray", "bilinear")


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def read(canvas: Canvas | None = GRAY, classes: tuple[str, ...] = (), **paths: Path) -> Source:
    settings = arrays.Settings(**{name: path.name for name, path in paths.items()}, classes=classes)
    return arrays.read(settings, paths, canvas, False)


def saved(path: Path, **named: object) -> Path:
    np.savez(path, **named)  # type: ignore[arg-type]
    return path


def mistakes(**asked: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(**asked)  # type: ignore[arg-type]
    return str(caught.value)


def test_images_of_the_canvas_are_taken_as_they_are(tmp_path: Path) -> None:
    image = images(4, 8, 8)
    train = saved(tmp_path / "a.npz", image=image, y=np.array([0, 1, 2, -5], np.int8))
    got = read(train=train, test=saved(tmp_path / "b.npz", image=image[:2], y=np.array([1, 0])))
    np.testing.assert_array_equal(got.train.inputs["image"][..., 0], image)
    assert got.train.labels.tolist() == [0, 1, 2, -1] and got.train.labels.dtype == np.int64
    assert got.classes == ("0", "1", "2")
    assert got.test is not None and got.test.labels.tolist() == [1, 0]


def test_other_sizes_are_resized_and_cut_like_files(tmp_path: Path) -> None:
    image = images(3, 16, 20, 3)
    got = read(Canvas(8, "rgb", "bicubic"), train=saved(tmp_path / "a.npz", image=image, y=np.zeros(3, int)))
    expected = Image.fromarray(image[1]).resize((10, 8), Image.Resampling.BICUBIC).crop((1, 0, 9, 8))
    np.testing.assert_array_equal(got.train.inputs["image"][1], np.asarray(expected))


@pytest.mark.parametrize(("channels", "count"), [("gray", 1), ("rgb", 3)])
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3)])
def test_channels_are_those_of_the_canvas(tmp_path: Path, channels: str, count: int, shape: tuple[int, ...]) -> None:
    train = saved(tmp_path / "a.npz", x=images(3, *shape), y=np.zeros(3, int))
    assert read(Canvas(8, channels, "box"), train=train).train.inputs["image"].shape == (3, 8, 8, count)


def test_without_labels_samples_are_unlabelled_and_a_transfer_set_is_appended(tmp_path: Path) -> None:
    train = saved(tmp_path / "a.npz", image=images(3, 8, 8), y=np.array([1, 0, 1]))
    more = saved(tmp_path / "u.npz", image=images(2, 9, 8))
    assert read(train=train, unlabelled=more).train.labels.tolist() == [1, 0, 1, -1, -1]
    assert read(train=more, classes=("cat", "dog")).train.labels.tolist() == [-1, -1]


def test_ids_masks_and_floats_pass_as_they_are(tmp_path: Path) -> None:
    given = {
        "ids": np.arange(12).reshape(4, 3).astype(np.int32),
        "mask": np.arange(12).reshape(4, 3) % 2 == 0,
        "level": np.linspace(0, 1, 4),
    }
    got = read(None, train=saved(tmp_path / "a.npz", **given, y=np.array([0, 1, 0, 1]))).train
    assert list(got.inputs) == list(given)
    for name, values in given.items():
        assert got.inputs[name].dtype == values.dtype
        np.testing.assert_array_equal(got.inputs[name], values)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    train = saved(
        tmp_path / "a.npz", image=images(3, 8, 8) / 255, y=np.zeros((3, 2), np.int64), level=np.array([1, np.nan, 2])
    )
    test = saved(tmp_path / "b.npz", image=images(3, 8, 8), level=np.zeros(2))
    text = mistakes(train=train, test=test)
    for part in ("a.npz", "b.npz", "float64 (3, 8, 8) are not images", "labels are int64 (3, 2)", "rows 1"):
        assert part in text
    assert "image 3, level 2" in text and "test samples need labels" in text and "not scaled" in text


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"y": np.zeros(3, int)}, "no input array"),
        ({"ids": np.zeros(3, int)}, "images are wanted, but the arrays are ids"),
        ({"image": images(0, 8, 8)}, "no samples"),
        ({"image": images(2, 8, 8), "a-b": np.zeros(2)}, "letters, digits and _"),
        ({"image": images(2, 8, 8), "a": np.array(["x", "y"])}, "is not an input"),
        ({"image": images(2, 8, 8, 4)}, "are not images"),
    ],
)
def test_arrays_that_cannot_be_samples(tmp_path: Path, named: dict[str, np.ndarray], message: str) -> None:
    assert message in mistakes(train=saved(tmp_path / "a.npz", **named))


def test_parts_that_do_not_fit_each_other(tmp_path: Path) -> None:
    train = saved(tmp_path / "a.npz", ids=np.zeros((3, 4), int), y=np.array([0, 5, 1]))
    other = saved(tmp_path / "b.npz", words=np.zeros((3, 4), int), y=np.array([0, 1, 1]))
    assert "its arrays are words; those of the training samples are ids" in mistakes(
        canvas=None, train=train, test=other
    )
    shorter = saved(tmp_path / "c.npz", ids=np.zeros((3, 2), np.int32), y=np.array([0, 1, -1]))
    text = mistakes(canvas=None, train=train, test=shorter)
    assert "1 test samples have no label" in text
    labelled = saved(tmp_path / "d.npz", ids=np.zeros((3, 2), np.int32), y=np.array([0, 1, 1]))
    assert "int32 (2,) a sample, but int64 (4,)" in mistakes(canvas=None, train=train, test=labelled)
    assert "unlabelled samples have labels" in mistakes(canvas=None, train=train, unlabelled=train)
    text = mistakes(canvas=None, train=train, classes=("a", "a"))
    assert "a label is 5, but there are 2 classes" in text and "the same name" in text
    stray = saved(tmp_path / "e.npz", ids=np.zeros((3, 2), int), y=np.array([0, 1, 2**40]))
    assert "a label is 1099511627776, but there are 3 labels in all" in mistakes(canvas=None, train=stray)


def test_files_that_are_not_npz_or_hold_pickles(tmp_path: Path) -> None:
    pickled = tmp_path / "p.npz"
    np.savez(pickled, image=np.array([{"a": 1}], object))
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "text.npz").write_text("hello")
    for name in ("p.npz", "one.npy", "bad.npz", "text.npz"):
        assert "cannot be read as .npz" in mistakes(train=tmp_path / name)
    text = mistakes(train=tmp_path / "gone.npz", test=pickled)
    assert "gone.npz): there is no such file" in text and "p.npz): cannot be read" in text
