"""Contrastive: a sample's embedding by the student is near the teacher's of the same sample and far from all others.

Source: Tian et al., "Contrastive representation distillation", section 3, https://arxiv.org/abs/1910.10699. The paper
estimates the bound with negatives from a memory of all samples; here they are the other samples of the batch (InfoNCE,
van den Oord et al., https://arxiv.org/abs/1807.03748), which needs no memory and no sample numbers.
"""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.nets import matching
from edgekd.nets.inner import Names, Shape
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch",)
NEEDS = ("inner",)
INNER = "vector"


class Settings(Value):
    """Vectors of `student` and `teacher` (of maps and sequences the mean); `features`, or the last map, if left out.

    Both are embedded in `dimension` numbers by a learned linear layer; similarities are divided by `temperature`.
    "logits" for both takes the outputs, which needs no teacher beside the student.
    """

    student: Names = ()
    teacher: Names = ()
    dimension: int = Field(default=128, ge=2)
    temperature: float = Field(default=0.07, gt=0.0)


class Contrast(nn.Module):
    """A linear layer on each side of each pair."""

    def __init__(self, settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> None:
        super().__init__()
        self.temperature = settings.temperature
        self.of_student, self.of_teacher = (
            nn.ModuleList(nn.Linear(matching.width(shape), settings.dimension) for shape in shapes)
            for shapes in (student, teacher)
        )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """-log of the share of the right partner, from student to teacher plus from teacher to student, mean over N.

        Samples of the same known class are no negatives of each other.
        """
        labels = batch.labels
        same = (labels[:, None] == labels[None]) & (labels[:, None] >= 0)
        partner = torch.arange(len(labels), device=labels.device)
        left_out = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        total = student[0].new_zeros(())
        layers = zip(self.of_student, self.of_teacher, student, teacher, strict=True)
        for of_student, of_teacher, mine, given in layers:
            mine, given = of_student(matching.vector(mine)), of_teacher(matching.vector(given))
            alike = F.normalize(mine, dim=1) @ F.normalize(given, dim=1).T / self.temperature
            alike = alike.masked_fill(left_out, float("-inf"))
            total = total + F.cross_entropy(alike, partner) + F.cross_entropy(alike.T, partner)
        return total


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The embeddings; raises UsageError for what cannot be made a vector."""
    matching.check(student, teacher, (matching.VECTOR, matching.SEQUENCE, matching.MAP), alike=False)
    return Contrast(settings, student, teacher)
