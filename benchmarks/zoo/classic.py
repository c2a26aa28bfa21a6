"""Convolutional classifiers of the larger kinds, made small."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.blocks import Pooled, conv
from edgekd.results import TensorSpec
from edgekd.students import convnet, resnet

IMAGE = (TensorSpec(name="image", shape=(-1, 3, 32, 32)),)
LOGITS = (TensorSpec(name="logits", shape=(-1, 10)),)


def student_convnet() -> nn.Module:
    """edgekd's own family of students, with gates."""
    return convnet.build(convnet.Settings(width=12, squeeze=True), IMAGE, LOGITS)


def student_resnet() -> nn.Module:
    """edgekd's own small ResNet."""
    return resnet.build(resnet.Settings(width=8), IMAGE, LOGITS)


class _Residual(nn.Module):
    def __init__(self, given: int, inner: int, width: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(given, inner, 1), conv(inner, inner, 3, stride, groups), conv(inner, width, 1, act=None)
        )
        self.way = conv(given, width, 1, stride, act=None) if stride > 1 or given != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.way(x))


def resnet_bottleneck() -> nn.Module:
    """ResNet with bottlenecks (He et al. 2016)."""
    stem = [conv(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)]
    body = [_Residual(16, 8, 32), _Residual(32, 8, 32), _Residual(32, 16, 64, 2), _Residual(64, 16, 64)]
    return Pooled(nn.Sequential(*stem, *body), 64)


def resnext() -> nn.Module:
    """ResNeXt: convolutions in groups (Xie et al. 2017)."""
    body = [conv(3, 16, 3, 2), _Residual(16, 32, 32, 1, 8), _Residual(32, 64, 64, 2, 8), _Residual(64, 64, 64, 1, 8)]
    return Pooled(nn.Sequential(*body), 64)


class _Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, width in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(given, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(48 * 16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(image).flatten(1))
        return y


def vgg() -> nn.Module:
    """VGG: no norms, a flattened picture, dropout (Simonyan and Zisserman 2015)."""
    return _Flat()


class _Dense(nn.Module):
    def __init__(self, given: int, grow: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(given + i * grow), nn.ReLU(), nn.Conv2d(given + i * grow, grow, 3, padding=1, bias=False)
            )
            for i in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


def densenet() -> nn.Module:
    """DenseNet: norms before convolutions, all is concatenated (Huang et al. 2017)."""
    narrow = [nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 24, 1, bias=False), nn.AvgPool2d(2)]
    end = [nn.BatchNorm2d(56), nn.ReLU()]
    body = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), _Dense(16, 8, 4), *narrow, _Dense(24, 8, 4), *end]
    return Pooled(nn.Sequential(*body), 56)


class _Fire(nn.Module):
    def __init__(self, given: int, squeeze: int, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(given, squeeze, 1)
        self.one, self.three = nn.Conv2d(squeeze, width, 1), nn.Conv2d(squeeze, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], 1)


class _Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2), nn.ReLU(), pool, _Fire(24, 8, 16), _Fire(32, 8, 16), pool, _Fire(32, 12, 24)
        )
        self.last = nn.Conv2d(48, 10, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(self.last(self.features(image))).mean((2, 3))


def squeezenet() -> nn.Module:
    """SqueezeNet: fire modules, pools with ceil_mode, no norms (Iandola et al. 2016)."""
    return _Squeeze()


class _Inception(nn.Module):
    def __init__(self, given: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(
            [
                conv(given, 16, 1),
                nn.Sequential(conv(given, 12, 1), conv(12, 16, 3)),
                nn.Sequential(conv(given, 8, 1), conv(8, 12, 3), conv(12, 12, 3)),
                nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv(given, 12, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([way(x) for way in self.ways], 1)


def inception() -> nn.Module:
    """Inception: parallel ways, a pool among them (Szegedy et al. 2016)."""
    body = [conv(3, 24, 3, 2), nn.MaxPool2d(3, 2), _Inception(24), _Inception(56), _Inception(56)]
    return Pooled(nn.Sequential(*body), 56)


class _Next(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.deep, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(self.norm(self.deep(x).permute(0, 2, 3, 1)))
        return x + (self.scale * y).permute(0, 3, 1, 2)


class _ConvNext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.one, self.down, self.two = _Next(24), nn.Conv2d(24, 48, 2, 2), _Next(48)
        self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.two(self.down(self.one(self.stem(image))))
        y: Tensor = self.head(self.norm(x.mean((2, 3))))
        return y


def convnext() -> nn.Module:
    """ConvNeXt: depthwise 7x7, LayerNorm over channels last, GELU (Liu et al. 2022)."""
    return _ConvNext()


class _Branches(nn.Module):
    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        self.three, self.one = conv(given, width, 3, stride, act=None), conv(given, width, 1, stride, act=None)
        self.norm = nn.BatchNorm2d(given) if given == width and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.three(x) + self.one(x)
        return torch.relu(y if self.norm is None else y + self.norm(x))


def repvgg() -> nn.Module:
    """RepVGG as it is trained: three branches, one of them a bare norm (Ding et al. 2021)."""
    return Pooled(nn.Sequential(_Branches(3, 24, 2), _Branches(24, 24, 1), _Branches(24, 48, 2)), 48)
