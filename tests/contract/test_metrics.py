"""What every metric must keep, so that means, intervals and paired differences are one piece of code."""

import numpy as np
import pytest

from edgekd.plugins import declared, find, names
from edgekd.spec import Value

METRICS = names("metrics")


@pytest.fixture
def judged() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(50, 5)).astype(np.float32), random.integers(0, 5, 50)


@pytest.mark.parametrize("name", METRICS)
def test_declares_itself(name: str) -> None:
    known = declared("metrics", name)
    assert known.version >= 1 and known.packages and known.summary.endswith(".")
    assert issubclass(find("metrics", name).Settings, Value)
    find("metrics", name).Settings()


@pytest.mark.parametrize("name", METRICS)
def test_one_number_from_0_to_1_a_sample(name: str, judged: tuple[np.ndarray, np.ndarray]) -> None:
    outputs, labels = judged
    before = outputs.copy(), labels.copy()
    values = find("metrics", name).per_sample(outputs, labels)
    assert values.shape == labels.shape and values.dtype == np.float64 and (values >= 0).all() and (values <= 1).all()
    assert (outputs == before[0]).all() and (labels == before[1]).all(), "inputs are left as they were"


@pytest.mark.parametrize("name", METRICS)
def test_each_sample_is_judged_alone(name: str, judged: tuple[np.ndarray, np.ndarray]) -> None:
    outputs, labels = judged
    metric, order = find("metrics", name), np.random.default_rng(1).permutation(len(labels))
    assert (metric.per_sample(outputs[order], labels[order]) == metric.per_sample(outputs, labels)[order]).all()


@pytest.mark.parametrize("name", METRICS)
def test_ground_truth_is_best(name: str, judged: tuple[np.ndarray, np.ndarray]) -> None:
    outputs, labels = judged
    metric = find("metrics", name)
    truth = 10 * np.eye(outputs.shape[1], dtype=np.float32)[labels]
    assert metric.per_sample(truth, labels).mean() > metric.per_sample(outputs, labels).mean()
    assert metric.per_sample(truth, labels).mean() > metric.per_sample(-truth, labels).mean()
