from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgekd.runtimes import preprocess
from edgekd.runtimes.fault import Fault
from edgekd.runtimes.tensors import CHUNK, Samples, cast, decode, encode, match, pad
from tests import tiny

INT8 = {"name": "x", "shape": [-1, 2], "dtype": "int8", "scale": 0.1, "zero_point": 4}


def stored(folder: Path, **more: Any) -> dict[str, Any]:
    """A request over the tiny samples, as files in `folder`."""
    for name, values in tiny.samples().items():
        np.save(folder / f"{name}.npy", values)
    return {"inputs": {name: f"{name}.npy" for name in tiny.samples()}, **more}


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=20))
def test_quantized_inputs_come_back_within_half_a_step_or_clipped(rows: list[tuple[float, float]]) -> None:
    values = np.array(rows, np.float32)
    steps = encode(values, INT8)
    assert steps.dtype == np.int8
    kept = np.clip(values, (-128 - 4) * 0.1, (127 - 4) * 0.1)
    assert np.abs(decode(steps, INT8) - kept).max() <= 0.05 + 1e-5


def test_samples_that_are_quantized_already_are_left_alone() -> None:
    steps = np.array([[1, -2]], np.int8)
    assert encode(steps, INT8).tolist() == [[1, -2]]


def test_ids_change_width_but_never_become_rounded_numbers() -> None:
    spec = {"name": "ids", "shape": [1, 2], "dtype": "int32"}
    assert encode(np.array([[1, 2]]), spec).dtype == np.int32
    with pytest.raises(Fault, match="the input ids is int32, without a scale, but the samples are float32"):
        encode(np.zeros((1, 2), np.float32), spec)
    assert encode(np.array([[1, 0]]), {**spec, "dtype": "float32"}).dtype == np.float32


@pytest.mark.parametrize("shape", [(4, 3), (4,), (4, 2, 1)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Fault, match=r"the input x has shape \(N, 2\), the samples \(4"):
        encode(np.zeros(shape, np.float32), {"name": "x", "shape": [-1, 2], "dtype": "float32"})


def test_open_dimensions_take_any_length() -> None:
    assert encode(np.zeros((1, 9)), {"name": "x", "shape": [-1, -1], "dtype": "float32"}).shape == (1, 9)


def test_a_small_batch_is_filled_with_its_last_sample() -> None:
    (full,) = pad([np.array([[1], [2]])], 4)
    assert full.tolist() == [[1], [2], [2], [2]]
    (same,) = pad([full], 4)
    assert same is full


@pytest.mark.parametrize(
    ("wanted", "own", "indices"),
    [(["b", "a"], ["a", "b"], [1, 0]), (["a"], ["a", "b"], [0]), (["ids", "mask"], ["args_0", "args_1"], [0, 1])],
)
def test_names_are_matched_and_foreign_names_go_by_position(
    wanted: list[str], own: list[str], indices: list[int]
) -> None:
    assert match(wanted, own, "inputs") == indices


@pytest.mark.parametrize("own", [["a", "c"], ["c"], ["c", "d", "e"]])
def test_half_known_names_are_never_guessed(own: list[str]) -> None:
    with pytest.raises(Fault, match=r"the signature's inputs \(a, b\) are not those of the file"):
        match(["a", "b"], own, "inputs")


def test_a_file_of_another_kind_of_number_than_its_signature_is_refused() -> None:
    assert cast(np.array([1]), np.int32, "ids").dtype == np.int32
    with pytest.raises(Fault, match="the input x of the file is int8, the signature says float32"):
        cast(np.zeros(1, np.float32), np.int8, "x")


def test_images_are_prepared_and_other_inputs_are_not(tmp_path: Path) -> None:
    request = stored(tmp_path, signature=tiny.signature("image"))
    (prepared,) = Samples(request, tmp_path).prepare(2, 5)
    assert np.array_equal(prepared, preprocess.prepare(tiny.samples()["image"][2:5], tiny.PREPROCESS))
    ids, mask = Samples({**request, "signature": tiny.signature("text", ids="int32")}, tmp_path).prepare(0, 7)
    assert np.array_equal(ids, tiny.samples()["ids"])
    assert mask.dtype == np.int32


def test_prepared_samples_are_taken_as_they_are(tmp_path: Path) -> None:
    ready = preprocess.prepare(tiny.samples()["image"], tiny.PREPROCESS)
    np.save(tmp_path / "ready.npy", ready)
    request = {"signature": tiny.signature("image"), "inputs": {"image": "ready.npy"}, "prepared": True}
    (inputs,) = Samples(request, tmp_path).prepare(0, 7)
    assert np.array_equal(inputs, ready)


def test_inputs_are_the_runtimes_own_to_write(tmp_path: Path) -> None:
    """OpenVINO refuses memory that it could not write, such as a mapped file's."""
    np.save(tmp_path / "ids.npy", tiny.samples()["ids"])
    np.save(tmp_path / "mask.npy", tiny.samples()["mask"])
    request = {"signature": tiny.signature("text"), "inputs": {"ids": "ids.npy", "mask": "mask.npy"}}
    assert all(array.flags.writeable for array in Samples(request, tmp_path).prepare(0, 3))


def test_encoded_images_go_the_same_way_as_stored_ones(tmp_path: Path) -> None:
    for i, image in enumerate(tiny.samples()["image"]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    request = {"signature": tiny.signature("image"), "files": [f"{i}.png" for i in range(7)]}
    samples = Samples(request, tmp_path)
    assert samples.count == 7
    assert np.array_equal(samples.prepare(1, 4)[0], preprocess.prepare(tiny.samples()["image"][1:4], tiny.PREPROCESS))


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    samples = Samples({"signature": tiny.signature("image"), "files": ["broken.png"]}, tmp_path)
    with pytest.raises(Fault, match=r"broken\.png: not a readable"):
        samples.prepare(0, 1)


def test_images_cannot_be_fed_to_ids(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="one input that is an image"):
        Samples({"signature": tiny.signature("text"), "files": ["a.png"]}, tmp_path)


def test_missing_uneven_and_unreadable_samples_are_refused(tmp_path: Path) -> None:
    request = stored(tmp_path, signature=tiny.signature("text"))
    with pytest.raises(Fault, match="no samples for the input mask; given: ids"):
        Samples({**request, "inputs": {"ids": "ids.npy"}}, tmp_path)
    np.save(tmp_path / "mask.npy", np.ones((3, 5), np.int64))
    with pytest.raises(Fault, match=r"same number of samples, at least one: \[3, 7\]"):
        Samples(request, tmp_path)
    np.save(tmp_path / "mask.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(Fault, match=r"mask\.npy is not a readable \.npy file"):
        Samples(request, tmp_path)
    np.save(tmp_path / "mask.npy", np.int64(3))
    with pytest.raises(Fault, match=r"mask\.npy does not hold an array of samples"):
        Samples(request, tmp_path)


def test_wrong_stored_images_are_refused_with_the_reason(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.zeros((2, 12, 12, 3), np.uint8))
    samples = Samples({"signature": tiny.signature("image"), "inputs": {"image": "image.npy"}}, tmp_path)
    with pytest.raises(Fault, match=r"images must be uint8 \(N, 10, 10, C\)"):
        samples.prepare(0, 1)


@pytest.mark.parametrize("batch", [1, 4])
def test_chunks_are_bounded_and_whole_batches(tmp_path: Path, batch: int) -> None:
    samples = Samples(stored(tmp_path, signature=tiny.signature("image")), tmp_path)
    chunk = samples.chunk(batch)
    assert chunk % batch == 0
    assert CHUNK / 2 < chunk * 300 <= CHUNK
