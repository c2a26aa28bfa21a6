"""How good is what the student learns from? Coverage of the test part, variety, softness at one temperature."""

import numpy as np
from numpy.typing import NDArray

from edgekd.contrast import neighbours
from edgekd.contrast.calibration import probabilities
from edgekd.errors import EdgekdError
from edgekd.kept import Appraised
from edgekd.steps import Appraise
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)

# Samples of either part that are compared with each other.
MOST = 2000


def run(step: Appraise, out: Workspace) -> Appraised:
    """The transfer part's plain samples beside the test part's, by the teacher's logits, of both equally many.

    A logit's mean over the classes says nothing, so it is taken off. Raises EdgekdError for a part that is too small.
    """
    random = np.random.default_rng(step.seed)
    transfer = np.asarray(out.load(step.soft_targets.train)[0], np.float64)
    test = np.asarray(out.load(step.soft_targets.parts["test"]), np.float64)
    count = min(MOST, len(transfer), len(test))
    if count <= neighbours.NEIGHBOURS:
        raise EdgekdError(f"{count} samples are too few to tell how well transfer data cover test data")
    some, judged = (logits[random.permutation(len(logits))[:count]] for logits in (transfer, test))
    covered, density = neighbours.coverage(_centred(some), _centred(judged))
    likely = probabilities(some)
    soft = probabilities(transfer / step.temperature)
    return Appraised(
        samples=count,
        coverage=covered,
        expected=neighbours.expected_coverage(count, count),
        density=density,
        variety=neighbours.vendi(likely),
        variety_of_test=neighbours.vendi(probabilities(judged)),
        classes=neighbours.effective(likely.mean(axis=0)),
        temperature=step.temperature,
        entropy=_entropy(soft),
        peak=float(soft.max(axis=1).mean()),
    )


def _centred(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = logits - logits.mean(axis=1, keepdims=True)
    return centred


def _entropy(probabilities: NDArray[np.float64]) -> float:
    """Mean entropy of rows over that of equal probabilities: 0 for one class alone, 1 for all alike."""
    each = -(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1)
    return float(each.mean() / np.log(probabilities.shape[1]))
