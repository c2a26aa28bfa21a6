"""Attention transfer: where in the image the student's maps are strong is where the teacher's are.

Source: Zagoruyko and Komodakis, "Paying more attention to attention", section 3.1, https://arxiv.org/abs/1612.03928.
"""

from collections.abc import Sequence

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


class Settings(Value):
    """Feature maps of `student` and `teacher`; the last ones at each resolution where none is named.

    `power` is p of the attention map: the sum over channels of |A|^p.
    """

    student: Names = ()
    teacher: Names = ()
    power: float = Field(default=2.0, gt=0.0)


class Attention(nn.Module):
    """Nothing is learned: widths need not agree, since channels are summed."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over pairs of half the squared distance of the attention maps, each of length 1; mean over samples.

        Where resolutions differ, the finer map is averaged down to the other one first.
        """
        total = student[0].new_zeros(())
        for pair in zip(student, teacher, strict=True):
            mine, given = (self._map(values) for values in matching.same_size(*pair))
            total = total + 0.5 * (mine - given).square().sum(1).mean()
        return total

    def _map(self, values: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, H * W)."""
        return F.normalize(values.abs().pow(self.power).sum(1).flatten(1), dim=1)


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The distance of attention maps; raises UsageError for what is no feature map."""
    matching.check(student, teacher, (matching.MAP,))
    return Attention(settings.power)
