import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.metrics import accuracy


@given(st.integers(1, 40), st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_mean_is_the_share_of_right_answers(count: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    wrong = random.random(count) < 0.5
    outputs = np.eye(classes, dtype=np.float32)[(labels + wrong) % classes]
    assert accuracy.per_sample(outputs, labels).tolist() == (~wrong).astype(float).tolist()


def test_nan_is_wrong_even_where_argmax_points_at_it() -> None:
    outputs = np.array([[np.nan, 0.0], [0.0, 1.0]], np.float32)
    assert accuracy.per_sample(outputs, np.array([0, 1])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("labels", [np.array([0, -1]), np.array([0])])
def test_missing_or_unknown_labels_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="label"):
        accuracy.per_sample(np.zeros((2, 3), np.float32), labels)
