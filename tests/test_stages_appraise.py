"""What a student learns from, in numbers that can be worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import EdgekdError
from edgekd.results import SoftTargets
from edgekd.stages import appraise
from edgekd.steps import Appraise
from tests import learnable


def run(folder: Path, train: np.ndarray, test: np.ndarray, temperature: float = 1.0):
    entries = folder / "entries"
    soft = SoftTargets(
        train=learnable.store(entries, "train.npy", train[None].astype(np.float16)),
        parts={"test": learnable.store(entries, "test.npy", test.astype(np.float32))},
        views=1,
        seed=0,
        seconds_per_view=1.0,
    )
    return appraise.run(Appraise(soft_targets=soft, temperature=temperature), learnable.workspace(folder))


def test_data_of_one_source_cover_each_other_and_data_of_one_class_do_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    drawn = [8 * np.eye(4)[random.integers(0, 4, 300)] + random.normal(size=(300, 4)) for _ in range(2)]
    alike = run(tmp_path, *drawn)
    assert alike.samples == 300 and alike.expected == pytest.approx(0.97, abs=0.01)
    assert alike.coverage > 0.9 and alike.density == pytest.approx(1, abs=0.15)
    assert alike.classes == pytest.approx(4, abs=0.1) and alike.variety == pytest.approx(alike.variety_of_test, abs=0.1)
    one = run(tmp_path, drawn[0][drawn[0].argmax(1) == 2], drawn[1])
    assert one.coverage < 0.35 and one.variety < 1.2 < 3.5 < one.variety_of_test and one.classes < 1.2


def test_softness_is_that_of_the_temperature(tmp_path: Path) -> None:
    logits = np.tile([np.log(8.0), 0.0, 0.0], (20, 1)) + np.arange(20)[:, None] / 10  # a constant says nothing
    found = run(tmp_path, logits, logits, 1.0)
    shares = np.array([0.8, 0.1, 0.1])
    assert found.peak == pytest.approx(0.8, abs=1e-3)
    assert found.entropy == pytest.approx(-(shares * np.log(shares)).sum() / np.log(3), abs=1e-3)
    softer = run(tmp_path, logits, logits, 3.0)
    assert softer.peak == pytest.approx(0.5, abs=1e-3) and softer.temperature == 3.0


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="5 samples are too few"):
        run(tmp_path, np.eye(5), np.eye(5))
