"""Huber's loss of the numbers that are told: squared where they are near, absolute where they are far off.

So a few targets that are far from all others (faults of a sensor, say) do not decide what is learned. Source: Huber,
"Robust estimation of a location parameter", Annals of Mathematical Statistics 35(1), 1964,
https://doi.org/10.1214/aoms/1177703732.
"""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ()
TASK = "numbers"


class Settings(Value):
    """`delta`, in standard deviations of a column, is where the loss turns from squared to absolute."""

    delta: float = Field(default=1.0, gt=0.0)


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Mean of e^2 / 2 where |e| <= delta, else delta * (|e| - delta / 2), with e = (student - target) / deviation, over
    the labelled samples, zero if there are none; a scalar, in float32."""
    errors = batch.errors(outputs["logits"])
    total = F.huber_loss(errors, errors.new_zeros(errors.shape), reduction="sum", delta=settings.delta)
    return total / max(1, errors.numel())
