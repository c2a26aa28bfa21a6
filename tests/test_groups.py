"""Laws of a split by groups: none stands in two parts that are judged, sizes and classes are about what was asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.plugins import Pool, Source
from edgekd.samples import groups, sampling
from edgekd.spec import Choice, Data


def pool(labels: np.ndarray, of: np.ndarray, first: int = 0) -> Pool:
    ids = np.arange(first, first + len(labels))[:, None]
    return Pool({"ids": ids}, np.asarray(labels, np.int64), groups=np.asarray(of).astype(np.str_))


def source(count: int, many: int, unlabelled: int = 0, test: Pool | None = None) -> Source:
    """`many` groups in turn, so that each has every class, and unlabelled samples of them all."""
    labels = np.concatenate([np.arange(count) // many % 3, np.full(unlabelled, -1)])
    return Source(pool(labels, np.arange(len(labels)) % many), test, ("a", "b", "c"))


def draw(given: Source, seed: int = 0, **more: object) -> sampling.Drawn:
    data, twins = Data(source=Choice(name="arrays"), **more), sampling.twins(given)  # type: ignore[arg-type]
    assert not sampling.shortcomings(given, twins, data) and not sampling.overlaps(given, twins)
    return sampling.draw(given, twins, data, seed)


@settings(max_examples=30, deadline=None)
@given(st.integers(150, 400), st.integers(3, 12), st.integers(0, 60), st.integers(0, 5))
def test_what_is_judged_shares_no_group_with_the_rest(count: int, many: int, unlabelled: int, seed: int) -> None:
    drawn = draw(source(count, many, unlabelled), seed, validation=50, calibration=20, test_share=0.3)
    rows = {name: set(part.rows.tolist()) for name, part in drawn.parts.items()}
    of = {name: {row % many for row in part} for name, part in rows.items()}
    for judged in ("validation", "test"):
        assert rows[judged] and (drawn.parts[judged].labels >= 0).all()
        assert all(not of[judged] & other for name, other in of.items() if name != judged)
    assert not rows["train"] & rows["calibration"] and of["calibration"] <= of["train"] | of["calibration"]
    told = "\n".join(drawn.caveats)
    assert "of 1 groups that no other part has" in told or "groups that no other part has" in told
    assert "so intervals are over the" in told or "so no interval tells" in told


def test_sizes_and_classes_are_about_what_was_asked() -> None:
    random = np.random.default_rng(0)
    of, labels = random.integers(0, 40, 4000), random.integers(0, 3, 4000)
    held = groups.chosen(of.astype(np.str_), labels, 800, 1, np.random.default_rng(1))
    inside = np.isin(of.astype(np.str_), held)
    assert abs(inside.sum() - 800) < 40
    shares = np.bincount(labels[inside]) / inside.sum() - np.bincount(labels) / len(labels)
    assert np.abs(shares).max() < 0.02


def test_a_class_that_one_group_has_alone_stays_where_it_is_learnt() -> None:
    of, labels = np.repeat(np.arange(6), 30).astype(np.str_), np.tile([0, 1], 90)
    labels[:30] = 2
    for seed in range(10):
        held = groups.chosen(of, labels, 30, 1, np.random.default_rng(seed))
        assert "0" not in held and len(held) == 1


def test_the_last_groups_are_left() -> None:
    of, labels = np.repeat(["x", "y", "z"], 50), np.tile([0, 1], 75)
    assert len(groups.chosen(of, labels, 149, 2, np.random.default_rng(0))) == 1


@pytest.mark.parametrize(("many", "said"), [(1, "of 1 groups; at least 3"), (2, "of 2 groups; at least 3")])
def test_too_few_groups_are_refused(many: int, said: str) -> None:
    assert [said in str(problem) for problem in groups.problems(source(90, many))] == [True]


def test_a_group_on_both_sides_of_the_test_is_refused_by_name() -> None:
    test = pool(np.arange(6) % 3, np.array([7, 1, 7, 8, 9, 2]), 1000)
    (problem,) = groups.problems(source(90, 5, test=test))
    assert problem.where == "data.test" and "2 groups have training and test samples: 1, 2" in problem.message
    whole = pool(np.arange(6) % 3, np.full(6, 7), 1000)
    assert groups.problems(source(90, 5, test=whole)) == []


def test_copies_in_another_group_are_left_out() -> None:
    labels, of = np.arange(240) % 3, np.arange(240) // 40
    values = np.arange(240)
    values[200:220] = values[:20]  # the last group has copies of the first one's samples
    given_source = Source(Pool({"ids": values[:, None]}, labels, groups=of.astype(np.str_)), None, ("a", "b", "c"))
    for seed in range(6):
        drawn = draw(given_source, seed, validation=40, calibration=10)
        parts = [set(values[part.rows].tolist()) for part in drawn.parts.values()]
        assert sum(map(len, parts)) == len(set.union(*parts))
