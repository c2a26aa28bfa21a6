"""Alignment of layers keeps what its papers say of it."""

import numpy as np
import pytest

from edgekd.contrast.likeness import alignment, gram, hsic

RANDOM = np.random.default_rng(0)
LAYER = RANDOM.normal(size=(64, 10)).astype(np.float32)


def products(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(0)
    return centred @ centred.T


def cka(one: np.ndarray, two: np.ndarray) -> float:
    return float(alignment([gram(products(one))], [gram(products(two))])[0, 0])


def by_definition(one: np.ndarray, two: np.ndarray) -> float:
    """HSIC without bias, as a mean over all choices of four different samples."""
    n, k, m = len(one), one.copy(), two.copy()
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    total, choices = 0.0, 0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q]
                        choices += 1
    return total / choices


def test_it_is_the_estimator_of_song_et_al() -> None:
    one, two = (RANDOM.normal(size=(8, 3)) for _ in range(2))
    grams = [gram(products(values)) for values in (one, two)]
    assert hsic(*grams) == pytest.approx(by_definition(*grams))
    with pytest.raises(ValueError, match="4 samples"):
        hsic(grams[0][:3, :3], grams[1][:3, :3])


def test_a_layer_is_itself_turned_and_scaled_too() -> None:
    turn, _ = np.linalg.qr(RANDOM.normal(size=(10, 10)))
    assert cka(LAYER, LAYER) == pytest.approx(1.0)
    assert cka(LAYER, 7 * LAYER @ turn + 3) == pytest.approx(1.0, abs=1e-4)


def test_layers_that_have_nothing_to_do_with_each_other_are_not_alike_however_wide() -> None:
    wide = [RANDOM.normal(size=(64, 5000)) for _ in range(2)]
    assert cka(*wide) < 0.1
    one, two = map(products, wide)
    biased = (one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two)
    assert biased > 0.9, "which the estimator of the first paper would call alike"


def test_a_layer_that_says_nothing_is_like_none() -> None:
    assert cka(np.ones((64, 4)), LAYER) == 0.0
