"""Run networks for their answers: in eval mode, without gradients, in float32 and in pieces that fit into memory."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import networks
from edgekd.results import Signature

Array = NDArray[Any]
Activation = Literal["logits", "probabilities"]

# Pieces of a batch hold at most so many samples and so many input numbers: 27 colour images of 224 pixels, all of 28.
CHUNK, NUMBERS = 256, 4_194_304
# Below this a probability says no more than "never", and its logarithm still fits into float16.
LEAST = 1e-12


class Logits(nn.Module):
    """A teacher as one network that gives {"logits": (N, classes)}, whatever its own outputs are called.

    Of probabilities it takes the logarithm, which a softmax turns into the same probabilities again. An exported
    program has its mode fixed in its graph and refuses train() and eval(); with `frozen` they are not passed on.
    """

    def __init__(self, network: nn.Module, signature: Signature, activation: Activation, frozen: bool = False) -> None:
        super().__init__()
        self.network, self.signature, self.activation, self.frozen = network, signature, activation, frozen

    def train(self, mode: bool = True) -> "Logits":
        if self.frozen:
            self.training = mode
            return self
        return super().train(mode)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Inputs in the signature's order -> {"logits": (N, classes)}."""
        first = self.signature.outputs[0].name
        outputs = networks.named(self.network(*inputs), self.signature)[first]
        return {first: outputs.clamp_min(LEAST).log() if self.activation == "probabilities" else outputs}


def log_probabilities(outputs: Array) -> NDArray[np.float32]:
    """Probabilities (N, classes) as logits that a softmax turns into the same probabilities."""
    return np.log(np.maximum(outputs, LEAST)).astype(np.float32)


def pieces(batch: Mapping[str, Array], limit: int = CHUNK) -> Iterator[dict[str, Array]]:
    """A batch in pieces of at most `limit` samples and NUMBERS input numbers, always cut in the same places."""
    count = len(next(iter(batch.values())))
    largest = max(math.prod(values.shape[1:]) for values in batch.values())
    step = max(1, min(limit, CHUNK, NUMBERS // max(1, largest)))
    for start in range(0, count, step):
        yield {name: values[start : start + step] for name, values in batch.items()}


def answers(
    module: nn.Module,
    signature: Signature,
    limit: int = CHUNK,
    least: int = 1,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    channels_last: bool = False,
) -> Callable[[Mapping[str, Array], Array, str], NDArray[np.float32]]:
    """A function that gives a network's first output, (N, classes) float32, for prepared inputs by name.

    The network is put into eval mode. `limit` is the most samples that it takes at once; pieces of fewer than `least`
    are filled up with their last sample, whose answers are then dropped. `guard` surrounds each call (the user's own
    code runs inside of it). `channels_last` makes convolutions faster on most processors, but a network that calls
    view() on its activations fails with it.
    """
    module.eval()
    first = signature.outputs[0].name

    def outputs(batch: Mapping[str, Array], rows: Array, part: str) -> NDArray[np.float32]:
        found = []
        if channels_last:
            # Here and not before: a network that is only exported keeps the layout that converters know best.
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        with torch.inference_mode():
            for piece in pieces(batch, limit):
                count = len(next(iter(piece.values())))
                with guard():
                    values = networks.forward(module, filled(piece, least), signature)[first]
                found.append(np.asarray(values.float().numpy()[:count]))
        return np.concatenate(found)

    return outputs


def filled(piece: Mapping[str, Array], least: int) -> dict[str, Array]:
    """A piece of a batch with at least so many samples: the last one is repeated."""
    count = len(next(iter(piece.values())))
    if count >= least:
        return dict(piece)
    return {name: np.concatenate([values, np.repeat(values[-1:], least - count, 0)]) for name, values in piece.items()}


def check_outputs(outputs: Array, count: int, classes: int | None, where: str) -> None:
    """Raise UsageError unless a teacher's outputs are finite, one row a sample and one column a class.

    `classes` is None where the data's classes are not known yet.
    """
    if outputs.ndim != 2 or len(outputs) != count:
        message = f"gives outputs of shape {tuple(outputs.shape)} for {count} samples"
        raise UsageError(Problem(where, message, f"It must give ({count}, classes): one number for each class"))
    if classes is not None and outputs.shape[1] != classes:
        message = f"knows {outputs.shape[1]} classes, but the data has {classes}"
        raise UsageError(Problem(where, message, "Teacher and data must have the same classes in the same order"))
    bad = ~np.isfinite(outputs).all(axis=1)
    if bad.any():
        message = f"gives outputs that are not finite numbers for {int(bad.sum())} of {count} samples"
        raise UsageError(Problem(where, message, "Check its weights, and the mean and std of [teacher] image"))
