"""What every metric must keep, so that values, intervals and paired differences are one piece of code."""

import numpy as np
import pytest

from edgekd.plugins import declared, find, gauge, names
from edgekd.spec import Value

METRICS = names("metrics")
MEANS = [name for name in METRICS if "per_sample" in declared("metrics", name).offers]
OTHERS = [name for name in METRICS if name not in MEANS]


def judged(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of 50 samples that know something, and the truth."""
    random, known = np.random.default_rng(seed), declared("metrics", name)
    if known.task == "numbers":
        truth = random.normal(5, 3, (50, 2))
        return (truth + random.normal(size=truth.shape)).astype(np.float32), truth
    classes = known.classes or 5
    labels = random.integers(0, classes, 50)
    return (random.normal(size=(50, classes)) + np.eye(classes)[labels]).astype(np.float32), labels


def perfect(name: str, truth: np.ndarray) -> np.ndarray:
    numbers = declared("metrics", name).task == "numbers"
    return (truth if numbers else 10 * np.eye(int(truth.max()) + 1)[truth]).astype(np.float32)


def value(name: str, outputs: np.ndarray, truth: np.ndarray) -> float:
    metric = find("metrics", name)
    if name in MEANS:
        return float(metric.per_sample(outputs, truth).mean())
    return float(metric.resampled(outputs, truth, np.ones((1, len(truth)), np.int64))[0])


@pytest.mark.parametrize("name", METRICS)
def test_declares_itself(name: str) -> None:
    known = declared("metrics", name)
    assert known.version >= 1 and known.packages and known.summary.endswith((".", "."))
    module = find("metrics", name)
    for literal, read in (("TITLE", known.title), ("UNIT", known.unit), ("LOWER", known.lower), ("TASK", known.task)):
        assert getattr(module, literal, read) == read, f"{literal} is no plain literal on a line of its own"
    assert known.task in ("classes", "numbers") and known.unit in ("%", "", "y")
    assert issubclass(find("metrics", name).Settings, Value)
    find("metrics", name).Settings()


@pytest.mark.parametrize("name", METRICS)
def test_the_truth_is_best_and_shown_in_the_metrics_unit(name: str) -> None:
    outputs, truth = judged(name)
    counted = gauge(name, "km")
    best, some, worse = (
        counted.good(value(name, told, truth)) for told in (perfect(name, truth), outputs, outputs[::-1].copy())
    )
    assert best > some > worse
    assert counted.show(0.5).endswith({"%": " %", "y": " km", "": "0.500"}[declared("metrics", name).unit])


@pytest.mark.parametrize("name", METRICS)
def test_inputs_are_left_as_they_were_and_their_order_does_not_count(name: str) -> None:
    outputs, truth = judged(name)
    before, order = (outputs.copy(), truth.copy()), np.random.default_rng(1).permutation(len(truth))
    assert value(name, outputs[order], truth[order]) == pytest.approx(value(name, outputs, truth), rel=1e-12)
    assert (outputs == before[0]).all() and (truth == before[1]).all()


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_is_one_number_from_0_to_1_a_sample(name: str) -> None:
    outputs, labels = judged(name)
    values = find("metrics", name).per_sample(outputs, labels)
    assert values.shape == labels.shape and values.dtype == np.float64 and (values >= 0).all() and (values <= 1).all()


@pytest.mark.parametrize("name", OTHERS)
def test_a_resample_is_worth_what_its_samples_are(name: str) -> None:
    outputs, truth = judged(name)
    counts = np.random.default_rng(2).multinomial(50, np.full(50, 1 / 50), size=6)
    found = find("metrics", name).resampled(outputs, truth, counts)
    rows = [np.repeat(np.arange(50), count) for count in counts]
    assert found.shape == (6,) and found.dtype == np.float64
    assert found == pytest.approx([value(name, outputs[some], truth[some]) for some in rows], rel=1e-9)


@pytest.mark.parametrize("name", OTHERS)
def test_an_output_that_is_no_number_has_no_value(name: str) -> None:
    outputs, truth = judged(name)
    outputs[3] = np.nan
    assert np.isnan(value(name, outputs, truth))
