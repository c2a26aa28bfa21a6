"""Similarity-preserving: samples that excite the teacher alike excite the student alike.

Source: Tung and Mori, "Similarity-preserving knowledge distillation", equation 4, https://arxiv.org/abs/1907.09682.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.nets import matching
from edgekd.nets.inner import Names, Shape
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch",)
NEEDS = ("inner",)
INNER = "map"
TASK = "any"


class Settings(Value):
    """Values of `student` and `teacher`, of any kind and size; the last feature maps where none is named.

    "logits" for both compares the outputs, which needs no teacher beside the student.
    """

    student: Names = ()
    teacher: Names = ()


class Similarity(nn.Module):
    """Nothing is learned: widths and resolutions need not agree."""

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over pairs of |G_teacher - G_student|^2 / N^2, where the rows of G = Q Q' have length 1."""
        total = student[0].new_zeros(())
        for mine, given in zip(student, teacher, strict=True):
            total = total + (_similarities(mine) - _similarities(given)).square().mean()
        return total


def _similarities(values: Tensor) -> Tensor:
    """(N, N), each row of length 1."""
    flat = values.flatten(1)
    return F.normalize(flat @ flat.T, dim=1)


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The comparison of similarities; raises UsageError for what is no vector, sequence or map."""
    matching.check(student, teacher, (matching.VECTOR, matching.SEQUENCE, matching.MAP), alike=False)
    return Similarity()
