"""The figures of one layer, against numbers that were worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.divergence import measures
from edgekd.divergence.measures import measure, snr
from edgekd.results import TensorSpec
from edgekd.spec import Precision

PLAIN = TensorSpec(name="t", shape=(-1, 4))
RANDOM = np.random.default_rng(0)


def rounded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """8 bits between two ends."""
    step = (high - low) / 255
    return (np.clip(np.rint((values - low) / step), 0, 255) * step + low).astype(np.float32)


def test_the_ratio_is_ten_times_the_logarithm_of_powers() -> None:
    ours = np.array([[3.0, 4.0]])
    assert snr(ours, ours + np.array([[0.3, 0.4]])) == pytest.approx(20.0)
    assert snr(ours, ours * 1.5) == pytest.approx(20 * math.log10(2))
    assert snr(ours, 0 * ours) == pytest.approx(0.0)
    assert snr(ours, ours) == math.inf and snr(0 * ours, ours) == -math.inf


@given(st.integers(2, 14))
def test_a_bit_more_is_six_decibels(bits: int) -> None:
    values = np.random.default_rng(bits).uniform(-1, 1, 40_000)
    step = 2 / 2**bits
    assert snr(values, np.floor(values / step) * step + step / 2) == pytest.approx(6.02 * bits, abs=0.3)


@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-3), ("float16", 2e-2), ("bfloat16", 6e-2)])
def test_the_limits_of_float_files_are_those_of_the_gate(precision: Precision, error: float) -> None:
    assert measures.THRESHOLDS[precision] == pytest.approx(-20 * math.log10(error), abs=0.6)


def test_difference_and_scale() -> None:
    ours = np.array([[1.0, -8.0, 2.0]])
    found = measure(ours, ours + np.array([[0.0, 0.0, -0.5]]), "float32", PLAIN)
    assert (found.difference, found.scale, found.not_finite) == (0.5, 8.0, 0.0)


def test_what_only_the_file_has_as_no_number_leaves_nothing_right() -> None:
    ours = np.ones((2, 4))
    theirs = ours.copy()
    theirs[0, 0], theirs[1, 1] = np.nan, np.inf
    found = measure(ours, theirs, "float16", PLAIN)
    assert (found.snr, found.difference, found.not_finite) == (-math.inf, math.inf, 0.25)


def test_the_same_infinity_on_both_sides_is_no_difference() -> None:
    ours = np.array([[1.0, -np.inf, 2.0], [np.nan, 1.0, np.inf]])
    assert measure(ours, ours, "float32", PLAIN).snr == math.inf
    other = ours.copy()
    other[0, 1] = np.inf
    found = measure(ours, other, "float32", PLAIN)
    assert found.snr == -math.inf and found.not_finite == 0.0
    other[0, 1] = -1e4
    assert measure(ours, other, "float32", PLAIN).snr == -math.inf


def test_values_at_the_end_of_the_range_are_clipped_where_torch_goes_on() -> None:
    ours = RANDOM.normal(0, 1, (8, 1000))
    theirs = rounded(ours, -2, 2)
    found = measure(ours, theirs, "int8", PLAIN)
    assert found.clipped == pytest.approx((np.abs(ours) > 2 + 4 / 255).mean(), abs=1e-9) and found.clipped > 0.03
    assert found.noise_clipped > 0.95 and found.grid
    wide = measure(ours, rounded(ours, -5, 5), "int8", PLAIN)
    assert (wide.clipped, wide.noise_clipped) == (0.0, 0.0)


def test_only_ranges_found_by_calibration_clip() -> None:
    ours = RANDOM.normal(0, 1, (8, 1000))
    for precision in ("int8-dynamic", "int8-weights", "float32"):
        assert measure(ours, rounded(ours, -2, 2), precision, PLAIN).clipped == 0.0


def test_a_tensor_that_says_its_scale_has_the_ends_of_its_type() -> None:
    spec = PLAIN.model_copy(update={"dtype": "int8", "scale": 0.01, "zero_point": -28})
    ours = np.linspace(-0.9, 3, 800).reshape(8, 100)  # -1.0 to 1.55 can be held
    found = measure(ours, np.clip(np.rint(ours / 0.01) * 0.01, -1.0, 1.55), "int8", spec)
    assert found.clipped == pytest.approx((ours > 1.56).mean()) and found.grid


def test_floats_are_no_grid_and_few_values_none_either() -> None:
    assert not measure(RANDOM.normal(size=(8, 100)), RANDOM.normal(size=(8, 100)), "int8", PLAIN).grid
    assert not measure(np.ones((8, 3)), np.eye(8, 3), "int8", PLAIN).grid
    fine = np.rint(RANDOM.uniform(0, 999, (8, 400))) / 100
    assert not measure(fine, fine, "int8", PLAIN).grid, "a thousand steps are more than 8 bits"
    ours = RANDOM.normal(size=(8, 4))
    assert measure(ours, rounded(ours, -3, 3), "int8", PLAIN).grid


def test_outliers_are_held_against_what_nearly_all_others_keep() -> None:
    ours = RANDOM.uniform(-1, 1, (8, 1000))
    assert measure(ours, ours, "int8", PLAIN).outliers == pytest.approx(1.0, abs=0.01)
    ours[0, 0] = -50.0
    assert measure(ours, ours, "int8", PLAIN).outliers == pytest.approx(50.0, rel=0.02)
    assert measure(ours[:1, :100], ours[:1, :100], "int8", PLAIN).outliers == 1.0, "too few to say"


def test_another_order_of_axes_is_found_where_it_fits() -> None:
    ours = RANDOM.normal(size=(8, 5, 5, 3))
    assert measures.best_turned(ours, ours.transpose(0, 2, 1, 3)) == math.inf
    assert measures.best_turned(ours, RANDOM.normal(size=ours.shape)) < 1.0
    assert measures.best_turned(ours[..., 0, :], ours[..., 1, :]) == -math.inf, "5 x 3 has no other order"
    broken = ours.copy()
    broken[0, 0, 0, 0] = np.nan
    assert measures.best_turned(ours, broken) == -math.inf
