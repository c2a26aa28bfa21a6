"""Hidden states of a transformer: the student's, through a learned linear map, match the teacher's, layer by layer.

Source: Jiao et al., "TinyBERT", equations 8 and 9, https://arxiv.org/abs/1909.10351.
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
INNER = "sequences"
TASK = "any"


class Settings(Value):
    """Sequences of `student` and `teacher`, one for each layer.

    Where none is named: all `hidden_states` that the student returns, and as many of the teacher's in even steps.
    `mask` is the student's input that is zero where a token is padding.
    """

    student: Names = ()
    teacher: Names = ()
    mask: str = "mask"


class Hidden(nn.Module):
    """One linear map for each pair of layers."""

    def __init__(self, settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> None:
        super().__init__()
        self.mask, self.written = settings.mask, "mask" in settings.model_fields_set
        wide = [shape[-1] for shape in teacher]
        self.maps = nn.ModuleList(map(matching.projection, student, wide))

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over layers of the mean squared error over real tokens and width."""
        total = student[0].new_zeros(())
        for layer, mine, given in zip(self.maps, student, teacher, strict=True):
            real = matching.real(batch, self.mask, mine.shape[:2], self.written)
            apart = F.mse_loss(layer(mine), given, reduction="none")
            total = total + matching.mean_over(apart.sum(2), real) / apart.shape[2]
        return total


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The linear maps; raises UsageError for what is no sequence, or of other tokens."""
    matching.check(student, teacher, (matching.SEQUENCE,))
    matching.check_tokens(student, teacher)
    return Hidden(settings, student, teacher)
