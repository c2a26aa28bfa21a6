"""Mean squared error of the numbers that are told; samples without targets are left out.

Each column counts in its own standard deviation over the training samples, so that no unit outweighs another.
"""

from collections.abc import Mapping

from torch import Tensor

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ()
TASK = "numbers"


class Settings(Value):
    """There is nothing to set."""


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """mean ((student - target) / deviation)^2 over the labelled samples, zero if there are none; a float32 scalar."""
    errors = batch.errors(outputs["logits"])
    return errors.square().sum() / max(1, errors.numel())
