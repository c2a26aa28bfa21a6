"""What would students cost that were not measured? A law of their work fitted on measured ones, and its own errors.

The trend is a sum of kinds of work with coefficients that are not negative (Lawson and Hanson, Solving Least Squares
Problems, 1974), weighed so that relative errors count; what it leaves in logarithms is a Gaussian process over the
logarithms of the work (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006).
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from edgekd.results import Estimate, Estimated, Series, Work
from edgekd.steps import Foretell
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("numpy", "scipy", "scikit-learn")

# Below so many networks nothing is known of the law's error: then `spread` is UNSURE, which is the most it is.
LEAST, UNSURE = 4, 0.7
# Weight of the pull towards no work of a kind, where too few networks tell kinds apart.
PULL = 0.01
# No network costs less than this share of the cheapest, whatever a trend says.
FLOOR = 0.1
# Standard deviations of logarithms: what the trend leaves over, and noise of a measurement.
_LEFT, _NOISE = ConstantKernel(0.01, (1e-5, 1.0)), WhiteKernel(1e-3, (1e-6, 0.05))
KERNEL: Kernel = _LEFT * Matern(length_scale=2.0, length_scale_bounds=(0.5, 50.0), nu=2.5) + _NOISE

Array = NDArray[np.float64]


def run(step: Foretell, out: Workspace) -> Estimated:
    """Estimate every series for the other networks."""
    return Estimated(estimates=tuple(estimate(step.measured, series, step.others) for series in step.series))


def estimate(measured: Sequence[Work], series: Series, others: Sequence[Work]) -> Estimate:
    """Fit one cost of the measured networks, predict the others, and predict each measured one from the rest."""
    every = (*measured, *others)
    work, logs = _columns(every, series.cost), _logarithms(every)
    values, count = np.asarray(series.values, float), len(measured)
    rows = np.arange(count)
    errors = [
        values[i] / math.exp(_predict(work, logs, values, rows[rows != i], rows[i : i + 1])[0][0]) - 1
        for i in (rows if count >= LEAST else ())
    ]
    centre, spread = _predict(work, logs, values, rows, np.arange(count, len(every)))
    doubt = float(np.median(np.abs(errors))) if errors else UNSURE
    return Estimate(
        values=tuple(np.exp(centre).tolist()),
        spread=tuple(np.clip(spread, min(doubt, UNSURE), UNSURE).tolist()),
        errors=tuple(errors),
    )


def _predict(
    work: Array, logs: Array, values: Array, known: NDArray[np.int64], asked: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Mean and standard deviation of the logarithm of networks from others, both by row of `work` and `logs`.

    Trend and kernel are fitted on the `known` rows alone, so that an error of a row left out is one of prediction.
    """
    if not len(asked):
        return np.empty(0), np.empty(0)
    trend = _trend(work[known], values[known])
    least = FLOOR * values[known].min()
    sums = np.log(np.maximum(work @ trend, least))
    process = _fitted(logs[known], np.log(values[known]) - sums[known])
    centre, spread = process.predict(logs[asked], return_std=True)
    return sums[asked] + centre, spread


def _trend(work: Array, values: Array) -> Array:
    """Coefficients of each kind of work, none negative and not all zero, for the least relative error."""
    pull = PULL * np.eye(work.shape[1]) / np.maximum(work.mean(0), 1e-30)
    pulled = np.vstack([work / values[:, None], pull * (work.mean(0) / values.mean())])
    found, _ = nnls(pulled, np.concatenate([np.ones(len(values)), np.zeros(work.shape[1])]))
    return np.asarray(found) if found.any() else np.eye(work.shape[1])[0] * float(np.exp(np.log(values).mean()))


def _fitted(logs: Array, left: Array) -> GaussianProcessRegressor:
    """The process with the parameters that make what the trend left over likeliest; few networks tell none."""
    if len(left) < LEAST:
        return GaussianProcessRegressor(KERNEL, optimizer=None).fit(logs, left)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # where the trend leaves nothing, a bound is the answer
        return GaussianProcessRegressor(KERNEL).fit(logs, left)


def _columns(networks: Sequence[Work], cost: str) -> Array:
    """Kinds of work that a cost is a sum of, scaled so that each is one at most; the first is a constant."""
    found = np.array([(1, *_kinds(one, cost)) for one in networks], float)
    return np.asarray(found / np.maximum(found.max(0), 1e-30))


def _kinds(one: Work, cost: str) -> tuple[int, ...]:
    operators = sum(one.operators.values())
    if cost == "latency":
        return one.dense, one.pointwise, one.depthwise, one.moved, operators
    return (one.params, one.peak, one.moved) if cost == "memory" else (one.params, operators)


def _logarithms(networks: Sequence[Work]) -> Array:
    """Logarithms of all that is known of networks, of mean zero and deviation one; what never varies is left out."""
    found = np.log1p([_all(one) for one in networks])
    varied = found[:, found.std(0) > 1e-9]
    if not varied.shape[1]:
        return np.zeros((len(found), 1))
    return np.asarray((varied - varied.mean(0)) / varied.std(0))


def _all(one: Work) -> tuple[float, ...]:
    operators = (one.operators.get(kind, 0) for kind in ("dense", "pointwise", "depthwise", "other"))
    return (one.dense, one.pointwise, one.depthwise, one.moved, one.peak, one.params, one.resolution, *operators)
