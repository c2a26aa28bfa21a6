"""Convolutional classifiers made for small devices."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.blocks import Excite, Inverted, Pooled, conv


def mobilenet_v1() -> nn.Module:
    """MobileNet: depthwise and pointwise convolutions (Howard et al. 2017)."""
    body = [conv(3, 16, 3, 2)]
    for given, width, stride in ((16, 32, 1), (32, 48, 2), (48, 64, 2), (64, 64, 1)):
        body += [conv(given, given, 3, stride, given), conv(given, width, 1)]
    return Pooled(nn.Sequential(*body), 64)


def mobilenet_v2() -> nn.Module:
    """MobileNetV2: inverted residuals, ReLU6 (Sandler et al. 2018)."""
    body = [conv(3, 16, 3, 2, act=nn.ReLU6), Inverted(16, 16), Inverted(16, 24, 2), Inverted(24, 24)]
    return Pooled(nn.Sequential(*body, Inverted(24, 32, 2), conv(32, 96, 1, act=nn.ReLU6)), 96)


def _gate(width: int) -> nn.Module:
    return Excite(width, nn.Hardsigmoid)


def mobilenet_v3() -> nn.Module:
    """MobileNetV3: hard swish and gates by hard sigmoid (Howard et al. 2019)."""
    body = [conv(3, 16, 3, 2, act=nn.Hardswish), Inverted(16, 16, 2, gate=_gate), Inverted(16, 24, act=nn.Hardswish)]
    body += [Inverted(24, 32, 2, 4, 5, nn.Hardswish, _gate), Inverted(32, 32, 1, 4, 5, nn.Hardswish, _gate)]
    return Pooled(nn.Sequential(*body, conv(32, 96, 1, act=nn.Hardswish)), 96)


def _silu_gate(width: int) -> nn.Module:
    return Excite(width, act=nn.SiLU)


def efficientnet() -> nn.Module:
    """EfficientNet: SiLU and gates by sigmoid (Tan and Le 2019)."""
    body = [conv(3, 16, 3, 2, act=nn.SiLU), Inverted(16, 24, 2, 4, 3, nn.SiLU, _silu_gate)]
    body += [Inverted(24, 24, 1, 4, 5, nn.SiLU, _silu_gate), Inverted(24, 40, 2, 4, 5, nn.SiLU, _silu_gate)]
    return Pooled(nn.Sequential(*body, conv(40, 96, 1, act=nn.SiLU)), 96)


class _Shuffle(nn.Module):
    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        half = width // 2
        taken = given if stride > 1 else given // 2
        self.split = stride == 1
        self.left = nn.Sequential(conv(given, given, 3, stride, given, None), conv(given, half, 1))
        deep = conv(half, half, 3, stride, half, None)
        self.right = nn.Sequential(conv(taken, half, 1), deep, conv(half, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.split:
            left, right = x.chunk(2, 1)
            x = torch.cat([left, self.right(right)], 1)
        else:
            x = torch.cat([self.left(x), self.right(x)], 1)
        # the channels of both halves in turn
        return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def shufflenet_v2() -> nn.Module:
    """ShuffleNetV2: channels split and shuffled (Ma et al. 2018)."""
    body = [conv(3, 16, 3, 2), _Shuffle(16, 32, 2), _Shuffle(32, 32, 1), _Shuffle(32, 64, 2), _Shuffle(64, 64, 1)]
    return Pooled(nn.Sequential(*body), 64)


class _Ghost(nn.Module):
    """Half of the channels by a convolution, the others cheaply from these."""

    def __init__(self, given: int, width: int, act: bool = True) -> None:
        super().__init__()
        half = width // 2
        kind = nn.ReLU if act else None
        self.first, self.cheap = conv(given, half, 1, act=kind), conv(half, half, 3, 1, half, kind)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return torch.cat([first, self.cheap(first)], 1)


class _GhostBlock(nn.Module):
    def __init__(self, given: int, inner: int, width: int, stride: int) -> None:
        super().__init__()
        deep = [conv(inner, inner, 3, stride, inner, None)] if stride > 1 else []
        self.body = nn.Sequential(_Ghost(given, inner), *deep, _gate(inner), _Ghost(inner, width, False))
        same = stride == 1 and given == width
        self.way = nn.Identity() if same else conv(given, width, 3, stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.way(x)
        return y


def ghostnet() -> nn.Module:
    """GhostNet (Han et al. 2020)."""
    body = [conv(3, 16, 3, 2), _GhostBlock(16, 32, 24, 2), _GhostBlock(24, 48, 24, 1), _GhostBlock(24, 64, 40, 2)]
    return Pooled(nn.Sequential(*body), 40)


class _Mix(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Conv2d(width, width, 5, padding="same", groups=width), nn.GELU())
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.point = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm1(self.deep(x))
        y: Tensor = self.norm2(self.point(x))
        return y


def convmixer() -> nn.Module:
    """ConvMixer: padding "same", GELU before the norms (Trockman and Kolter 2022)."""
    return Pooled(nn.Sequential(nn.Conv2d(3, 32, 4, 4), nn.GELU(), nn.BatchNorm2d(32), _Mix(32), _Mix(32)), 32)
