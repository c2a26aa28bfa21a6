"""Batches in pieces, probabilities as logits, and what is refused of a teacher's outputs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.errors import UsageError
from edgekd.nets import inference
from edgekd.results import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="image", shape=(-1, 1, 8, 8)),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),)
)


@given(st.integers(1, 700), st.integers(1, 300), st.integers(1, 60_000))
def test_pieces_are_the_batch_again_and_bounded(count: int, limit: int, width: int) -> None:
    batch = {"x": np.broadcast_to(np.arange(count)[:, None], (count, width)), "mask": np.arange(count)[:, None]}
    pieces = list(inference.pieces(batch, limit))
    np.testing.assert_array_equal(np.concatenate([piece["x"][:, 0] for piece in pieces]), np.arange(count))
    assert all(len(piece["x"]) == len(piece["mask"]) <= min(limit, inference.CHUNK) for piece in pieces)
    assert all(len(piece["x"]) == 1 or piece["x"].size <= inference.NUMBERS for piece in pieces)


@given(st.integers(1, 9), st.integers(1, 12))
def test_filled_pieces_start_with_the_piece(count: int, least: int) -> None:
    piece = {"x": np.arange(count)}
    full = inference.filled(piece, least)["x"]
    assert len(full) == max(count, least)
    assert full[:count].tolist() == list(range(count))
    assert set(full[count:].tolist()) <= {count - 1}


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=6))
def test_a_softmax_gives_the_probabilities_back(weights: list[float]) -> None:
    probabilities = np.array([weights]) / sum(weights)
    logits = torch.from_numpy(inference.log_probabilities(probabilities))
    np.testing.assert_allclose(logits.softmax(1).numpy(), probabilities, atol=1e-6)


def test_a_probability_of_zero_stays_finite_even_in_float16() -> None:
    logits = inference.log_probabilities(np.array([[0.0, 1.0]])).astype(np.float16)
    assert np.isfinite(logits).all()


def test_channels_last_changes_speed_only() -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 3)
    module = nn.Sequential(*layers)
    batch, rows = {"image": np.random.default_rng(0).normal(size=(9, 1, 8, 8)).astype(np.float32)}, np.arange(9)
    plain = inference.answers(module, SIGNATURE)(batch, rows, "train")
    fast = inference.answers(module, SIGNATURE, channels_last=True)
    assert module[3].weight.is_contiguous()
    np.testing.assert_allclose(fast(batch, rows, "train"), plain, atol=1e-5)
    assert not module[3].weight.is_contiguous()


def test_a_frozen_network_is_not_told_to_train() -> None:
    inner = nn.Dropout().eval()
    inference.Logits(inner, SIGNATURE, "logits", frozen=True).train()
    assert not inner.training
    inference.Logits(inner, SIGNATURE, "logits").train()
    assert inner.training


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (np.zeros((4, 3, 1)), r"shape \(4, 3, 1\) for 4 samples"),
        (np.zeros((3, 3)), r"shape \(3, 3\) for 4 samples"),
        (np.zeros((4, 5)), "knows 5 classes, but the data has 3"),
        (np.array([[0, 0, np.inf]] + [[0.0] * 3] * 3), "not finite numbers for 1 of 4 samples"),
    ],
)
def test_outputs_that_are_no_use_are_refused(outputs: np.ndarray, says: str) -> None:
    with pytest.raises(UsageError, match=f"teacher: .*{says}"):
        inference.check_outputs(outputs, 4, 3, "teacher")


def test_any_number_of_classes_will_do_where_the_data_is_not_known() -> None:
    inference.check_outputs(np.zeros((4, 7)), 4, None, "teacher")
