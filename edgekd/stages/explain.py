"""From which parts of some samples do a trained student and the teacher answer?

Integrated gradients, from zeros to the prepared sample: Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep
Networks", ICML 2017, https://arxiv.org/abs/1703.01365. Ids have no path from zero: there it is the gradient times the
embedding. Both by captum: Kokhlikyan et al., 2020, https://arxiv.org/abs/2009.07896
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradientXActivation
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.contrast import showing
from edgekd.errors import EdgekdError
from edgekd.kept import Attributed, Explained
from edgekd.nets import networks, pair
from edgekd.results import Signature
from edgekd.runtimes import preprocess
from edgekd.samples.views import Feed
from edgekd.steps import Explain
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "captum", "numpy", "pillow")
EXTRA = "train"

# Points on the way from zeros to the sample, and of those the most that run at once: samples, and their numbers.
STEPS, AT_ONCE, NUMBERS = 24, 32, 1_000_000

Array = NDArray[Any]
Weights = NDArray[np.float64]


def run(step: Explain, out: Workspace) -> Explained:
    """Attribute each network's own answer to the input that tells most. Raises EdgekdError where no gradient is."""
    torch.manual_seed(0)
    part = step.splits.parts[step.part]
    rows = np.asarray(step.samples, np.int64)
    stored = {name: np.asarray(out.load(file)[rows]) for name, file in part.inputs.items()}
    name = showing.telling_input({key: values[0] for key, values in stored.items()})
    found = []
    for network, signature in (
        pair.trained(step.student, step.splits, out),
        pair.teaching(step.teacher, step.splits, out),
    ):
        torch.set_num_threads(pair.threads(signature))
        feed = Feed(out, step.splits, step.part, signature, augment=False, seed=0)
        found.append(attributions(network, signature, feed.batch(rows), name))
    ours, theirs = found
    samples = [
        _shown(number, {key: values[i] for key, values in stored.items()}, name, ours[i], theirs[i])
        for i, number in enumerate(step.samples)
    ]
    ids = stored[name].dtype.kind in "iu" and not showing.is_picture(stored[name][0])
    method = "gradient times embedding" if ids else "integrated gradients"
    return Explained(method=method, of=name, samples=tuple(samples))


def attributions(network: nn.Module, signature: Signature, batch: Mapping[str, Array], name: str) -> Weights:
    """What each number of one prepared input does for the network's own answers: signed, of the input's shape."""
    tensors = {key: torch.tensor(values) for key, values in batch.items()}
    others = [spec.name for spec in signature.inputs if spec.name != name]
    first = signature.outputs[0].name

    def answer(chosen: Tensor, *more: Tensor) -> Tensor:
        given = {name: chosen, **dict(zip(others, more, strict=True))}
        return networks.forward(network, given, signature)[first]

    more = tuple(tensors[key] for key in others)
    with torch.no_grad():
        answers = answer(tensors[name], *more).argmax(1)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    if tensors[name].is_floating_point():
        method = IntegratedGradients(answer)
        together = max(1, min(AT_ONCE, NUMBERS // tensors[name][0].numel()))
        given = method.attribute(
            tensors[name], target=answers, additional_forward_args=more, n_steps=STEPS, internal_batch_size=together
        )
        return np.asarray(given.detach().double().numpy())
    table = _embedding(network)
    table.weight.requires_grad_(True)
    layered = LayerGradientXActivation(answer, table)
    given = layered.attribute(tensors[name], target=answers, additional_forward_args=more)
    return np.asarray(given.detach().double().sum(dim=-1).numpy())


def _embedding(network: nn.Module) -> nn.Embedding:
    """The first table of embeddings of a network, by which its ids become numbers."""
    found = next((module for module in network.modules() if isinstance(module, nn.Embedding)), None)
    if found is None:
        raise EdgekdError("a network takes ids and has no torch.nn.Embedding, so no gradient leads to them")
    return found


def _shown(number: int, sample: Mapping[str, Array], name: str, ours: Weights, theirs: Weights) -> Attributed:
    """Both attributions of one sample, painted on it where it is an image or a series, else a weight for each word.

    A word has none where a network takes other numbers than are stored.
    """
    values = sample[name]
    if showing.is_picture(values):
        mine, its = (np.abs(one).sum(axis=0) for one in (ours, theirs))
        painted = (showing.painted(values, mine), showing.painted(values, its))
        return _painted(number, _cosine(*_alike(mine, its)), *painted)
    if showing.is_series(values):
        mine, its = (np.abs(one).reshape(len(one), -1).sum(axis=1) for one in (ours, theirs))
        likeness = _cosine(mine, its) if mine.shape == its.shape else float("nan")
        return _painted(number, likeness, showing.curves(values, mine), showing.curves(values, its))
    if not ours.shape == theirs.shape == values.shape:
        raise EdgekdError(
            f"the networks take {ours.shape} and {theirs.shape} numbers of {name}, {values.shape} are stored"
        )
    visible = showing.kept(sample, name)
    mine, its = (one[visible].reshape(-1) for one in (ours, theirs))
    return Attributed(
        number=number,
        likeness=_cosine(mine, its),
        student=tuple(float(x) for x in mine[: showing.WORDS]),
        teacher=tuple(float(x) for x in its[: showing.WORDS]),
    )


def _painted(number: int, likeness: float, student: str, teacher: str) -> Attributed:
    return Attributed(number=number, likeness=likeness, student_picture=student, teacher_picture=teacher)


def _alike(one: Weights, other: Weights) -> tuple[Weights, Weights]:
    """Two maps of pixels in the size of the smaller one."""
    side = min(one.shape[0], other.shape[0])

    def small(weights: Weights) -> Weights:
        top = max(float(weights.max()), 1e-30)
        levels = np.round(255 * weights / top).astype(np.uint8)[None, :, :, None]
        return preprocess.resize(levels, side, "box")[0, :, :, 0].astype(np.float64)

    return small(one), small(other)


def _cosine(one: Weights, other: Weights) -> float:
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip((one * other).sum() / scale, -1, 1)) if scale else 0.0
