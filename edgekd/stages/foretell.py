"""What would students cost that were not measured? A law of their work fitted on measured ones, and its own errors.

The trend is a sum of kinds of work with coefficients that are not negative (Lawson and Hanson, Solving Least Squares
Problems, 1974), weighed so that relative errors count; what it leaves in logarithms is a Gaussian process over the
logarithms of the work (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006), where that says more
than nothing of a network left out (equation 5.12 there).

Processors compute several channels at once: five cost what sixteen cost. How many, and which numbers of channels take
a slower way, are facts of processor, runtime and precision that nobody tells. So there are several laws, and those that
miss measured networks least, each left out once, predict together. Two kinds are of what onnxruntime does: blocks of
channels (NCHWc, onnxruntime/core/optimizer/nchwc_transformer.cc) and 8-bit kernels that want channels in whole vectors
(onnxruntime/core/mlas/lib/convsym.cpp, both at https://github.com/microsoft/onnxruntime).
"""

import math
import warnings
from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from edgekd.results import Estimate, Estimated, Kind, Product, Series, Work
from edgekd.steps import Foretell
from edgekd.workspace import Workspace

VERSION = 4
PACKAGES = ("numpy", "scipy", "scikit-learn")

# Below so many networks nothing is known of the law's error: then `spread` is UNSURE, which is the most it is.
LEAST, UNSURE = 4, 0.7
# Weight of the pull towards no work of a kind, where too few networks tell kinds apart.
PULL = 0.01
# No network costs less than this share of the cheapest, whatever a trend says.
FLOOR = 0.1
# Channels written and read at once. The first says that channels cost what they are.
LANES = tuple((written, read) for written in (1, 8, 16, 32) for read in (1, 4, 8, 16))
# Channels in a block or a vector, and of how many those that are read have to be a multiple to come in these.
BLOCKS, WHOLE = (8, 16), 4
# Numbers at once in a product of matrices, which is what is left to others.
ROW = 16
# So many of the best laws predict together, weighed by the inverse square of what each misses, this much at least.
TOGETHER, SURE = 3, 1e-3
# The process is asked where it misses at most this share of what the trend alone misses.
WORTH = 0.9
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
    laws, logs = _laws(every, series.cost), _logarithms(every)
    values, count = np.asarray(series.values, float), len(measured)
    rows = np.arange(count)
    errors = [
        values[i] / math.exp(_predict(laws, logs, values, rows[rows != i], rows[i : i + 1])[0][0]) - 1
        for i in (rows if count >= LEAST else ())
    ]
    centre, spread = _predict(laws, logs, values, rows, np.arange(count, len(every)))
    doubt = float(np.median(np.abs(errors))) if errors else UNSURE
    return Estimate(
        values=tuple(np.exp(centre).tolist()),
        spread=tuple(np.clip(spread, min(doubt, UNSURE), UNSURE).tolist()),
        errors=tuple(errors),
    )


def _predict(
    laws: Sequence[Array], logs: Array, values: Array, known: NDArray[np.int64], asked: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Mean and standard deviation of the logarithm of networks from others, both by row of the laws and `logs`.

    Law, trend and kernel are fitted on the `known` rows alone, so that an error of a row left out is one of prediction.
    """
    if not len(asked):
        return np.empty(0), np.empty(0)
    sums = _together(laws, values, known)
    left = np.log(values[known]) - sums[known]
    process = _fitted(logs[known], left)
    centre, spread = process.predict(logs[asked], return_std=True)
    if len(known) >= LEAST and _without(process, logs[known], left) > WORTH * float(np.abs(left).mean()):
        centre = np.zeros(len(asked))
    return sums[asked] + centre, spread


def _together(laws: Sequence[Array], values: Array, known: NDArray[np.int64]) -> Array:
    """Logarithms of what the best laws say of every network, each law for as much as it can be trusted."""
    best = [(1.0, 0)]
    if len(known) >= LEAST and len(laws) > 1:
        best = sorted((_missed(law[known], values[known]), i) for i, law in enumerate(laws))[:TOGETHER]
    least = FLOOR * values[known].min()
    trends = [np.log(np.maximum(laws[i] @ _trend(laws[i][known], values[known]), least)) for _, i in best]
    return np.asarray(np.average(trends, axis=0, weights=[1 / max(missed, SURE) ** 2 for missed, _ in best]))


def _without(process: GaussianProcessRegressor, logs: Array, left: Array) -> float:
    """By how much a process misses what the trend left over of networks, each left out once."""
    inverse = np.linalg.pinv(process.kernel_(logs))
    return float(np.abs(inverse @ left / np.diag(inverse)).mean())


def _missed(work: Array, values: Array) -> float:
    """By how much a trend misses networks that it was not fitted on: mean of logarithms, each left out once."""
    missed = []
    for i in range(len(values)):
        rest = np.arange(len(values)) != i
        found = max(float(work[i] @ _trend(work[rest], values[rest])), FLOOR * values.min())
        missed.append(abs(math.log(values[i] / found)))
    return sum(missed) / len(missed)


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


def _laws(networks: Sequence[Work], cost: str) -> list[Array]:
    """What a cost may be a sum of: kinds of work, scaled so that each is one at most; the first is a constant."""
    if cost == "latency" and all(one.products for one in networks):
        lanes = [[_lanes(one, written, read) for one in networks] for written, read in LANES]
        blocks = [[way(one, block) for one in networks] for way in (_blocks, _vectors) for block in BLOCKS]
        return [_scaled([(1, *row) for row in law]) for law in (*lanes, *blocks)]
    return [_scaled([(1, *_kinds(one, cost)) for one in networks])]


def _scaled(rows: Sequence[tuple[int, ...]]) -> Array:
    found = np.array(rows, float)
    return np.asarray(found / np.maximum(found.max(0), 1e-30))


def _lanes(one: Work, written: int, read: int) -> tuple[int, ...]:
    """Products by kind where channels are computed so many at once, numbers read and written, places, operators."""
    products = dict.fromkeys(get_args(Kind), 0)
    for each in one.products:
        # a depthwise kernel has a channel of its own to read
        inputs = each.inputs if each.kind == "depthwise" else _up(each.inputs, read)
        products[each.kind] += each.places * _up(each.outputs, written) * inputs * each.taps
    return (*products.values(), *_rest(one))


def _rest(one: Work) -> tuple[int, ...]:
    """Numbers read and written, places, products and other operators."""
    moved = sum(p.places * p.outputs + p.read * p.inputs for p in one.products)
    places = sum(p.places for p in one.products)
    return moved, places, len(one.products), one.operators.get("other", 0)


def _blocks(one: Work, block: int) -> tuple[int, ...]:
    """Products of whole blocks, of a first few channels and of others, by kind; what is copied on these ways."""
    sums = dict.fromkeys(product(("whole", "few", "other"), get_args(Kind)), 0)
    unrolled = reordered = 0
    before = "other"
    for each in one.products:
        way = _way(each, block)
        outputs = each.outputs if way == "other" else _up(each.outputs, block)
        inputs = _up(each.inputs, block) if way == "whole" and each.kind != "depthwise" else each.inputs
        sums[way, each.kind] += each.places * outputs * inputs * each.taps
        if way == "other" and each.taps > 1:
            unrolled += each.places * each.taps * _channels(each)
        if (before == "other") != (way != "whole"):
            reordered += each.read * _channels(each)
        before = way
    return (*sums.values(), unrolled, reordered, *_rest(one))


def _way(one: Product, block: int) -> str:
    """How channels are computed: in whole blocks, read one by one and written in blocks, or without any."""
    if one.kind == "depthwise":
        return "other" if one.outputs % WHOLE else "whole"
    if one.inputs < block:
        return "few"
    return "other" if one.inputs % WHOLE else "whole"


def _vectors(one: Work, vector: int) -> tuple[int, ...]:
    """Products of channels in whole vectors, and of others as products of matrices, by kind, and what is copied."""
    sums = dict.fromkeys(product(("whole", "other"), get_args(Kind)), 0)
    unrolled = 0
    for each in one.products:
        deep = each.kind == "depthwise"
        if each.outputs % vector == 0 and (deep or each.inputs % WHOLE == 0):
            sums["whole", each.kind] += each.places * each.outputs * each.inputs * each.taps
        else:
            read = each.taps if deep else _up(each.inputs * each.taps, WHOLE)
            sums["other", each.kind] += each.places * _up(each.outputs, ROW) * read
            unrolled += each.places * each.taps * _channels(each)
    return (*sums.values(), unrolled, *_rest(one))


def _channels(one: Product) -> int:
    """Channels read: a depthwise kernel has one of its own for each that it writes."""
    return one.outputs if one.kind == "depthwise" else one.inputs


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


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
