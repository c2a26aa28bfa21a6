import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekd.statistics import (
    UNSTABLE,
    at_least,
    mean_interval,
    paired_interval,
    quantile_bound,
    reach,
    share_interval,
    sign_test,
    spread,
)

Values = NDArray[np.float64]


def draws(seed: int, mean: float, count: int) -> Values:
    return (np.random.default_rng(seed).random(count) < mean).astype(np.float64)


def test_mean_interval_matches_the_normal_approximation() -> None:
    values = draws(0, 0.9, 5000)
    value, low, high = mean_interval(values)
    error = 1.96 * np.sqrt(value * (1 - value) / 5000)
    assert value == values.mean()
    assert low == pytest.approx(value - error, abs=0.1 * error)
    assert high == pytest.approx(value + error, abs=0.1 * error)


def test_mean_interval_covers_the_truth_about_95_times_of_100() -> None:
    covered = [mean_interval(draws(seed, 0.8, 400), rounds=500) for seed in range(200)]
    assert 0.90 <= np.mean([low <= 0.8 <= high for _, low, high in covered]) <= 0.99


def test_intervals_are_repeatable_and_follow_the_seed() -> None:
    values = np.random.default_rng(1).random(300)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_a_mean_lies_in_its_interval_within_the_range_of_values(values: list[float]) -> None:
    value, low, high = mean_interval(np.array(values), rounds=100)
    assert min(values) - 1e-9 <= low <= value <= high <= max(values) + 1e-9


def test_pairs_cancel_what_is_hard_for_both() -> None:
    hard = draws(2, 0.7, 2000)
    better = hard.copy()
    better[np.flatnonzero(hard == 0)[:100]] = 1
    value, low, high = paired_interval([better], [hard])
    assert value == pytest.approx(0.05)
    assert 0.038 < low < value < high < 0.062
    unpaired = mean_interval(better)[2] - mean_interval(better)[1]
    assert high - low < unpaired


def test_seeds_that_disagree_widen_a_difference() -> None:
    sample = draws(3, 0.5, 2000)
    same = [np.clip(sample + 0.05, 0, 1)] * 3
    apart = [np.clip(sample + shift, 0, 2) for shift in (-0.1, 0.05, 0.2)]
    _, low, high = paired_interval(same, [sample] * 3)
    _, low_apart, high_apart = paired_interval(apart, [sample] * 3)
    assert high_apart - low_apart > 3 * (high - low)


def test_sides_may_have_different_numbers_of_seeds_but_not_of_samples() -> None:
    value, low, high = paired_interval([draws(0, 0.9, 100), draws(1, 0.9, 100)], [draws(2, 0.5, 100)])
    assert low < value < high
    with pytest.raises(ValueError, match="same samples: 100 and 99"):
        paired_interval([draws(0, 0.9, 100)], [draws(0, 0.9, 99)])


@pytest.mark.parametrize("values", [[], [0.5, float("nan")]])
def test_nothing_and_not_a_number_have_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no values|finite"):
        mean_interval(np.array(values))


def test_memory_stays_bounded_for_many_samples() -> None:
    values = np.random.default_rng(0).random(200_000)
    tracemalloc.start()
    mean_interval(values, rounds=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120 << 20  # all resamples at once would be 160 MB


def sessions(medians: tuple[float, ...], runs: int = 400) -> list[Values]:
    generator = np.random.default_rng(7)
    return [median * generator.lognormal(0, 0.05, runs) for median in medians]


def test_quantiles_are_over_all_runs_and_nothing_is_left_out() -> None:
    values = sessions((1e-3, 1e-3, 1e-3))
    values[0][:2] = 1.0
    found = spread(values)
    together = np.concatenate(values)
    assert found.p50 == np.quantile(together, 0.5)
    assert found.p99 == np.quantile(together, 0.99)
    assert found.quiet == np.quantile(together, 0.05)
    assert found.quiet < found.p50 < found.p90 <= found.p90_high


def test_sessions_that_agree_are_stable_and_others_say_by_how_much() -> None:
    steady, shaky = spread(sessions((1e-3,) * 5)), spread(sessions((1e-3, 1e-3, 1.5e-3, 1e-3, 1.4e-3)))
    assert steady.stable
    assert steady.why == ""
    assert steady.variation < UNSTABLE < shaky.variation
    assert not shaky.stable
    assert "varies by 21 % between sessions" in shaky.why


def test_one_session_has_no_variation_between_sessions() -> None:
    assert spread(sessions((2e-3,))).variation == 0.0


def test_the_bound_of_p90_counts_sessions_not_only_runs() -> None:
    agreeing, differing = sessions((1e-3,) * 5), sessions((0.8e-3, 0.9e-3, 1e-3, 1.1e-3, 1.2e-3))
    p90 = float(np.quantile(np.concatenate(differing), 0.9))
    assert quantile_bound(agreeing, 0.9) < 1.02 * np.quantile(np.concatenate(agreeing), 0.9)
    assert quantile_bound(differing, 0.9) > 1.03 * p90


def test_the_bound_is_over_p90_of_another_draw_about_95_times_of_100() -> None:
    truth = float(np.exp(0.1 * 1.2815515))
    bounds = [
        quantile_bound([np.random.default_rng((seed, i)).lognormal(0, 0.1, 60) for i in range(8)], 0.9)
        for seed in range(40)
    ]
    assert 0.85 <= np.mean([bound >= truth for bound in bounds]) <= 1.0


def test_sessions_may_have_different_lengths() -> None:
    first, second = sessions((1e-3, 1e-3))
    assert spread([first[:7], second]).p90_high > 0
    with pytest.raises(ValueError, match="no sessions"):
        spread([])


def test_sign_test_is_exact() -> None:
    one, two = np.array([True] * 9 + [False] * 91), np.zeros(100, bool)
    assert sign_test(one, two) == pytest.approx(2 * 0.5**9)
    assert sign_test(two, one) == pytest.approx(2 * 0.5**9)
    assert sign_test(one, one) == 1.0


def test_at_least_is_the_binomial_tail() -> None:
    for successes, trials, chance in ((3, 5, 0.5), (0, 5, 0.2), (7, 12, 0.1), (5, 5, 0.3), (300, 400, 0.7)):
        terms = (
            math.comb(trials, k) * Fraction(chance) ** k * (1 - Fraction(chance)) ** (trials - k)
            for k in range(successes, trials + 1)
        )
        assert at_least(successes, trials, chance) == pytest.approx(float(sum(terms)), rel=1e-9)
    assert at_least(6, 5, 0.5) == 0.0 and at_least(1, 5, 0.0) == 0.0
    assert at_least(5, 5, 1.0) == 1.0


def test_share_interval_is_wilsons() -> None:
    assert share_interval(15, 20) == pytest.approx((0.75, 0.5313, 0.8881), abs=1e-4)
    value, low, high = share_interval(0, 20)
    assert (value, low) == (0.0, 0.0) and high == pytest.approx(0.1611, abs=1e-4)
    assert share_interval(20, 20)[1:] == pytest.approx((0.8389, 1.0), abs=1e-4)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8))
def test_reach_holds_every_session_and_grows_with_their_ratio(values: list[float]) -> None:
    least, most = reach([np.array([value]) for value in values])
    assert least <= min(values) * (1 + 1e-9) and most >= max(values) * (1 - 1e-9)
    assert most / least == pytest.approx((max(values) / min(values)) ** 3)


def test_reach_of_sessions_that_agree_is_what_they_agree_on() -> None:
    assert reach([np.array([2.0, 2.0]), np.array([2.0])]) == (2.0, 2.0)
