"""Offline distillation: one network learns from soft targets that were computed before; the sum of the terms."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
TASK = "any"


class Settings(Value):
    """Nothing to set: the weights belong to the objectives."""


def loss(
    settings: Settings,
    outputs: Sequence[Mapping[str, Tensor]],
    batch: Batch,
    terms: Sequence[Callable[[Mapping[str, Tensor], Batch], Tensor]],
) -> Tensor:
    """Sum of the weighted terms for the one network; a scalar. Raises UsageError for several networks."""
    if len(outputs) != 1:
        raise UsageError(
            Problem("scheme", f"offline trains one network, and {len(outputs)} were given", "Train each on its own")
        )
    total = outputs[0]["logits"].new_zeros(())
    for term in terms:
        total = total + term(outputs[0], batch)
    return total
