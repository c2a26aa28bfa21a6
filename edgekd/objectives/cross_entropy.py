"""Cross-entropy with the ground truth; unlabelled samples (label -1) are left out."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ()


class Settings(Value):
    """`label_smoothing` is the share of each target that is spread evenly over all classes."""

    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Mean over the labelled samples of the batch, zero if there are none; a scalar, in float32."""
    logits = outputs["logits"].float()
    total = F.cross_entropy(
        logits, batch.labels, ignore_index=-1, reduction="sum", label_smoothing=settings.label_smoothing
    )
    return total / (batch.labels >= 0).sum().clamp(min=1)
