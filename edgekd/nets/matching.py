"""What objectives share that compare inner values: shapes that suit, learned projections, sizes, real tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.errors import Problem, UsageError
from edgekd.nets.inner import Shape
from edgekd.plugins import Batch

MAP, SEQUENCE, VECTOR = 4, 3, 2
_WORDS = {
    (MAP,): "feature maps (samples, channels, height, width)",
    (SEQUENCE,): "sequences (samples, tokens, width)",
    (VECTOR, SEQUENCE, MAP): "vectors, sequences or feature maps",
}


def check(student: Sequence[Shape], teacher: Sequence[Shape], ranks: tuple[int, ...], alike: bool = True) -> None:
    """Raise UsageError unless all values have one of these numbers of dimensions, and those of a pair as many."""
    problems = [
        Problem(who, f"compares {_WORDS[ranks]}, and one is {list(shape)}", "Name another inner value")
        for who, shapes in (("student", student), ("teacher", teacher))
        for shape in shapes
        if len(shape) not in ranks
    ]
    for one, other in zip(student, teacher, strict=True) if alike else ():
        if not problems and len(one) != len(other):
            message = f"the student's value is {list(one)}, the teacher's {list(other)}"
            problems.append(Problem("", message, "Name two of the same kind"))
    if problems:
        raise UsageError(*problems)


def check_tokens(student: Sequence[Shape], teacher: Sequence[Shape], dimension: int = 1) -> None:
    """Raise UsageError unless the values of each pair have as many tokens."""
    for one, other in zip(student, teacher, strict=True):
        if one[dimension] != other[dimension]:
            message = f"the student sees {one[dimension]} tokens, the teacher {other[dimension]}"
            raise UsageError(Problem("", message, "Both must read the same tokens"))


def width(shape: Shape) -> int:
    """Channels of a map, or the width of a vector or of a sequence's tokens."""
    return shape[1] if len(shape) == MAP else shape[-1]


def projection(student: Shape, wide: int) -> nn.Module:
    """A learned linear map to a width, for each pixel, token or vector; it starts as the identity where that fits."""
    if len(student) == MAP:
        layer: nn.Conv2d | nn.Linear = nn.Conv2d(student[1], wide, 1)
    else:
        layer = nn.Linear(student[-1], wide)
    if width(student) == wide:
        with torch.no_grad():
            layer.weight.copy_(torch.eye(wide).view_as(layer.weight))
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # both are made with one
    return layer


def same_size(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps at one resolution: the finer one is averaged down, so that no value is made up."""
    size = min(one.shape[2], other.shape[2]), min(one.shape[3], other.shape[3])
    return _pooled(one, size), _pooled(other, size)


def _pooled(values: Tensor, size: tuple[int, int]) -> Tensor:
    return values if tuple(values.shape[2:]) == size else F.adaptive_avg_pool2d(values, size)


def vector(values: Tensor) -> Tensor:
    """(N, width) of any value: the mean over a map's pixels or a sequence's tokens."""
    return values.flatten(2).mean(2) if values.ndim == MAP else values.mean(1) if values.ndim == SEQUENCE else values


def real(batch: Batch, mask: str, tokens: Shape, written: bool) -> Tensor:
    """(N, tokens) float32: one for each token that the input `mask` says is real, for all where there is no such input.

    `tokens` is (N, tokens). Raises UsageError for a mask that the user asked for (`written`) and that is not there.
    """
    given = batch.inputs.get(mask)
    if given is not None and given.shape == tokens:
        return (given != 0).float()
    if written:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in batch.inputs.items())
        hint = f"Name an input of (samples, tokens). There are: {shapes}"
        raise UsageError(Problem("mask", f"the student has no input {mask!r} of {list(tokens)}", hint))
    return torch.ones(tokens, device=batch.labels.device)


def mean_over(values: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of values (N, tokens)."""
    return (values * weights).sum() / weights.sum().clamp(min=1)
