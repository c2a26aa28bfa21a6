"""Tell the numbers that the teacher tells: mean squared distance to its answers, for unlabelled samples too.

With Gaussian noise of one size this is what the divergence between the two predictions comes to, so it stands where
knowledge distillation (Hinton et al., https://arxiv.org/abs/1503.02531) stands for classes.
"""

from collections.abc import Mapping

from torch import Tensor

from edgekd.errors import EdgekdError
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("logits",)
TASK = "numbers"


class Settings(Value):
    """There is nothing to set."""


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """mean ((student - teacher) / deviation)^2 over the batch; a scalar, in float32."""
    apart = outputs["logits"].float() - batch.soft_targets("imitation")
    if batch.deviation is None:
        raise EdgekdError("There are classes to learn, and no numbers to imitate")
    return (apart / batch.deviation).square().mean()
