"""Laws of what students cost: the error that is told of a student is that of predicting it without it."""

import time

import numpy as np
import pytest

from edgekd.policies.explore import fill
from edgekd.results import Product, Series, Work
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


def convolutions(width: int, depth: int, places: int) -> Work:
    """So many equal convolutions."""
    one = Product(kind="dense", inputs=width, outputs=width, taps=9, places=places, read=places)
    macs = depth * places * 9 * width**2
    return Work(dense=macs, moved=8 * places * width * depth, params=9 * width**2 * depth, products=(one,) * depth)


@pytest.mark.parametrize("lanes", [1, 8, 16])
def test_channels_that_are_computed_at_once_are_found(lanes: int) -> None:
    random = np.random.default_rng(lanes)
    works = [
        convolutions(int(random.integers(3, 60)), int(random.integers(2, 12)), 4 ** int(random.integers(2, 6)))
        for _ in range(35)
    ]
    seconds = [
        sum(1e-9 * p.places * -(-p.outputs // lanes) * lanes * p.inputs * 9 for p in one.products) for one in works
    ]
    series = Series(target="tflite", precision="float32", cost="latency", values=tuple(seconds[:15]))
    told = estimate(works[:15], series, works[15:])
    np.testing.assert_allclose(told.values, seconds[15:], rtol=0.03)
    plain = [one.model_copy(update={"products": ()}) for one in works]
    blind = estimate(plain[:15], series, plain[15:])
    missed = np.abs(np.array(seconds[15:]) / blind.values - 1).max()
    assert missed < 0.03 if lanes == 1 else missed > 0.1


@pytest.mark.parametrize("kernels", ["blocks", "vectors"])
def test_kernels_that_want_whole_fours_are_found(kernels: str) -> None:
    """What is computed another way costs four times as much a product, as in a runtime that falls back."""
    random = np.random.default_rng(5)
    widths = [4 * int(random.integers(2, 16)) if i % 2 else int(random.integers(9, 60)) for i in range(40)]
    works = [convolutions(width, int(random.integers(2, 12)), 4 ** int(random.integers(3, 6))) for width in widths]

    def up(count: int, step: int) -> int:
        return -(-count // step) * step

    def seconds_of(one: Product) -> float:
        if one.inputs % 4 == 0 and (kernels == "blocks" or one.outputs % 8 == 0):
            step = 8 if kernels == "blocks" else 1
            return 1e-9 * one.places * 9 * up(one.inputs, step) * up(one.outputs, step)
        products = 9 * one.inputs * one.outputs if kernels == "blocks" else up(9 * one.inputs, 4) * up(one.outputs, 16)
        return 4e-9 * one.places * products

    seconds = [sum(map(seconds_of, one.products)) for one in works]
    series = Series(target="onnx", precision="float32", cost="latency", values=tuple(seconds[:15]))
    off = np.abs(np.array(seconds[15:]) / estimate(works[:15], series, works[15:]).values - 1)
    assert np.median(off) < 0.05
    plain = [one.model_copy(update={"products": ()}) for one in works]
    blind = np.abs(np.array(seconds[15:]) / estimate(plain[:15], series, plain[15:]).values - 1)
    assert np.median(blind) > 0.15


def test_three_say_nothing_of_the_error() -> None:
    works, series = measured(3, 0.0)
    assert estimate(works, series, works[:1]).errors == ()


def test_fifteen_students_take_no_time() -> None:
    works, series = measured(15, 0.02)
    started = time.process_time()
    assert len(estimate(works, series, ()).errors) == 15
    assert time.process_time() - started < 4, "usually a tenth of a second; more on a busy computer of many threads"
