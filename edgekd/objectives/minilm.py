"""Self-attention of a transformer's layer: which tokens look at which, and how its values (queries, keys) relate.

Sources: Wang et al., "MiniLM", equations 5 to 7, https://arxiv.org/abs/2002.10957, for attentions and the values'
relation; "MiniLMv2", equations 4 to 7, https://arxiv.org/abs/2012.15828, for relations of queries, keys and values.
"""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import matching
from edgekd.nets.inner import Names, Shape
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("inner",)
INNER = "attentions"
TASK = "any"

HEADS = 12
# Attention that is less than this is none; its logarithm is still finite.
LEAST = 1e-9
# What is added to the relation with a token that is padding, so that none of it is left after a softmax.
HIDDEN = -1e4


class Settings(Value):
    """Of `student` and `teacher`: attentions (samples, heads, tokens, tokens), or queries, keys, values (samples,
    tokens, width), whose relations are compared in `heads` relation heads.

    Where none is named: the last of the `attentions` and `values` that both return. Widths and, for relations, numbers
    of heads need not agree; `heads` is the largest number up to 12 that divides both widths if left out. `mask` is the
    student's input that is zero where a token is padding.
    """

    student: Names = ()
    teacher: Names = ()
    heads: int | None = Field(default=None, ge=1)
    mask: str = "mask"


class Relations(nn.Module):
    """Nothing is learned. `heads` are the relation heads of each pair, 0 where it is attention."""

    def __init__(self, settings: Settings, heads: Sequence[int]) -> None:
        super().__init__()
        self.mask, self.written, self.heads = settings.mask, "mask" in settings.model_fields_set, heads

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over pairs of KL(teacher || student), mean over heads and real tokens."""
        total = student[0].new_zeros(())
        for heads, mine, given in zip(self.heads, student, teacher, strict=True):
            tokens = mine.shape[:1] + mine.shape[1 if heads else 2 :][:1]
            real = matching.real(batch, self.mask, tokens, self.written)
            if heads:
                mine, given = (_relation(values, heads, real) for values in (mine, given))
            kl = given * (given.clamp(min=LEAST).log() - mine.clamp(min=LEAST).log())
            total = total + matching.mean_over(kl.sum(3).mean(1), real)
        return total


def _relation(values: Tensor, heads: int, real: Tensor) -> Tensor:
    """softmax(V V' / sqrt(width of a head)) over tokens: (N, L, heads * d) -> (N, heads, L, L)."""
    split = values.view(*values.shape[:2], heads, -1).transpose(1, 2)
    scores: Tensor = split @ split.transpose(2, 3) / split.shape[3] ** 0.5
    if not real.all():
        scores = scores + HIDDEN * (1 - real)[:, None, None]
    return scores.softmax(3)


def term(settings: Settings, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    """The comparison; raises UsageError for other shapes, and for heads that do not divide the widths."""
    heads = []
    for one, other in zip(student, teacher, strict=True):
        if len(one) == len(other) == matching.SEQUENCE:
            matching.check_tokens([one], [other])
            heads.append(_heads(settings.heads, one[2], other[2]))
        elif len(one) == len(other) == 4 and one[2] == one[3]:
            _check_attention(one, other)
            heads.append(0)
        else:
            message = f"the student's value is {list(one)}, the teacher's {list(other)}"
            hint = (
                "Name attentions (samples, heads, tokens, tokens), or queries, keys or values (samples, tokens, width)"
            )
            raise UsageError(Problem("", message, hint))
    return Relations(settings, heads)


def _check_attention(one: Shape, other: Shape) -> None:
    if one[1] != other[1]:
        hint = "Name queries, keys and values of both instead, whose relations need no equal heads"
        raise UsageError(Problem("", f"the student has {one[1]} attention heads, the teacher {other[1]}", hint))
    matching.check_tokens([one], [other], 2)


def _heads(wanted: int | None, one: int, other: int) -> int:
    fits = [count for count in range(1, max(wanted or 0, HEADS) + 1) if one % count == 0 == other % count]
    if wanted is not None and wanted not in fits:
        hint = f"Choose from: {', '.join(map(str, fits))}"
        raise UsageError(Problem("heads", f"{wanted} heads do not divide the widths {one} and {other}", hint))
    return wanted or fits[-1]
