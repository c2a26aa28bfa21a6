"""Knowledge review: a teacher's early stages teach all later stages of the student too, fused from deep to shallow.

Source: Chen et al., "Distilling knowledge via knowledge review", section 3, https://arxiv.org/abs/2104.09044.
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
INNER = "maps"
TASK = "any"

# Sides of the coarser levels at which maps are compared again; each counts half of the one before.
LEVELS = (4, 2, 1)


class Settings(Value):
    """Feature maps of `student` and `teacher`, the shallowest first; the last ones at each resolution if left out.

    Maps are fused at a width of `width` channels, or of the student's deepest map where that is less.
    """

    student: Names = ()
    teacher: Names = ()
    width: int = Field(default=512, ge=1)


class Fusion(nn.Module):
    """Attention based fusion (ABF): one stage of the student, and what came from the deeper ones."""

    def __init__(self, channels: int, width: int, teacher: int, fuse: bool) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.leave = nn.Sequential(nn.Conv2d(width, teacher, 3, padding=1, bias=False), nn.BatchNorm2d(teacher))
        self.weigh = nn.Conv2d(2 * width, 2, 1) if fuse else None

    def forward(self, stage: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """What is compared with the teacher's map, and what goes on to the shallower stage."""
        fused: Tensor = self.enter(stage)
        if self.weigh is not None and deeper is not None:
            deeper = F.interpolate(deeper, fused.shape[2:])
            gates = self.weigh(torch.cat([fused, deeper], 1)).sigmoid()
            fused = fused * gates[:, :1] + deeper * gates[:, 1:]
        return self.leave(fused), fused


class Review(nn.Module):
    """A fusion for each stage."""

    def __init__(self, settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> None:
        super().__init__()
        width, last = min(settings.width, student[-1][1]), len(student) - 1
        self.fusions = nn.ModuleList(
            Fusion(one[1], width, other[1], fuse=number < last)
            for number, (one, other) in enumerate(zip(student, teacher, strict=True))
        )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over stages of the hierarchical context loss (HCL) between fused maps and the teacher's.

        Where resolutions differ, the finer map is averaged down to the other one.
        """
        total, deeper = student[0].new_zeros(()), None
        for number in reversed(range(len(student))):
            fused, deeper = self.fusions[number](student[number], deeper)
            total = total + _context(*matching.same_size(fused, teacher[number]))
        return total


def _context(mine: Tensor, given: Tensor) -> Tensor:
    """Mean squared error of two maps and of coarser copies, weighted by 1, 1/2, 1/4, ... and divided by the sum."""
    total, weights, weight = F.mse_loss(mine, given), 1.0, 1.0
    for side in LEVELS:
        if side < mine.shape[2]:
            weight /= 2
            coarse = F.mse_loss(F.adaptive_avg_pool2d(mine, side), F.adaptive_avg_pool2d(given, side))
            total, weights = total + weight * coarse, weights + weight
    return total / weights


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The fusions; raises UsageError for what is no feature map."""
    matching.check(student, teacher, (matching.MAP,))
    return Review(settings, student, teacher)
