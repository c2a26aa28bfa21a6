"""Laws of what students cost: the error that is told of a student is that of predicting it without it."""

import time

import numpy as np
import pytest

from edgekd.policies.explore import fill
from edgekd.results import Series, Work
from edgekd.stages.foretell import estimate
from tests.test_policies_explore import OPTIONS, seconds


def measured(count: int, noise: float) -> tuple[list[Work], Series]:
    works = [one.work for one in fill(OPTIONS, count) if one.work]
    draws = np.exp(np.random.default_rng(3).normal(0, noise, count))
    values = tuple(seconds(work) * draw for work, draw in zip(works, draws, strict=True))
    return works, Series(target="tflite", precision="float32", cost="latency", values=values)


@pytest.mark.parametrize("count", [4, 5, 9])
def test_an_error_left_out_is_that_of_a_law_that_never_saw_it(count: int) -> None:
    works, series = measured(count, 0.1)
    told = estimate(works, series, ())
    for i, error in enumerate(told.errors):
        rest = series.model_copy(update={"values": series.values[:i] + series.values[i + 1 :]})
        (foretold,) = estimate(works[:i] + works[i + 1 :], rest, [works[i]]).values
        assert error == pytest.approx(series.values[i] / foretold - 1, abs=1e-3)


def test_three_say_nothing_of_the_error() -> None:
    works, series = measured(3, 0.0)
    assert estimate(works, series, works[:1]).errors == ()


def test_fifteen_students_take_no_time() -> None:
    works, series = measured(15, 0.02)
    started = time.process_time()
    assert len(estimate(works, series, ()).errors) == 15
    assert time.process_time() - started < 4, "usually a tenth of a second; more on a busy computer of many threads"
