"""Samples drawn evenly from all classes, and the order of classes that a teacher's answers suggest."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
# Up to so many classes, every order of them is tried (720 of six), else this number of random ones.
ALL_WAYS, SOME_WAYS = 6, 2000


def evenly(labels: Whole, count: int, seed: int) -> Whole:
    """Up to `count` labelled rows, of each class as many as can be, ordered so that every beginning is even too."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))
    chosen: Whole = rows[np.argsort(_rank(labels[rows]), kind="stable")][:count]
    return chosen


def _rank(labels: Whole) -> Whole:
    """For each sample, how many of its class come before it."""
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        ranks[mine] = np.arange(len(mine))
    return ranks


def assignment(gain: NDArray[Any]) -> Whole:
    """The column of each row, all different, for which the sum of `gain` (n, n) is largest.

    Source: Kuhn, "The Hungarian method for the assignment problem", 1955; by shortest augmenting paths, O(n^3).
    """
    count = len(gain)
    cost = np.asarray(gain.max() - gain, np.float64)
    row_price, column_price = np.zeros(count + 1), np.zeros(count + 1)
    owner = np.zeros(count + 1, np.int64)  # of each column, the row that has it; 0: nobody, and column 0 is the start
    for row in range(1, count + 1):
        owner[0], column = row, 0
        came_from, slack = np.zeros(count + 1, np.int64), np.full(count + 1, np.inf)
        free = np.ones(count + 1, np.bool_)
        while True:
            free[column] = False
            reduced = np.append(np.inf, cost[owner[column] - 1] - row_price[owner[column]] - column_price[1:])
            better = free & (reduced < slack)
            slack[better], came_from[better] = reduced[better], column
            nearest = int(np.argmin(np.where(free, slack, np.inf)))
            step = slack[nearest]
            row_price[owner[~free]] += step
            column_price[~free] -= step
            slack[free] -= step
            column = nearest
            if not owner[column]:
                break
        while column:
            owner[column], column = owner[came_from[column]], int(came_from[column])
    found = np.empty(count, np.int64)
    found[owner[1:] - 1] = np.arange(count)
    return found


def order(predicted: Whole, labels: Whole, classes: int) -> Whole:
    """For each class of the data the output that stands for it, so that most samples are right; -1 predicts nothing.

    Where that leaves a choice, a class keeps its own place.
    """
    confusion = np.zeros((classes, classes), np.int64)
    said = predicted >= 0
    np.add.at(confusion, (labels[said], predicted[said]), 1)
    return assignment(confusion * 2 * classes + np.eye(classes, dtype=np.int64))


def luck(predicted: Whole, labels: Whole, classes: int) -> float:
    """The share of all ways to name the outputs after which at least as many samples are right as there are now.

    A network that learnt nothing still sorts samples, so its accuracy may be far from one in so many classes; but no
    name suits its outputs better than another.
    """
    confusion = np.zeros((classes, classes), np.int64)
    said = predicted >= 0
    np.add.at(confusion, (labels[said], predicted[said]), 1)
    if classes <= ALL_WAYS:
        ways = np.array(list(itertools.permutations(range(classes))))
    else:
        random = np.random.default_rng(0)
        ways = np.stack([np.arange(classes), *(random.permutation(classes) for _ in range(SOME_WAYS - 1))])
    right = confusion[np.arange(classes), ways].sum(1)
    return float((right >= right[0]).mean())


def reordered(predicted: Whole, labels: Whole, classes: int) -> NDArray[np.bool_]:
    """Whether each sample is right once the classes are put in order. The order that judges one half of the samples
    comes from the other half, or chance would look like skill."""
    half, right = _rank(labels) % 2 == 0, np.zeros(len(labels), np.bool_)
    for judged in (half, ~half):
        stands_for = order(predicted[~judged], labels[~judged], classes)
        right[judged] = predicted[judged] == stands_for[labels[judged]]
    return right
