"""Decoupled knowledge distillation: the target class and the order of all others, each with a weight of its own.

Source: Zhao et al., "Decoupled Knowledge Distillation", equation 7, https://arxiv.org/abs/2203.08679.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("logits",)


class Settings(Value):
    """`alpha` weighs how sure the teacher is of the target class (TCKD), `beta` what it says of the others (NCKD).

    In kd the weight of the others is the probability that the teacher leaves to them, so a sure teacher says little.
    """

    alpha: float = Field(default=1.0, ge=0.0)
    beta: float = Field(default=8.0, ge=0.0)
    temperature: float = Field(default=4.0, gt=0.0)


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """T^2 * (alpha * TCKD + beta * NCKD), mean over the batch; a scalar, in float32.

    TCKD is the divergence of (target, all others), NCKD that of the classes without the target. The target of a sample
    without label is the class that the teacher thinks likeliest. The authors' code raises the weight
    from zero over the first epochs; here it is the same throughout.
    """
    student, teacher = outputs["logits"].float(), batch.soft_targets("dkd")
    target = torch.where(batch.labels >= 0, batch.labels, teacher.argmax(1))
    (student_pair, student_rest), (teacher_pair, teacher_rest) = (
        _parted(logits / settings.temperature, target) for logits in (student, teacher)
    )
    of_target = F.kl_div(student_pair, teacher_pair, reduction="batchmean", log_target=True)
    of_others = F.kl_div(student_rest, teacher_rest, reduction="batchmean", log_target=True)
    return settings.temperature**2 * (settings.alpha * of_target + settings.beta * of_others)


def _parted(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of (target, all others), (N, 2), and of the others among themselves, (N, classes - 1)."""
    count, classes = logits.shape
    others = torch.ones_like(logits, dtype=torch.bool).scatter_(1, target[:, None], False)
    rest = logits[others].view(count, classes - 1)
    pair = torch.stack([logits.gather(1, target[:, None])[:, 0], rest.logsumexp(1)], dim=1)
    return pair.log_softmax(1), rest.log_softmax(1)
