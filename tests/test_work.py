"""What a network does for one sample: products by kind add up to its MACs, and bytes and operators are counted."""

import pytest
import torch
from torch import Tensor, nn

from edgekd.nets import sizes
from edgekd.nets.work import work
from edgekd.results import Product, Signature, TensorSpec
from edgekd.students import convnet, resnet

OUTPUTS = (TensorSpec(name="logits", shape=(-1, 10)),)


def signature(side: int) -> Signature:
    return Signature(inputs=(TensorSpec(name="image", shape=(-1, 3, side, side)),), outputs=OUTPUTS)


@pytest.mark.parametrize("side", [28, 64])
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        (convnet, {"width": 8, "depth": 2, "expansion": 3, "squeeze": True}),
        (convnet, {"width": 4, "depth": 1}),
        (resnet, {"width": 8, "depth": 2}),
    ],
)
def test_products_by_kind_are_the_multiply_accumulates(family, settings: dict[str, int], side: int) -> None:
    given, x = signature(side), {"image": torch.zeros(1, 3, side, side)}
    module = family.build(family.Settings.model_validate(settings), given.inputs, given.outputs)
    size, found = work(module, x, given)
    assert size == sizes.size(module, x, given)
    assert found.dense + found.pointwise + found.depthwise == size.macs
    assert (found.params, found.resolution) == (size.params, side)
    stem = Product(kind="dense", inputs=3, outputs=found.products[0].outputs, taps=9, places=side**2 // 4, read=side**2)
    assert found.products[0] == (stem if family is convnet else stem.model_copy(update={"places": side**2}))
    assert bool(found.depthwise) == (family is convnet and given.inputs[0].shape[2] > 0)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x, x, x, need_weights=False)[0].mean(1))


def test_products_of_matrices_count_as_pointwise() -> None:
    given = Signature(inputs=(TensorSpec(name="x", shape=(-1, 12, 8)),), outputs=OUTPUTS)
    x = {"x": torch.zeros(1, 12, 8)}
    _, found = work(Attention(), x, given)
    assert found.pointwise == sizes.size(Attention(), x, given).macs and found.resolution == 0
    assert found.dense == found.depthwise == 0


def test_bytes_are_what_operators_read_and_write() -> None:
    given = Signature(inputs=(TensorSpec(name="x", shape=(-1, 6)),), outputs=OUTPUTS)
    layer = nn.Linear(6, 10)
    _, found = work(layer, {"x": torch.zeros(1, 6)}, given)
    assert found.moved == found.peak == 4 * (6 + 60 + 10 + 10)
    assert found.operators == {"pointwise": 1}
    folded = nn.Sequential(layer, nn.ReLU())
    assert work(folded, {"x": torch.zeros(1, 6)}, given)[1].moved == found.moved, "an activation is part of its layer"
