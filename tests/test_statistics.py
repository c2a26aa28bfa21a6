import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekd import statistics
from edgekd.statistics import (
    QUANTILES,
    T95,
    T975,
    UNSTABLE,
    Z95,
    Z975,
    at_least,
    mean_interval,
    noise_floor,
    paired_interval,
    paired_ratio,
    quantile_spans,
    reach,
    share_interval,
    sign_test,
    spread,
    widening,
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
    found = {name: span.value for name, span in spread(values).spans.items()}
    together = np.concatenate(values)
    assert found == {name: np.quantile(together, share) for name, share in QUANTILES.items()}
    assert found["quiet"] == np.quantile(together, 0.05)
    assert found["quiet"] < found["p50"] < found["p90"] < found["p99"]


def test_sessions_that_agree_are_stable_and_others_say_by_how_much() -> None:
    steady, shaky = spread(sessions((1e-3,) * 5)), spread(sessions((1e-3, 1e-3, 1.5e-3, 1e-3, 1.4e-3)))
    assert steady.stable
    assert steady.why == ""
    assert steady.variation < UNSTABLE < shaky.variation
    assert not shaky.stable
    assert "varies by 21 % between sessions" in shaky.why


def test_a_p90_far_above_equal_medians_is_unstable() -> None:
    """What other load does: each session's median is right, and one run in five waits for the core."""
    values = sessions((1e-3,) * 5)
    for session in values:
        session[::5] *= 12
    found = spread(values)
    assert found.variation < 0.02
    assert not found.stable
    assert (
        found.why == f"p90 is {found.spans['p90'].value / found.spans['p50'].value:.1f} times p50 (at most 2 is stable)"
    )


def test_one_session_has_no_variation_between_sessions() -> None:
    assert spread(sessions((2e-3,))).variation == 0.0


def p90(values: list[Values]) -> tuple[float, float]:
    (span,) = quantile_spans(values, (0.9,))
    return span.value, span.most


def test_the_bound_of_p90_counts_sessions_not_only_runs() -> None:
    (agreed, close), (differed, far) = p90(sessions((1e-3,) * 5)), p90(sessions((0.8e-3, 0.9e-3, 1e-3, 1.1e-3, 1.2e-3)))
    assert close < 1.02 * agreed
    assert far > 1.03 * differed


def process(seed: int, count: int, between: float) -> list[Values]:
    """Sessions whose level varies by `between` from process to process, and runs by 10 % within each."""
    generator = np.random.default_rng(seed)
    return [math.exp(generator.normal(0, between)) * generator.lognormal(0, 0.1, 60) for _ in range(count)]


@pytest.mark.parametrize(("count", "between"), [(4, 0.05), (10, 0.02), (10, 0.0)])
def test_the_bound_is_over_the_p90_of_all_processes_about_95_times_of_100(
    count: int, between: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_ROUNDS", 150)
    truth = math.exp(math.hypot(0.1, between) * 1.2815515)
    found = [quantile_spans(process(seed, count, between), (0.9,))[0] for seed in range(60)]
    assert 0.88 <= np.mean([span.most >= truth for span in found]) <= 1.0
    assert 0.88 <= np.mean([span.low <= truth <= span.high for span in found]) <= 1.0
    assert np.mean([span.most / span.value for span in found]) < 1.15, "an interval that holds everything says nothing"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=9), min_size=1, max_size=5))
def test_a_quantile_lies_in_its_interval_below_its_bound(values: list[list[float]]) -> None:
    for span in quantile_spans([np.array(session) for session in values], (0.05, 0.5, 0.9)):
        assert 0 < span.low <= span.value <= span.most <= span.high * (1 + 1e-9)


def test_few_sessions_widen_an_interval_as_students_t_does() -> None:
    assert widening(5, T95, Z95) == pytest.approx(2.132 / 1.645 * math.sqrt(5 / 4), rel=1e-3)
    assert widening(1, T975, Z975) == widening(2, T975, Z975) > widening(3, T975, Z975)
    assert widening(1000, T975, Z975) == pytest.approx(1, abs=1e-3)


def test_a_file_against_itself_has_the_ratio_one_within_its_noise_floor() -> None:
    found = [noise_floor(process(seed, 10, 0.02), 0.9) for seed in range(100)]
    assert 0.88 <= np.mean([low <= 1 <= high for _, low, high in found]) <= 0.99
    quiet, noisy = (noise_floor(process(3, 10, between), 0.5) for between in (0.001, 0.1))
    assert noisy[2] - noisy[1] > 2 * (quiet[2] - quiet[1])
    with pytest.raises(ValueError, match="two sessions each"):
        noise_floor(process(0, 3, 0.0), 0.5)


def test_what_drifts_meets_both_halves_alike() -> None:
    warming = [session * (1 + 0.01 * i) for i, session in enumerate(process(5, 10, 0.0))]
    value, low, high = noise_floor(warming, 0.5)
    assert low < 1 < high and value == pytest.approx(1.01, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 10.0), st.integers(0, 1000))
def test_a_ratio_of_pairs_follows_its_scale_and_its_inverse(factor: float, seed: int) -> None:
    one, two = process(seed, 6, 0.05), process(seed + 1, 6, 0.05)
    value, low, high = paired_ratio(one, two, 0.5)
    assert low <= value <= high
    scaled = paired_ratio([session * factor for session in one], two, 0.5)
    assert scaled == pytest.approx((value * factor, low * factor, high * factor))
    assert paired_ratio(two, one, 0.5) == pytest.approx((1 / value, 1 / high, 1 / low))


def test_pairs_of_sessions_cancel_what_the_device_did_to_both() -> None:
    drift = [math.exp(0.1 * i) for i in range(8)]
    one = [session * drift[i] for i, session in enumerate(process(1, 8, 0.0))]
    two = [session * drift[i] * 1.1 for i, session in enumerate(process(2, 8, 0.0))]
    _, low, high = paired_ratio(two, one, 0.5)
    assert low < 1.1 < high and high - low < 0.08
    with pytest.raises(ValueError, match="two pairs"):
        paired_ratio(one[:1], two[:1], 0.5)


def test_sessions_may_have_different_lengths() -> None:
    first, second = sessions((1e-3, 1e-3))
    assert spread([first[:7], second]).spans["p90"].most > 0
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


def test_intervals_over_groups_cover_the_truth_where_those_over_samples_do_not() -> None:
    random = np.random.default_rng(0)
    held, naive = 0, 0
    for _ in range(200):
        of = np.repeat(np.arange(8), 50)
        values = (random.normal(0, 1, 8)[of] + random.normal(0, 1, 400)).astype(np.float64)
        _, low, high = mean_interval(values, rounds=400, groups=of)
        held += low <= 0 <= high
        _, low, high = mean_interval(values, rounds=400)
        naive += low <= 0 <= high
    assert held >= 180 and naive <= 120


def test_groups_of_one_sample_each_are_samples() -> None:
    values = np.random.default_rng(1).random(2000)
    value, low, high = mean_interval(values, groups=np.arange(2000))
    plain = mean_interval(values)
    assert value == plain[0] and abs(low - plain[1]) < 1e-3 and abs(high - plain[2]) < 1e-3


def test_pairs_stay_together_over_groups_and_one_group_is_no_group() -> None:
    random = np.random.default_rng(2)
    of = random.integers(0, 6, 300)
    hard = random.random(6)[of] + 0.1 * random.random(300)
    value, low, high = paired_interval([hard + 0.2], [hard], groups=of)
    assert value == pytest.approx(0.2) and low == pytest.approx(0.2) and high == pytest.approx(0.2)
    alone = mean_interval(hard, groups=np.zeros(300, np.int64))
    assert alone == mean_interval(hard)
