import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as known

from edgekd.metrics import auc, mae, r2, rmse

SEEDS = st.integers(0, 2**32 - 1)


def whole(count: int) -> np.ndarray:
    return np.ones((1, count), np.int64)


@given(st.integers(4, 60), st.integers(2, 9), SEEDS)
def test_auc_is_scikit_learns_with_ties_too(count: int, levels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.r_[0, 1, random.integers(0, 2, count - 2)]
    score = random.integers(0, levels, count).astype(np.float32)  # few levels: many ties
    outputs = np.stack([-score, score], 1)
    counts = random.integers(0, 4, (3, count)) + (np.arange(count) < 2)
    found = auc.resampled(outputs, labels, counts)
    assert found == pytest.approx([known.roc_auc_score(labels, score, sample_weight=row) for row in counts], abs=1e-9)


def test_auc_of_one_class_alone_is_none_and_other_shapes_are_refused() -> None:
    outputs = np.zeros((3, 2), np.float32)
    assert np.isnan(auc.resampled(outputs, np.zeros(3, np.int64), whole(3))).all()
    with pytest.raises(ValueError, match="labels"):
        auc.resampled(np.zeros((3, 3), np.float32), np.zeros(3, np.int64), whole(3))


@given(st.integers(2, 40), st.integers(1, 3), SEEDS, st.sampled_from([0.0, 1e5]))
def test_errors_are_scikit_learns(count: int, columns: int, seed: int, far: float) -> None:
    random = np.random.default_rng(seed)
    truth = far + random.normal(size=(count, columns))
    outputs = (truth + random.normal(size=truth.shape)).astype(np.float32)
    counts = random.integers(0, 4, (4, count)) + (np.arange(count) < 2)
    for metric, wanted in (
        (mae, known.mean_absolute_error),
        (rmse, lambda *both, sample_weight: known.mean_squared_error(*both, sample_weight=sample_weight) ** 0.5),
        (r2, known.r2_score),
    ):
        expected = [wanted(truth, outputs, sample_weight=row) for row in counts]
        assert metric.resampled(outputs, truth, counts) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", [mae, rmse, r2])
def test_numbers_of_another_shape_are_refused(metric) -> None:
    with pytest.raises(ValueError, match="differ"):
        metric.resampled(np.zeros((3, 1), np.float32), np.zeros((3, 2)), whole(3))
