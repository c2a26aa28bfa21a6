"""Relations of samples: distances between pairs, and angles in triplets, are those that the teacher sees.

Source: Park et al., "Relational knowledge distillation", equations 4 to 8, https://arxiv.org/abs/1904.05068.
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
INNER = "vector"
TASK = "any"

# Squared distances are at least this, so that the root has a gradient.
LEAST = 1e-12


class Settings(Value):
    """Vectors of `student` and `teacher` (of maps and sequences the mean); `features`, or the last map, if left out.

    `distance` and `angle` weigh the two relations; the defaults are the paper's for classification. "logits" for both
    takes the outputs as the embedding, which needs no teacher beside the student.
    """

    student: Names = ()
    teacher: Names = ()
    distance: float = Field(default=25.0, ge=0.0)
    angle: float = Field(default=50.0, ge=0.0)


class Relations(nn.Module):
    """Nothing is learned: widths need not agree."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.distance, self.angle = settings.distance, settings.angle

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """distance * (mean over pairs) + angle * (mean over triplets) of the Huber loss; summed over the values."""
        total = student[0].new_zeros(())
        for mine, given in zip(map(matching.vector, student), map(matching.vector, teacher), strict=True):
            count = len(mine)
            pairs, triplets = max(1, count * (count - 1)), max(1, count * (count - 1) * (count - 2))
            if self.distance:
                apart = F.huber_loss(_distances(mine), _distances(given), reduction="sum")
                total = total + self.distance * apart / pairs
            if self.angle:
                total = total + self.angle * F.huber_loss(_angles(mine), _angles(given), reduction="sum") / triplets
        return total


def _distances(vectors: Tensor) -> Tensor:
    """(N, N) Euclidean distances in units of their mean over the pairs."""
    apart = (vectors[:, None] - vectors[None]).square().sum(2).clamp(min=LEAST).sqrt()
    count = len(vectors)
    return apart / (apart.sum() / max(1, count * (count - 1))).clamp(min=LEAST)


def _angles(vectors: Tensor) -> Tensor:
    """(N, N, N) cosines of the angle at j between the ways to i and to k; zero where two of the three are the same."""
    ways = F.normalize(vectors[None] - vectors[:, None], dim=2)
    return ways @ ways.transpose(1, 2)


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The comparison of relations; raises UsageError for what cannot be made a vector."""
    matching.check(student, teacher, (matching.VECTOR, matching.SEQUENCE, matching.MAP), alike=False)
    return Relations(settings)
