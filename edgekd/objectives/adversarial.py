"""Adversarial: a discriminator learns to tell the student's values from the teacher's, and the student to deceive it.

Sources: Xu et al., "Training shallow and thin networks for acceleration via knowledge distillation with conditional
adversarial networks", https://arxiv.org/abs/1709.00513 (on logits); Belagiannis et al., "Adversarial network
compression", https://arxiv.org/abs/1803.08887 (on features). The student minimizes -log D, not log(1 - D), whose
gradient fades where the discriminator is sure: Goodfellow et al., section 3, https://arxiv.org/abs/1406.2661.
"""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from edgekd.nets import matching
from edgekd.nets.inner import Names, Shape
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch",)
NEEDS = ("logits", "inner")
INNER = "vector"


class Settings(Value):
    """Vectors of `student` and `teacher` (of maps and sequences the mean); the logits where none is named.

    The discriminator has two layers of `hidden` units. A student of another width is projected by a learned layer.
    """

    student: Names = ()
    teacher: Names = ()
    hidden: int = Field(default=128, ge=1)


class Game(nn.Module):
    """For each pair a projection of the student, where widths differ, and a discriminator."""

    def __init__(self, hidden: int, student: Sequence[Shape], teacher: Sequence[Shape]) -> None:
        super().__init__()
        wide = [(matching.width(one), matching.width(other)) for one, other in zip(student, teacher, strict=True)]
        self.projections = nn.ModuleList(nn.Identity() if a == b else nn.Linear(a, b) for a, b in wide)
        self.discriminators = nn.ModuleList(_discriminator(b, hidden) for _, b in wide)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over pairs of -log D(teacher) - log(1 - D(student)), which the discriminator alone learns from, and of
        -log D(student), which the student and its projection alone learn from; means over N.
        """
        total = student[0].new_zeros(())
        games = zip(self.projections, self.discriminators, student, teacher, strict=True)
        for projection, discriminator, mine, given in games:
            mine, given = projection(matching.vector(mine)), matching.vector(given)
            told = F.softplus(-discriminator(given)).mean() + F.softplus(discriminator(mine.detach())).mean()
            fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
            deceived = F.softplus(-functional_call(discriminator, fixed, mine)).mean()
            total = total + told + deceived
        return total


def _discriminator(width: int, hidden: int) -> nn.Module:
    first, second = nn.Linear(width, hidden), nn.Linear(hidden, hidden)
    return nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), nn.Linear(hidden, 1))


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The discriminators; raises UsageError for what cannot be made a vector."""
    matching.check(student, teacher, (matching.VECTOR, matching.SEQUENCE, matching.MAP), alike=False)
    return Game(settings.hidden, student, teacher)
