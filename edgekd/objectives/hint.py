"""Hints: the student's inner values, through a learned regressor, match the teacher's.

Source: Romero et al., "FitNets: hints for thin deep nets", equation 3, https://arxiv.org/abs/1412.6550.
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
    """Feature maps, sequences or vectors of `student` and `teacher`; the last feature maps where none is named."""

    student: Names = ()
    teacher: Names = ()


class Hint(nn.Module):
    """One regressor for each pair: a 1x1 convolution, or a linear layer, to the teacher's width."""

    def __init__(self, student: Sequence[Shape], teacher: Sequence[Shape]) -> None:
        super().__init__()
        wide = [matching.width(shape) for shape in teacher]
        self.regressors = nn.ModuleList(map(matching.projection, student, wide))

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over pairs of half the squared distance, divided by how many numbers a value has.

        Where resolutions differ, the finer map is averaged down to the other one.
        """
        total = student[0].new_zeros(())
        for regressor, mine, given in zip(self.regressors, student, teacher, strict=True):
            if mine.ndim == matching.MAP:
                mine, given = matching.same_size(mine, given)
            total = total + 0.5 * F.mse_loss(regressor(mine), given)
        return total


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The regressors; raises UsageError for values of another kind, or of other numbers of tokens."""
    matching.check(student, teacher, (matching.VECTOR, matching.SEQUENCE, matching.MAP))
    sequences = [pair for pair in zip(student, teacher, strict=True) if len(pair[0]) == matching.SEQUENCE]
    matching.check_tokens([one for one, _ in sequences], [other for _, other in sequences])
    return Hint(student, teacher)
