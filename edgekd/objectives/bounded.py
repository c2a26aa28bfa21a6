"""Teacher-bounded regression: the teacher is a bound on the student's error, not a value to copy.

What a teacher says of a number may be far off, and even on the other side of the truth, so the student is only pushed
where its own error is larger than the teacher's by more than a margin. Source: Chen et al., "Learning efficient object
detection models with knowledge distillation", NeurIPS 2017, section 3.3, https://papers.nips.cc/paper/6676. Stands
beside a loss from labels, as there.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("logits",)
TASK = "numbers"


class Settings(Value):
    """`margin` is by how much the student's squared error, in squared deviations, has to be under the teacher's."""

    margin: float = Field(default=0.0, ge=0.0)


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """||s - y||^2 where ||s - y||^2 + margin > ||t - y||^2, else 0; a scalar, in float32.

    Mean over the labelled samples and the columns, zero if there are none. Errors are in deviations of their columns.
    """
    told = batch.soft_targets("bounded")
    errors = batch.errors(outputs["logits"])
    student, teacher = errors.square().sum(1), batch.errors(told).square().sum(1)
    beyond = torch.where(student + settings.margin > teacher, student, torch.zeros_like(student))
    return beyond.sum() / max(1, errors.numel())
