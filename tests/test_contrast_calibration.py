"""Calibration errors are those of the definition, worked out here bin by bin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.contrast.calibration import BINS, calibration, probabilities


def drawn(seed: int, count: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, classes))
    return logits.astype(np.float32), random.integers(0, classes, count)


def by_definition(logits: np.ndarray, labels: np.ndarray) -> float:
    """Sum over bins of |accuracy - confidence| times the share of samples there."""
    powers = np.exp(logits.astype(np.float64))
    sure, right = (powers / powers.sum(1, keepdims=True)).max(1), logits.argmax(1) == labels
    total = 0.0
    for b in range(15):
        inside = (sure > b / 15) & (sure <= (b + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return total


@given(st.integers(0, 10_000))
def test_it_is_the_error_of_the_definition(seed: int) -> None:
    logits, labels = drawn(seed, 60)
    found = calibration(logits, labels)
    assert BINS == 15 and found.error.value == pytest.approx(by_definition(logits, labels))
    assert 0 <= found.error.low <= found.error.value <= found.error.high <= 1
    assert sum(one.count for one in found.bins) == 60 and all(one.count for one in found.bins)
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).mean())


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Networks that are 90 % sure and 70 % right: the error is 20 points whatever the sample."""
    random, held = np.random.default_rng(0), 0
    for _ in range(40):
        wrong = random.random(300) < 0.3
        logits = np.tile([np.log(9.0), 0.0], (300, 1)).astype(np.float32)
        found = calibration(logits, wrong.astype(np.int64)).error
        held += found.low <= 0.2 <= found.high
    assert 34 <= held <= 40


def test_who_is_as_sure_as_right_has_none_and_probabilities_add_up() -> None:
    logits = np.array([[0.0, 0.0]] * 10, np.float32)
    assert calibration(logits, np.array([0, 1] * 5)).error.value == pytest.approx(0.0)
    assert probabilities(np.array([[1e4, 0.0, -1e4]], np.float32)).tolist() == [[1.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match="labelled"):
        calibration(logits[:0], np.array([], np.int64))
