"""A temperature that is known is found again, and a threshold keeps its promise on samples that it has not seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.contrast import temperature
from edgekd.contrast.calibration import calibration, probabilities


def drawn(count: int, seed: int = 0, classes: int = 5, spread: float = 2) -> tuple[np.ndarray, np.ndarray]:
    """Logits (count, classes), and labels that are drawn from just the probabilities that they say."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (count, classes))
    sums = probabilities(logits).cumsum(axis=1)
    return logits, np.minimum((random.random((count, 1)) > sums).sum(axis=1), classes - 1)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found(factor: float) -> None:
    logits, labels = drawn(20_000)
    assert temperature.fit(factor * logits, labels) == pytest.approx(factor, rel=0.04)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_logits_times_a_factor_have_a_temperature_times_it(seed: int, factor: float) -> None:
    logits, labels = drawn(300, seed)
    assert temperature.fit(factor * logits, labels) == pytest.approx(factor * temperature.fit(logits, labels), rel=1e-4)


def test_it_mends_a_network_that_is_too_sure() -> None:
    logits, labels = drawn(5000)
    before = calibration(5 * logits, labels).error.value
    after = calibration(5 * logits / temperature.fit(5 * logits, labels), labels).error
    assert before > 0.2 and after.value < 0.02


def test_it_stays_within_bounds() -> None:
    sure = 10 * np.eye(3)[[0, 1, 2] * 20]
    assert temperature.fit(sure, np.array([0, 1, 2] * 20)) == temperature.SHARPEST
    assert temperature.fit(sure, np.array([1, 2, 0] * 20)) == temperature.SOFTEST


def test_a_threshold_keeps_its_promise_and_accepts_what_it_can() -> None:
    kept, coverages = [], []
    for seed in range(40):
        (logits, labels), (others, truth) = drawn(1500, seed, spread=4), drawn(20_000, 1000 + seed, spread=4)
        sure, right = probabilities(logits).max(axis=1), logits.argmax(axis=1) == labels
        level = temperature.threshold(sure, right, 0.9)
        assert level is not None
        accepted = probabilities(others).max(axis=1) >= level
        kept.append((others.argmax(axis=1) == truth)[accepted].mean() >= 0.9)
        coverages.append(accepted.mean())
    assert np.mean(kept) >= 0.95 and np.mean(coverages) > 0.3


def test_where_nothing_is_sure_enough_there_is_no_threshold() -> None:
    sure, right = np.linspace(0.5, 1, 200), np.arange(200) % 2 == 0
    assert temperature.threshold(sure, right, 0.9) is None
    assert temperature.threshold(np.full(20, 0.9), np.ones(20, bool), 0.99) is None, "20 samples cannot promise that"


def test_samples_of_the_same_confidence_are_accepted_together() -> None:
    sure = np.concatenate((np.full(500, 0.9), np.full(500, 0.6)))
    right = np.concatenate((np.ones(500, bool), np.arange(500) % 2 == 0))
    assert temperature.threshold(sure, right, 0.95) == 0.9
    assert temperature.threshold(sure, np.ones(1000, bool), 0.95) == 0.6
