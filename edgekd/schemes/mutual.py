"""Deep mutual learning: peers of one kind are trained together, and each also learns from the others' answers.

Each peer minimizes the weighted objectives plus `weight` times the mean over its peers of T^2 * KL(peer || itself).
Source: Zhang et al., "Deep mutual learning", CVPR 2018, https://arxiv.org/abs/1706.00384, equations 3 to 8; peers step
at the same time here, not one after the other. The paper has `cross_entropy` as the only objective; with `kd` beside it
the peers have a teacher too. It helps where there is no good teacher, or where students agree on more than each of them
knows; a training costs as many times more as there are peers.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
COURSE = {"peers": 2}


class Settings(Value):
    """`peers` networks learn together; `weight` and `temperature` are of what they learn from each other."""

    peers: int = Field(default=2, ge=2, le=8)
    weight: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=1.0, gt=0)


def loss(
    settings: Settings,
    outputs: Sequence[Mapping[str, Tensor]],
    batch: Batch,
    terms: Sequence[Callable[[Mapping[str, Tensor], Batch], Tensor]],
) -> Tensor:
    """Sum over the peers; a scalar. Raises UsageError for one network alone."""
    if len(outputs) < 2:
        raise UsageError(Problem("scheme", "mutual trains two networks or more together, and one was given"))
    total = outputs[0]["logits"].new_zeros(())
    for one in outputs:
        for term in terms:
            total = total + term(one, batch)
        others = [_between(one, peer, batch, settings.temperature) for peer in outputs if peer is not one]
        total = total + settings.weight * sum(others) / len(others)
    return total


def _between(own: Mapping[str, Tensor], peer: Mapping[str, Tensor], batch: Batch, temperature: float) -> Tensor:
    """What one peer learns from another: of several heads the mean of theirs."""
    pairs = zip(batch.each(own), batch.each(peer), strict=True)
    found = [_divergence(one["logits"], other["logits"], temperature) for (one, _), (other, _) in pairs]
    return torch.stack(found).mean() if len(found) > 1 else found[0]


def _divergence(own: Tensor, peer: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(peer || own), mean over the batch; the peer is what is learned from, so no gradient goes there."""
    given = F.log_softmax(peer.detach().float() / temperature, dim=-1)
    found = F.log_softmax(own.float() / temperature, dim=-1)
    return temperature**2 * F.kl_div(found, given, reduction="batchmean", log_target=True)
