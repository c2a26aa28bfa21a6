"""Work out what an artifact computes over a whole part by its format's definitions, where no runtime can run it."""

import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import NotVerified, Problem, UsageError
from edgekd.nets import inference
from edgekd.plugins import Evaluation
from edgekd.results import Artifact, Predictions
from edgekd.samples.views import Feed
from edgekd.steps import Reference
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "numpy")

OUTPUTS = "outputs.npy"
# seconds between two words of how far it is
PAUSE = 0.5
WHY = "the {} file's operators were evaluated by their definitions on the computer that made it, not in its own runtime"


def run(step: Reference, out: Workspace) -> Predictions:
    """Evaluate every sample of the part; the basis is "reference".

    Where an operator has no rule the basis is "not measured", with the operator as the reason, and the outputs hold no
    sample. Raises UsageError for a format that has no evaluator.
    """
    torch.set_num_threads(1)
    artifact = step.artifact
    if not plugins.declared("formats", artifact.format).reference:
        raise UsageError(Problem("format", f"{artifact.format} has no reference evaluator"))
    feed = Feed(out, step.splits, step.part, artifact.signature, augment=False, seed=0)
    try:
        evaluate = plugins.find("formats", artifact.format).evaluator(out.locate(artifact.file), artifact.signature)
        outputs = _outputs(artifact, feed, evaluate, out)
    except NotVerified as error:
        nothing = np.zeros((0, *artifact.signature.outputs[0].shape[1:]), np.float32)
        return Predictions(outputs=out.save(OUTPUTS, nothing), part=step.part, basis="not measured", why=str(error))
    return Predictions(
        outputs=out.save(OUTPUTS, outputs), part=step.part, basis="reference", why=WHY.format(artifact.format)
    )


def _outputs(artifact: Artifact, feed: Feed, evaluate: Evaluation, out: Workspace) -> NDArray[np.float32]:
    """The first output of every sample, float32 (N, classes), piece by piece."""
    first, found = artifact.signature.outputs[0].name, []
    told = time.monotonic()
    for rows in _pieces(artifact, feed.count):
        found.append(np.asarray(evaluate(feed.batch(rows))[first], np.float32))
        if time.monotonic() - told >= PAUSE:
            told, done = time.monotonic(), int(rows[-1]) + 1
            out.progress(done / feed.count, f"{done} of {feed.count} samples evaluated")
    return np.concatenate(found)


def _pieces(artifact: Artifact, count: int) -> Iterator[NDArray[np.int64]]:
    """Sample numbers, as many at once as fit into memory with the values between operators."""
    largest = max(math.prod(spec.shape[1:]) for spec in artifact.signature.inputs)
    size = max(1, min(inference.CHUNK, inference.NUMBERS // max(1, largest)))
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count), dtype=np.int64)
