"""Samples drawn evenly, and the order of classes that answers suggest."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekd.samples.classes import assignment, evenly, luck, order, reordered


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 5))
def test_every_beginning_is_as_even_as_the_labels_allow(labels: list[int], count: int, seed: int) -> None:
    drawn = np.array(labels)
    rows = evenly(drawn, count, seed)
    assert len(set(rows.tolist())) == len(rows) == min(count, int((drawn >= 0).sum()))
    assert (drawn[rows] >= 0).all()
    sizes = np.bincount(drawn[drawn >= 0], minlength=4)
    for length in range(1, len(rows) + 1):
        taken = np.bincount(drawn[rows[:length]], minlength=4)
        assert taken[taken < sizes].size == 0 or taken.max() <= taken[taken < sizes].min() + 1


def test_the_draw_is_random_but_the_same_again() -> None:
    labels = np.repeat(np.arange(3), 100)
    assert evenly(labels, 30, 1).tolist() == evenly(labels, 30, 1).tolist() != evenly(labels, 30, 2).tolist()


@given(arrays(np.int64, st.integers(1, 5).map(lambda n: (n, n)), elements=st.integers(0, 20)))
def test_no_assignment_is_better(gain: np.ndarray) -> None:
    rows = range(len(gain))
    found = assignment(gain)
    assert sorted(found.tolist()) == list(rows)
    best = max(
        sum(gain[row, column] for row, column in zip(rows, p, strict=True)) for p in itertools.permutations(rows)
    )
    assert gain[rows, found].sum() == best


def test_a_hundred_classes_are_put_in_order() -> None:
    random = np.random.default_rng(0)
    labels, shuffled = np.repeat(np.arange(100), 6), random.permutation(100)
    predicted = np.where(random.random(600) < 0.9, shuffled[labels], random.integers(0, 100, 600))
    assert order(predicted, labels, 100).tolist() == shuffled.tolist()


def test_classes_keep_their_place_where_nothing_speaks_against_it() -> None:
    labels = np.array([0, 1, 2, 3])
    assert order(np.array([1, 0, -1, -1]), labels, 4).tolist() == [1, 0, 2, 3]
    assert order(np.full(4, -1), labels, 4).tolist() == [0, 1, 2, 3]


def test_an_order_must_hold_for_samples_that_it_was_not_found_on() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(20), 6)
    lucky = np.array([reordered(random.integers(0, 20, 120), labels, 20).mean() for _ in range(50)])
    assert abs(lucky.mean() - 1 / 20) < 0.02
    turned = (labels + 3) % 20
    assert reordered(turned, labels, 20).all()


@pytest.mark.parametrize("classes", [3, 6, 40])
def test_luck_is_small_for_what_was_learnt_and_not_for_what_sorts_by_itself(classes: int) -> None:
    random = np.random.default_rng(2)
    labels = np.repeat(np.arange(classes), 12)
    learnt = np.where(random.random(len(labels)) < 0.6, labels, random.integers(0, classes, len(labels)))
    assert luck(learnt, labels, classes) == pytest.approx({3: 1 / 6, 6: 1 / 720, 40: 1 / 2000}[classes])
    sorts = np.stack([luck(random.permutation(classes)[labels], labels, classes) for _ in range(100)])
    assert (sorts < 0.05).sum() <= {3: 0, 6: 10, 40: 15}[classes]
    assert luck(np.zeros_like(labels), labels, classes) == 1.0
