"""What does a network itself answer over one part? Torch runs a trained student, and a teacher runs as it is."""

import os

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.errors import EdgekdError
from edgekd.nets import inference, pair
from edgekd.plugins import Oracle
from edgekd.results import Checkpoint, Predictions, Signature
from edgekd.samples.views import Feed
from edgekd.steps import Ask
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "safetensors", "numpy")

CHUNK = 1024


def run(step: Ask, out: Workspace) -> Predictions:
    """Outputs of the part's plain samples, basis "reference". Raises EdgekdError for a teacher that only knows saved
    answers where the samples are not the data's own; UsageError for outputs that do not fit."""
    torch.set_num_threads(os.cpu_count() or 1)
    signature, oracle, who = _opened(step, out)
    part = step.splits.parts[step.part]
    if not oracle.live and part.rows is None:
        raise EdgekdError(f"the teacher's answers were saved; it cannot be asked anew ({oracle.why_no_module})")
    feed = Feed(out, step.splits, step.part, signature, augment=False, seed=0)
    numbers = None if part.rows is None else np.asarray(out.load(part.rows), np.int64)
    found = []
    for start in range(0, feed.count, CHUNK):
        rows: NDArray[np.int64] = np.arange(start, min(start + CHUNK, feed.count), dtype=np.int64)
        outputs = oracle.outputs(feed.batch(rows), rows if numbers is None else numbers[rows], step.part)
        found.append(np.asarray(outputs, np.float32))
        out.progress((start + len(rows)) / feed.count, f"{start + len(rows)} of {feed.count} samples answered")
    outputs = np.concatenate(found)
    inference.check_outputs(outputs, feed.count, step.splits.outputs, who)
    why = "the teacher's own outputs" if who == "teacher" else "torch ran the trained network"
    return Predictions(outputs=out.save("outputs.npy", outputs), part=step.part, basis="reference", why=why)


def _opened(step: Ask, out: Workspace) -> tuple[Signature, Oracle, str]:
    """What the network takes, the network as a teacher is asked, and who it is."""
    if isinstance(step.source, Checkpoint):
        network, signature = pair.trained(step.source, step.splits, out)
        return signature, Oracle(outputs=inference.answers(network, signature)), "student"
    oracle, signature = pair.oracle(step.source, step.splits, out)
    return signature, oracle, "teacher"
