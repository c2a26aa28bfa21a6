"""How well transfer samples cover test samples, and how varied they are, from the teacher's outputs alone.

Sources: Naeem, Oh, Uh, Choi and Yoo, "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020,
https://arxiv.org/abs/2002.09797 (density, coverage); Friedman and Dieng, "The Vendi Score", TMLR 2023,
https://arxiv.org/abs/2210.02410.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Neighbours that make a neighbourhood, and samples whose distances are worked out at once.
NEIGHBOURS, BLOCK = 5, 512


def distances(ones: Values, twos: Values) -> Values:
    """Euclidean distances (N, M) of rows."""
    found = np.empty((len(ones), len(twos)))
    squares = (twos**2).sum(axis=1)
    for start in range(0, len(ones), BLOCK):
        rows = ones[start : start + BLOCK]
        squared = (rows**2).sum(axis=1)[:, None] + squares - 2 * rows @ twos.T
        found[start : start + BLOCK] = np.sqrt(np.maximum(squared, 0.0))
    return found


def coverage(transfer: Values, test: Values, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """(coverage, density): the share of test rows with a transfer row no farther than their own k-th neighbour among
    test rows; and the mean number of such neighbourhoods that a transfer row lies in, over k.

    Raises ValueError where there are not more test rows than neighbours.
    """
    if len(test) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more than {len(test)} samples")
    own = distances(test, test)
    np.fill_diagonal(own, np.inf)
    reach = np.partition(own, neighbours - 1, axis=1)[:, neighbours - 1]
    inside = distances(test, transfer) <= reach[:, None]
    return float(inside.any(axis=1).mean()), float(inside.sum() / (neighbours * len(transfer)))


def expected_coverage(transfer: int, test: int, neighbours: int = NEIGHBOURS) -> float:
    """The coverage that so many transfer and test rows of one continuous distribution have in the mean.

    1 - product over i = 1..k of (M - i) / (N + M - i) with N transfer and M test rows (Naeem et al., lemma 2): of a
    test row's N + M - 1 others the k nearest must not all be test rows.
    """
    chance = 1.0
    for i in range(1, neighbours + 1):
        chance *= (test - i) / (transfer + test - i)
    return 1.0 - chance


def vendi(features: Values) -> float:
    """The effective number of different rows (N, D), from 1 to N: exp of the entropy of the eigenvalues of K / N, with
    K the cosines of the rows. Rows of zeros count as alike to none.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(lengths > 0, lengths, 1.0)
    shared = unit.T @ unit if unit.shape[1] < len(unit) else unit @ unit.T
    return effective(np.linalg.eigvalsh(shared / len(unit)))


def effective(shares: NDArray[Any]) -> float:
    """exp of the entropy of shares that add up to one: how many equal ones would be as varied."""
    positive = shares[shares > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))
