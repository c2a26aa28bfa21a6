"""Views are a function of seed, sample and view alone; a Feed gives them prepared, cached or not."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.results import PartFiles, Preprocess, Signature, Splits, TensorSpec
from edgekd.runtimes.preprocess import prepare
from edgekd.samples import views
from edgekd.samples.views import Feed, augment
from edgekd.workspace import Workspace

KEY = "ab" * 32


def noise(count: int, side: int = 28, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**40))
def test_a_view_does_not_depend_on_its_batch(order: list[int], count: int, view: int, seed: int) -> None:
    images, rows = noise(12), np.array(order[:count])
    whole = augment(images, np.arange(12), view, seed)
    np.testing.assert_array_equal(augment(images[rows], rows, view, seed), whole[rows])


def test_view_0_is_the_image_itself() -> None:
    images = noise(5)
    np.testing.assert_array_equal(augment(images, np.arange(5), 0, 3), images)


@pytest.mark.parametrize(("side", "reach"), [(28, 2), (14, 1), (8, 0)])
def test_views_are_mirrors_and_small_shifts_with_repeated_edges(side: int, reach: int) -> None:
    image = noise(1, side)[0, :, :, 0]
    seen = set()
    for row in range(300):
        got = augment(image[None, :, :, None], np.array([row]), 1, 7)[0, :, :, 0]
        moves = [
            (mirrored, down, right)
            for mirrored in (False, True)
            for down in range(-reach, reach + 1)
            for right in range(-reach, reach + 1)
            if np.array_equal(got, moved(image, mirrored, down, right))
        ]
        assert len(moves) == 1
        seen.add(moves[0])
    assert len(seen) == 2 * (2 * reach + 1) ** 2


def moved(image: np.ndarray, mirrored: bool, down: int, right: int) -> np.ndarray:
    side = len(image)
    rows, columns = (np.clip(np.arange(side) + by, 0, side - 1) for by in (down, right))
    shifted = image[rows][:, columns]
    return shifted[:, ::-1] if mirrored else shifted


def test_without_mirroring_the_same_views_are_only_shifted() -> None:
    images, rows = noise(60), np.arange(60)
    flipped = views.mirrored(rows, 1, 7)
    both, shifted = augment(images, rows, 1, 7), augment(images, rows, 1, 7, mirror=False)
    assert 15 < flipped.sum() < 45
    np.testing.assert_array_equal(both[~flipped], shifted[~flipped])
    mirrored = augment(images[:, :, ::-1], rows, 1, 7, mirror=False)
    np.testing.assert_array_equal(both[flipped], mirrored[flipped])
    assert not views.mirrored(rows, 0, 7).any()


def test_views_and_seeds_differ() -> None:
    images, rows = noise(50), np.arange(50)
    first = augment(images, rows, 1, 0)
    for other in (augment(images, rows, 2, 0), augment(images, rows, 1, 1)):
        assert (first != other).any(axis=(1, 2, 3)).mean() > 0.9
    mirrored = np.mean([(np.asarray(views._random(np.arange(10_000), v, 0)) & np.uint64(1)).mean() for v in (1, 2)])
    assert abs(mirrored - 0.5) < 0.02


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Workspace, Splits]:
    folder = tmp_path / "entries" / KEY[:2] / KEY
    folder.mkdir(parents=True)
    entry = Workspace(folder, tmp_path / "entries", KEY)
    inputs = {
        "image": entry.save("image.npy", noise(20, 28, 3)),
        "ids": entry.save("ids.npy", np.arange(60).reshape(20, 3)),
        "mask": entry.save("mask.npy", np.arange(60).reshape(20, 3) % 2 == 0),
        "level": entry.save("level.npy", np.linspace(0, 1, 20)),
    }
    labels = entry.save("labels.npy", np.arange(20) % 3 - 1)
    part = PartFiles(inputs=inputs, labels=labels, count=20, labelled=13, digest="")
    splits = Splits(parts={"train": part}, classes=("a", "b"), canvas=28, channels="rgb")
    return Workspace(tmp_path / "work", tmp_path / "entries", "cd" * 32), splits


def signature(size: int) -> Signature:
    wanted = Preprocess(canvas=28, size=size, channels="bgr", filter="box", mean=(0.5,), std=(0.25,))
    inputs = (
        TensorSpec(name="image", shape=(-1, 3, size, size), preprocess=wanted),
        TensorSpec(name="ids", shape=(-1, 3), dtype="int32"),
        TensorSpec(name="mask", shape=(-1, 3), dtype="bool"),
        TensorSpec(name="level", shape=(-1,)),
    )
    return Signature(inputs=inputs, outputs=(TensorSpec(name="logits", shape=(-1, 2)),))


@pytest.mark.parametrize("size", [28, 20])
@pytest.mark.parametrize("room", [0, 512 * 1024**2])
def test_a_feed_gives_prepared_views(
    stored: tuple[Workspace, Splits], size: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "CACHE_BYTES", room)
    feed = Feed(*stored, "train", signature(size), augment=True, seed=4)
    wanted = signature(size).inputs[0].preprocess
    assert wanted is not None and feed.count == 20
    for rows in (np.array([3, 1, 19]), np.arange(20), np.array([1, 1, 3])):
        for view in (0, 2):
            got = feed.batch(rows, view)["image"]
            direct = prepare(augment(noise(20, 28, 3)[rows], rows, view, 4), wanted.model_dump())
            assert got.dtype == np.float32 and got.shape == (3 if len(rows) == 3 else 20, 3, size, size)
            np.testing.assert_array_equal(got, direct)


def test_other_inputs_keep_their_kind_and_have_one_view(stored: tuple[Workspace, Splits]) -> None:
    feed = Feed(*stored, "train", signature(28), augment=True, seed=0)
    batch = feed.batch(np.array([2, 0]), view=3)
    assert {name: values.dtype.name for name, values in batch.items()} == {
        "image": "float32",
        "ids": "int32",
        "mask": "bool",
        "level": "float32",
    }
    np.testing.assert_array_equal(batch["ids"], [[6, 7, 8], [0, 1, 2]])
    assert feed.labels.dtype == np.int64 and feed.labels[:3].tolist() == [-1, 0, 1]


def test_without_augmentation_every_view_is_the_plain_one(stored: tuple[Workspace, Splits]) -> None:
    feed, rows = Feed(*stored, "train", signature(28), augment=False, seed=0), np.arange(20)
    np.testing.assert_array_equal(feed.batch(rows, 3)["image"], feed.batch(rows)["image"])


def test_a_feed_that_must_not_mirror_does_not(stored: tuple[Workspace, Splits]) -> None:
    feed, rows = Feed(*stored, "train", signature(28), augment=True, seed=4, mirror=False), np.arange(20)
    wanted = signature(28).inputs[0].preprocess
    assert wanted is not None
    direct = prepare(augment(noise(20, 28, 3), rows, 2, 4, mirror=False), wanted.model_dump())
    np.testing.assert_array_equal(feed.batch(rows, 2)["image"], direct)


def test_the_cache_of_resized_views_is_bounded(
    stored: tuple[Workspace, Splits], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = 20 * 20 * 20 * 3
    monkeypatch.setattr(views, "CACHE_BYTES", 2 * one + 1)
    feed = Feed(*stored, "train", signature(20), augment=True, seed=0)
    for view in range(4):
        feed.batch(np.arange(20), view)
    assert sum(kept.nbytes for kept, _ in feed._cache.values()) == 2 * one
