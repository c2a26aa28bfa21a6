"""DIST: match how the teacher's probabilities rise and fall, over classes and over samples, not their values.

Source: Huang et al., "Knowledge Distillation from a Stronger Teacher", section 4, https://arxiv.org/abs/2205.10536.
"""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("logits",)

# Keeps the correlation of what does not vary at zero, as the authors' code does.
LEAST = 1e-8


class Settings(Value):
    """`inter` weighs the relation of classes in each sample, `intra` that of the batch's samples in each class."""

    inter: float = Field(default=1.0, ge=0.0)
    intra: float = Field(default=1.0, ge=0.0)
    temperature: float = Field(default=1.0, gt=0.0)


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """T^2 * (inter * mean(1 - r of rows) + intra * mean(1 - r of columns)) with Pearson's r; a scalar, in float32.

    The rows of the (N, classes) probabilities at temperature T are samples, the columns are classes.
    """
    student = (outputs["logits"].float() / settings.temperature).softmax(1)
    teacher = (batch.soft_targets("dist") / settings.temperature).softmax(1)
    inter, intra = _distance(student, teacher), _distance(student.T, teacher.T)
    return settings.temperature**2 * (settings.inter * inter + settings.intra * intra)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """1 - Pearson's correlation of equal rows, mean over the rows."""
    one, other = (values - values.mean(1, keepdim=True) for values in (one, other))
    # a norm has no gradient where all values are zero
    norms = [(values.square().sum(1) + LEAST**2).sqrt() for values in (one, other)]
    return (1 - (one * other).sum(1) / (norms[0] * norms[1] + LEAST)).mean()
