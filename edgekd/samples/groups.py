"""Whole groups of samples, such as all recordings of a person, for a part that something is judged on."""

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem
from edgekd.plugins import Source

Rows = NDArray[np.int64]
Names = NDArray[np.str_]
# Random orders of the groups that are looked at, and what a class costs that only the chosen groups have.
TRIES, LOST = 500, 10.0
NAMED = 5


def chosen(groups: Names, labels: Rows, count: int, leave: int, random: np.random.Generator) -> Names:
    """Groups that together have about `count` samples, and each class in its proportion; at least `leave` others stay.

    `groups` and `labels` are of the samples to choose from. The best of some hundred random orders is taken: there are
    few groups, and none can be divided.
    """
    names, member = np.unique(groups, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    table = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(table, (member, label), 1)
    total, found = table.sum(0), (np.inf, names[:1])
    for _ in range(TRIES):
        order = random.permutation(len(names))
        sums = table[order].cumsum(0)[: max(1, len(names) - leave)]
        sizes = sums.sum(1)
        uneven = np.abs(sums / sizes[:, None] - total / total.sum()).sum(1)
        costs = np.abs(sizes / max(count, 1) - 1) + uneven + LOST * (sums == total).sum(1)
        best = int(costs.argmin())
        if costs[best] < found[0]:
            found = (float(costs[best]), names[order[: best + 1]])
    return np.sort(found[1])


def problems(source: Source) -> list[Problem]:
    """Why the groups of these samples cannot be kept apart."""
    groups = source.train.groups
    if groups is None:
        return []
    found = []
    known, needed = len(np.unique(groups[source.train.labels >= 0])), 3 if source.test is None else 2
    if known < needed:
        message = f"labelled training samples are of {known} groups; at least {needed} are needed"
        found.append(Problem("data", message, "Each part that is judged takes whole groups; leave `group` out if not"))
    if source.test is not None and source.test.groups is not None:
        shared = np.intersect1d(groups, source.test.groups)
        if len(shared):
            message = f"{len(shared)} groups have training and test samples: {named(shared)}"
            found.append(Problem("data.test", message, "Give all samples of a group to one of the two"))
    return found


def named(groups: Names) -> str:
    """The first groups by name."""
    return ", ".join(groups[:NAMED]) + (", ..." if len(groups) > NAMED else "")
