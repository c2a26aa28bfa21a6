"""Small networks of other kinds than the shipped families, with samples for them: what a user may bring.

Each gives logits (N, 5); inputs and shapes stand in INPUTS. Weights are drawn so that outputs differ between samples.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.results import TensorSpec

CLASSES, WORDS, LENGTH = 5, 20, 8


class Vit(nn.Module):
    """Patches, a class token, positions, and layers of torch's own multi-head attention with LayerNorm and GELU."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.patches.weight.data *= 8  # so that the picture, not the token, decides
        self.token, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 17, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        x = x + self.attended(self.norms[0](x))
        x = x + self.inner(self.norms[1](x))
        return self.head(self.norms[2](x)[:, 0])

    def attended(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Scaled(Vit):
    """The same with torch's scaled_dot_product_attention."""

    def attended(self, x: Tensor) -> Tensor:
        parts = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in parts)
        return self.attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Text(nn.Module):
    """Ids and a mask through one layer of attention that leaves padding out, then the mean of what is not padding."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(WORDS, width), nn.LayerNorm(width)
        self.qkv, self.mix, self.head = nn.Linear(width, 3 * width), nn.Linear(width, width), nn.Linear(width, CLASSES)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x, kept = self.table(ids), mask.to(torch.float32)
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        hidden = mask.bool()[:, None, None, :]
        x = x + self.mix(F.scaled_dot_product_attention(q, k, v, attn_mask=hidden).transpose(1, 2).flatten(2))
        x = (F.gelu(x) * kept.unsqueeze(-1)).sum(1) / kept.sum(1, keepdim=True).clamp(min=1)
        return self.head(x)


class Encoder(nn.Module):
    """torch's own TransformerEncoder. With `boolean` its padding mask is of yes and no, else of large numbers."""

    def __init__(self, boolean: bool, width: int = 16) -> None:
        super().__init__()
        self.boolean = boolean
        self.table = nn.Embedding(WORDS, width)
        layer = nn.TransformerEncoderLayer(width, 2, 32, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        padding = mask == 0 if self.boolean else (1 - mask.to(torch.float32)) * -1e4
        return self.head(self.layers(self.table(ids), src_key_padding_mask=padding)[:, 0])


class Series(nn.Module):
    """Causal convolutions in one dimension, as for audio and sensors."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv1d(2, width, 5, 2, 2), nn.BatchNorm1d(width)
        self.second, self.third = nn.Conv1d(width, width, 3, dilation=2, groups=width), nn.Conv1d(width, 16, 1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, signal: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.norm(self.first(signal))), 2, 2)  # without a stride coremltools refuses it
        x = self.third(self.second(F.pad(x, (4, 0))))
        return self.head(F.silu(x).mean(2))


class Steps(nn.Module):
    """Recurrent layers and cells of each kind, and a pool whose stride is not said."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.long = nn.LSTM(2, width, 2, batch_first=True, bidirectional=True)
        self.gated, self.plain = nn.GRU(2 * width, width, bidirectional=True), nn.RNN(2 * width, width, bias=False)
        self.cell, self.head = nn.LSTMCell(3 * width, width), nn.Linear(3 * width, CLASSES)

    def forward(self, signal: Tensor) -> Tensor:
        x, (h, _) = self.long(F.max_pool1d(signal, 4).transpose(1, 2))
        x = x.transpose(0, 1)
        y, z = self.gated(x)[0], self.plain(x)[0]
        state = self.cell(torch.cat([y, z], 2)[-1], (h[0], h[3]))
        return self.head(torch.cat([*state, z[0]], 1))


class Mixed(nn.Module):
    """One of nearly everything else: activations, pools, norms, comparisons, shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.slopes = nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8, 0.3)
        self.slopes.weight.data = torch.linspace(0.1, 0.5, 8)
        self.norm, self.up = nn.InstanceNorm2d(8, affine=True), nn.ConvTranspose2d(8, 8, 3, 2, 1, 1)
        self.batch = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 16, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = self.slopes(self.stem(image))
        x = self.batch(F.elu(self.norm(x)) + F.leaky_relu(x, 0.2))
        x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2) + F.avg_pool2d(
            x, 3, 2, 1, count_include_pad=False
        ).mean((2, 3), keepdim=True)
        x = torch.cat(self._activated(x), 1)
        wide = self.up(x[:, :8]) + F.interpolate(x[:, 8:16], scale_factor=2, mode="nearest")[:, :, :10, :10]
        x = self._compared(wide, F.interpolate(x[:, 16:24], scale_factor=2, mode="bilinear", align_corners=False))
        return self.head(F.adaptive_avg_pool2d(x[:, :, :8, :8], 4).flatten(1))

    def _activated(self, x: Tensor) -> list[Tensor]:
        one, two, three = x, x.abs() + 0.5, x.clamp(-2, 2)
        first = F.hardswish(one) + F.softplus(one) + F.gelu(one, approximate="tanh") + torch.tanh(one)
        second = two.sqrt() + two.rsqrt() + two.log() + 1 / two + two**1.5 + torch.exp(-two) + two.square()
        third = torch.sin(three) + torch.cos(three) + torch.erf(three) + three.sigmoid() + F.hardsigmoid(three)
        return [first, second, third + torch.floor(three * 3)]

    def _compared(self, x: Tensor, y: Tensor) -> Tensor:
        between, outside = torch.logical_and(x > y, x < 3 * y), torch.logical_or(x <= 0, y >= 1)
        equal = torch.logical_and(x.floor() == y.floor(), x != y)
        inside = torch.logical_or(torch.logical_or(between, torch.logical_not(outside)), equal)
        z = torch.where(inside, torch.maximum(x, y), torch.minimum(x, y) - 1)
        z = z - z.amax((2, 3), keepdim=True) * 0.1 + z.amin((2, 3), keepdim=True) * 0.2
        turned = torch.stack([z, z.flip(3)], 1).softmax(2)[:, 1].roll(1, 2)
        return z + 20 * turned + 0.01 * torch.matmul(z, z.transpose(2, 3))


INPUTS: Mapping[str, tuple[TensorSpec, ...]] = {
    "vit": (TensorSpec(name="image", shape=(-1, 1, 16, 16)),),
    "text": tuple(TensorSpec(name=name, shape=(-1, LENGTH), dtype="int64") for name in ("ids", "mask")),
    "series": (TensorSpec(name="signal", shape=(-1, 2, 32)),),
    "mixed": (TensorSpec(name="image", shape=(-1, 3, 8, 8)),),
}
