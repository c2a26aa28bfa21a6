"""Multiply-accumulates against numbers counted by hand, also where torch's fast kernels would hide them."""

import pytest
import torch
from torch import Tensor, nn
from torch.backends.cuda import flash_sdp_enabled
from torch.nn import functional as F

from edgekd.nets import sizes
from edgekd.results import Signature, Size, TensorSpec


class Last(nn.Module):
    """Calls a layer and keeps its first output."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        made = self.layer(x)
        return made[0] if isinstance(made, tuple) else made


class Attention(nn.Module):
    """Scaled dot-product attention of two heads over 6 tokens of 8 channels."""

    def forward(self, x: Tensor) -> Tensor:
        heads = x.reshape(1, 6, 2, 4).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads)


class Pool(nn.Module):
    """Weighs 6 tokens by their product with one vector."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.query)[..., None] * x


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


CASES = {
    "strided convolution": (lambda: nn.Conv2d(3, 8, 3, 2, 1), (3, 9, 9), 8 * 27 + 8, 5 * 5 * 27 * 8),
    "depthwise convolution": (lambda: nn.Conv2d(8, 8, 3, 1, 1, groups=8), (8, 9, 9), 8 * 9 + 8, 81 * 9 * 8),
    "grouped convolution": (lambda: nn.Conv2d(8, 4, 3, groups=2), (8, 5, 5), 4 * 4 * 9 + 4, 9 * 9 * 4 * 4),
    "transposed convolution": (lambda: nn.ConvTranspose2d(8, 4, 2, 2), (8, 5, 5), 132, 25 * 8 * 4 * 4),
    "1-d convolution": (lambda: nn.Conv1d(8, 4, 3), (8, 10), 100, 8 * 8 * 3 * 4),
    "linear": (lambda: nn.Linear(10, 7), (10,), 77, 70),
    "linear over tokens": (lambda: nn.Linear(10, 7), (5, 10), 77, 350),
    "norm and activation": (lambda: nn.Sequential(nn.BatchNorm1d(8), nn.ReLU6()), (8,), 16, 0),
    "attention": (Attention, (6, 8), 0, 2 * 2 * 36 * 4),
    "product with a vector": (Pool, (6, 8), 8, 6 * 8),
    "transformer layer": (encoder, (6, 8), 4 * 72 + 2 * 128 + 24 + 32, 4 * 6 * 64 + 2 * 36 * 8 + 2 * 6 * 128),
    "LSTM": (lambda: nn.LSTM(5, 7, batch_first=True), (3, 5), 4 * 7 * (5 + 7 + 2), 3 * 4 * 7 * (5 + 7)),
    "GRU": (lambda: nn.GRU(5, 7, batch_first=True), (3, 5), 3 * 7 * (5 + 7 + 2), 3 * 3 * 7 * (5 + 7)),
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("case", CASES)
def test_sizes_by_hand(case: str, device: str) -> None:
    make, shape, params, macs = CASES[case]
    signature = Signature(
        inputs=(TensorSpec(name="x", shape=(-1, *shape)),), outputs=(TensorSpec(name="y", shape=(-1, 1)),)
    )
    with torch.device(device):
        module, x = Last(make()), torch.zeros(1, *shape)
    module.requires_grad_(False)
    assert sizes.size(module, {"x": x}, signature) == Size(params=params, macs=macs)


def test_fast_kernels_are_back_afterwards() -> None:
    def state() -> tuple[bool, ...]:
        return torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled(), flash_sdp_enabled()

    before = state()
    signature = Signature(inputs=(TensorSpec(name="x", shape=(-1, 4)),), outputs=(TensorSpec(name="y", shape=(-1, 2)),))
    sizes.size(nn.Linear(4, 2), {"x": torch.zeros(1, 4)}, signature)
    assert state() == before
