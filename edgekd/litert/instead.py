"""Operators that litert-torch cannot lower as they are, in a form that it can."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Numbers = Sequence[int]


def transposed(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A transposed convolution that is padded on both of its sides: the whole of it, of which a part is cut out."""

    def whole(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Numbers = (1,),
        padding: Numbers = (0,),
        output_padding: Numbers = (0,),
        groups: int = 1,
        dilation: Numbers = (1,),
    ) -> Tensor:
        count = weight.dim() - 2
        # litert-torch wants one number for each dimension
        steps, inward, outward, apart = (
            list(sizes) * (count // len(sizes)) for sizes in (stride, padding, output_padding, dilation)
        )
        if not any(inward) or not any(outward):
            return operator(x, weight, bias, steps, inward, outward, groups, apart)
        more = [max(0, out - cut) for cut, out in zip(inward, outward, strict=True)]
        y = operator(x, weight, bias, steps, [0] * count, more, groups, apart)
        for axis, (cut, out) in enumerate(zip(inward, outward, strict=True), 2):
            y = y.narrow(axis, cut, y.shape[axis] - cut - max(0, cut - out))
        return y

    return whole


INSTEAD: dict[Any, Callable[..., Tensor]] = {
    operator: transposed(operator)
    for operator in (torch.ops.aten.conv_transpose1d.default, torch.ops.aten.conv_transpose2d.input)
}
