"""What several networks of the zoo are built from."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Callable[[], nn.Module]


def conv(
    given: int,
    width: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    act: Activation | None = nn.ReLU,
    dilation: int = 1,
) -> nn.Sequential:
    """Convolution without a bias, batch norm, activation; padded so that the stride alone changes the size."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(given, width, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width), *([act()] if act else []))


def conv1d(given: int, width: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """The same in one dimension, with ReLU."""
    layer = nn.Conv1d(given, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm1d(width), nn.ReLU())


class Pooled(nn.Module):
    """Features, averaged over the picture, then a linear layer."""

    def __init__(self, features: nn.Module, width: int, classes: int = 10) -> None:
        super().__init__()
        self.features, self.head = features, nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        pooled: Tensor = self.head(self.features(image).mean((2, 3)))
        return pooled


class Excite(nn.Module):
    """Squeeze and excitation (Hu et al. 2018)."""

    def __init__(self, width: int, gate: Activation = nn.Sigmoid, act: Activation = nn.ReLU) -> None:
        super().__init__()
        inner = max(4, width // 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, inner, 1), act(), nn.Conv2d(inner, width, 1), gate()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class Inverted(nn.Module):
    """Inverted residual (Sandler et al. 2018), with a gate if one is given."""

    def __init__(
        self,
        given: int,
        width: int,
        stride: int = 1,
        expand: int = 3,
        kernel: int = 3,
        act: Activation = nn.ReLU6,
        gate: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        inner = given * expand
        self.body = nn.Sequential(
            conv(given, inner, 1, act=act),
            conv(inner, inner, kernel, stride, inner, act),
            *([gate(inner)] if gate else []),
            conv(inner, width, 1, act=None),
        )
        self.same = stride == 1 and given == width

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.same else y


class Attention(nn.Module):
    """Attention of several heads by scaled_dot_product_attention; `mask` is added to the scores."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        parts = self.qkv(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        y: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return y


class Block(nn.Module):
    """A transformer block, norm first."""

    def __init__(self, width: int, heads: int, act: Activation = nn.GELU) -> None:
        super().__init__()
        self.norm1, self.mix, self.norm2 = nn.LayerNorm(width), Attention(width, heads), nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), act(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        x = x + self.mix(self.norm1(x), mask, causal)
        y: Tensor = x + self.inner(self.norm2(x))
        return y


def hidden(mask: Tensor) -> Tensor:
    """A mask of words (N, L) as what is added to the scores: 0 where there is a word, -1e4 elsewhere."""
    return ((1 - mask.to(torch.float32)) * -1e4)[:, None, None, :]


def mean_of_words(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over those positions of (N, L, C) that the mask (N, L) shows."""
    kept = mask.to(torch.float32).unsqueeze(-1)
    return (x * kept).sum(1) / kept.sum(1).clamp(min=1)
