"""The Pareto front, by what it must hold for any candidates."""

from hypothesis import given
from hypothesis import strategies as st

from edgekd.policies import front
from edgekd.results import Candidate
from tests.world import option

PRICES = st.tuples(*(st.integers(1, 4) for _ in range(4)), st.booleans(), st.sampled_from((2, 6)))


def candidates(prices: list[tuple[int, int, int, int, bool, int]]) -> list[Candidate]:
    return [
        Candidate(
            architecture=option(i + 1).architecture,
            size=option(i + 1).size,
            latency={"t": float(latency)},
            file_size={"t": size},
            memory={"t": memory},
            validation_accuracy=accuracy / 10,
            fits=fits,
            epochs=epochs,
        )
        for i, (accuracy, latency, size, memory, fits, epochs) in enumerate(prices)
    ]


@given(st.lists(PRICES, min_size=1, max_size=8))
def test_nobody_on_the_front_is_beaten_and_all_others_are_or_may_not_be_there(prices: list) -> None:
    marked = front.mark(candidates(prices))
    longest = max(one.epochs for one in marked)
    eligible = [one for one in marked if one.fits and one.epochs == longest]
    for one in marked:
        beaten = any(front.beats(other, one) for other in eligible)
        assert one.front == (one in eligible and not beaten)


@given(st.lists(PRICES, min_size=1, max_size=8))
def test_at_most_three_are_picked_each_once_and_the_best_is_among_them(prices: list) -> None:
    marked = front.mark(candidates(prices))
    picks = front.pick(marked)
    assert set(picks) <= set(front.NAMES)
    sizes = [picks[name].size.macs for name in front.NAMES if name in picks]
    assert sizes == sorted(set(sizes)), "named in the order of their sizes"
    found = [one.validation_accuracy for one in marked if one.front]
    assert not found or picks["best"].validation_accuracy == max(found)
