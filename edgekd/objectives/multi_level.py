"""Multi-level logits: match samples, how samples of a batch relate, and how classes relate, at several temperatures.

Source: Jin et al., "Multi-Level Logit Distillation", CVPR 2023, section 3,
https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html.
"""

from collections.abc import Mapping

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("logits",)


class Settings(Value):
    """Weights of the three levels, and the temperatures at which the probabilities are taken (summed over them)."""

    instance: float = Field(default=1.0, ge=0.0)
    batch: float = Field(default=1.0, ge=0.0)
    classes: float = Field(default=1.0, ge=0.0)
    temperatures: tuple[float, ...] = Field(default=(2.0, 3.0, 4.0, 5.0, 6.0), min_length=1)

    @field_validator("temperatures")
    @classmethod
    def _above_zero(cls, temperatures: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < temperature < float("inf") for temperature in temperatures):
            raise ValueError("every temperature must be above zero")
        return temperatures


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Sum over T of T^2 * KL, of |P P' - Q Q'|^2 / N and of |P' P - Q' Q|^2 / classes; a scalar, in float32.

    P and Q are the teacher's and the student's (N, classes) probabilities at T. The paper leaves samples of which the
    teacher is unsure out of the last two, and adds strongly augmented copies; here all samples of the batch count.
    """
    student, teacher = outputs["logits"].float(), batch.soft_targets("multi_level")
    total = student.new_zeros(())
    for temperature in settings.temperatures:
        mine, given = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
        kl = temperature**2 * F.kl_div(mine, given, reduction="batchmean", log_target=True)
        total = total + settings.instance * kl
        mine, given = mine.exp(), given.exp()
        # autocast would multiply in bfloat16
        with torch.autocast(mine.device.type, enabled=False):
            total = total + settings.batch * _apart(mine @ mine.T, given @ given.T)
            total = total + settings.classes * _apart(mine.T @ mine, given.T @ given)
    return total


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """The squared distance of two square matrices for each of their rows."""
    return (one - other).square().sum() / len(one)
