"""Which layers of a trained student see samples as which layers of the teacher do?"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.contrast.likeness import Gram, alignment, gram
from edgekd.errors import EdgekdError
from edgekd.kept import Resemblance
from edgekd.nets import inference, networks, pair
from edgekd.results import Signature
from edgekd.samples.views import Feed
from edgekd.steps import Resemble
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "safetensors", "numpy")

# Samples that layers are compared on, most layers of a network that are, and most numbers that are taken of one.
SAMPLES, LAYERS, NUMBERS = 256, 12, 4096

# Samples that show which tensors have one row for each.
PROBES = 3

Batch = Mapping[str, NDArray[Any]]


def run(step: Resemble, out: Workspace) -> Resemblance:
    """CKA between layers on the first samples of the part. Raises EdgekdError where the teacher has no modules."""
    student, its_signature = pair.trained(step.student, step.splits, out)
    teacher, signature = pair.teaching(step.teacher, step.splits, out)
    torch.set_num_threads(pair.threads(signature))
    ours = _seen(step, out, student, its_signature)
    theirs = _seen(step, out, teacher, signature)
    for who, seen in (("student", ours), ("teacher", theirs)):
        if not seen:
            raise EdgekdError(f"the {who}'s network calls no modules whose outputs could be compared")
    count = min(SAMPLES, step.splits.parts[step.part].count)
    values = alignment(list(ours.values()), list(theirs.values()))
    return Resemblance(
        student=tuple(ours),
        teacher=tuple(theirs),
        values=tuple(tuple(float(value) for value in row) for row in values),
        samples=count,
        part=step.part,
    )


def _seen(step: Resemble, out: Workspace, network: nn.Module, signature: Signature) -> dict[str, Gram]:
    """How alike the samples are to each of the chosen layers, by name, in the order in which they run."""
    feed = Feed(out, step.splits, step.part, signature, augment=False, seed=0)
    batch = feed.batch(np.arange(min(SAMPLES, feed.count)))
    chosen = thinned(layers(network, {name: values[:PROBES] for name, values in batch.items()}, signature))
    modules, found = dict(pair.inner(network).named_modules()), dict[str, list[Tensor]]()

    def keep(name: str, module: nn.Module, given: object, output: object) -> None:
        value = _tensor(output)
        assert value is not None
        found.setdefault(name, []).append(_some(value))

    handles = [modules[name].register_forward_hook(partial(keep, name)) for name in chosen]
    with torch.inference_mode():
        for piece in inference.pieces(batch):
            networks.forward(network, piece, signature)
    for handle in handles:
        handle.remove()
    # a module that runs several times for a sample is told by its first run
    pieces = len(list(inference.pieces(batch)))
    whole = {name: torch.cat(each[:: len(each) // pieces]) for name, each in found.items()}
    return {name: gram(_products(values)) for name, values in whole.items() if len(values) == min(SAMPLES, feed.count)}


def _products(features: Tensor) -> NDArray[np.float32]:
    """Products of samples with each other, (N, N), of centred features (N, numbers)."""
    centred = features - features.mean(dim=0)
    return np.asarray((centred @ centred.T).numpy())


def layers(network: nn.Module, batch: Batch, signature: Signature) -> list[str]:
    """Modules that give a tensor of one row a sample, in the order in which they end; of those that give one and the
    same tensor the last, which is the one that the others are in."""
    count = len(next(iter(batch.values())))
    names: dict[int, str] = {}
    held: list[Tensor] = []  # or another tensor might get the number of one that is gone

    def note(name: str, module: nn.Module, given: object, output: object) -> None:
        value = _tensor(output)
        if value is not None and value.is_floating_point() and value.ndim > 1 and len(value) == count:
            held.append(value)
            names.pop(id(value), None)
            names[id(value)] = name

    whole = pair.inner(network)
    handles = [m.register_forward_hook(partial(note, name)) for name, m in whole.named_modules() if name]
    with torch.inference_mode():
        networks.forward(network, batch, signature)
    for handle in handles:
        handle.remove()
    return list(names.values())


def thinned(names: Sequence[str], most: int = LAYERS) -> list[str]:
    """At most so many of the names, evenly spread, the first and the last among them."""
    if len(names) <= most:
        return list(names)
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def _tensor(output: object) -> Tensor | None:
    """The tensor that a module gives, or the first of several."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _some(value: Tensor) -> Tensor:
    """A layer's values, (N, numbers): of very many numbers some, always the same ones."""
    flat = value.reshape(len(value), -1)
    if flat.shape[1] > NUMBERS:
        places = np.random.default_rng(0).permutation(flat.shape[1])[:NUMBERS]
        flat = flat[:, torch.from_numpy(np.sort(places))]
    return flat.float().clone()  # a layer may change in place what it is given
