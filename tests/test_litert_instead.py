"""Operators that litert-torch cannot lower: what stands in their place gives the same."""

import itertools

import pytest
import torch
from torch import nn

from edgekd.litert.instead import INSTEAD, transposed

CASES = [case for case in itertools.product((3, 4), (2, 3), (0, 1, 2), (0, 1, 2)) if case[3] < case[1]]


@pytest.mark.parametrize(("kernel", "stride", "padding", "more"), CASES)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_transposed_convolution_padded_on_both_sides_is_cut_out_of_a_whole_one(
    dimensions: int, kernel: int, stride: int, padding: int, more: int
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *[5] * dimensions)
    kind = nn.ConvTranspose1d if dimensions == 1 else nn.ConvTranspose2d
    net = kind(3, 4, kernel, stride, padding, more)
    aten = torch.ops.aten
    operator = aten.conv_transpose1d.default if dimensions == 1 else aten.conv_transpose2d.input
    asked = []

    def watched(*arguments):
        asked.append(arguments)
        return operator(*arguments)

    assert operator in INSTEAD
    given = transposed(watched)(x, net.weight, net.bias, net.stride, net.padding, net.output_padding)
    torch.testing.assert_close(given, net(x))
    assert not (any(asked[0][4]) and any(asked[0][5])), "both paddings are what cannot be lowered"
