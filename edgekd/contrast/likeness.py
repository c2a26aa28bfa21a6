"""How alike two layers see the same samples: linear centered kernel alignment, by an estimator without bias.

Sources: Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019,
https://arxiv.org/abs/1905.00414 (CKA); Song, Smola, Gretton, Bedo and Borgwardt, "Feature Selection via Dependence
Maximization", JMLR 13, 2012, equation 4 (HSIC without bias); Nguyen, Raghu and Kornblith, "Do Wide and Deep Networks
Learn the Same Things?", ICLR 2021, https://arxiv.org/abs/2010.15327 (the one in the other). With the plain estimator
two layers of many more numbers than there are samples look alike, whatever they hold.
"""

import numpy as np
from numpy.typing import NDArray

Gram = NDArray[np.float64]


def gram(products: NDArray[np.floating]) -> Gram:
    """The products of samples' features with each other, (N, N), without those of a sample with itself, as the
    estimator wants it."""
    found: Gram = products.astype(np.float64)
    np.fill_diagonal(found, 0.0)
    return found


def hsic(one: Gram, two: Gram) -> float:
    """The Hilbert-Schmidt independence criterion of two grams with zero diagonals, without bias; at least 4 samples."""
    n = len(one)
    if n < 4:
        raise ValueError(f"layers are compared on 4 samples or more, not {n}")
    trace = float((one * two).sum())
    sums = float(one.sum() * two.sum()) / ((n - 1) * (n - 2))
    cross = 2.0 / (n - 2) * float(one.sum(axis=0) @ two.sum(axis=0))
    return (trace + sums - cross) / (n * (n - 3))


def alignment(ones: list[Gram], twos: list[Gram]) -> NDArray[np.float64]:
    """CKA of each of `ones` with each of `twos`, from 0 to 1; 0 where a layer says the same of every sample."""
    own = [max(hsic(gram, gram), 0.0) for gram in ones]
    theirs = [max(hsic(gram, gram), 0.0) for gram in twos]
    found = np.zeros((len(ones), len(twos)))
    for i, one in enumerate(ones):
        for j, two in enumerate(twos):
            scale = (own[i] * theirs[j]) ** 0.5
            found[i, j] = np.clip(hsic(one, two) / scale, 0, 1) if scale > 0 else 0.0
    return found
