"""Networks that give pictures, maps or several outputs: segmentation, detection, restoration."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.blocks import Inverted, conv

CLASSES, ANCHORS = 5, 3


class _Twice(nn.Sequential):
    def __init__(self, given: int, width: int) -> None:
        super().__init__(conv(given, width), conv(width, width))


class _Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = _Twice(3, 12), _Twice(12, 24), _Twice(24, 48)
        self.up2, self.up1 = nn.ConvTranspose2d(48, 24, 2, 2), nn.ConvTranspose2d(24, 12, 2, 2)
        self.back2, self.back1, self.last = _Twice(48, 24), _Twice(24, 12), nn.Conv2d(12, CLASSES, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        one = self.one(image)
        two = self.two(F.max_pool2d(one, 2))
        x = self.back2(torch.cat([self.up2(self.three(F.max_pool2d(two, 2))), two], 1))
        return {"classes": self.last(self.back1(torch.cat([self.up1(x), one], 1)))}


def unet() -> nn.Module:
    """U-Net with transposed convolutions (Ronneberger et al. 2015)."""
    return _Unet()


class _Head(nn.Module):
    """Scores and boxes of each anchor of each place, the places in a row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scores, self.boxes = (nn.Conv2d(width, ANCHORS * n, 3, padding=1) for n in (CLASSES, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, boxes = (one(x).permute(0, 2, 3, 1) for one in (self.scores, self.boxes))
        return scores.reshape(x.shape[0], -1, CLASSES), boxes.reshape(x.shape[0], -1, 4)


class _Fpn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Sequential(conv(3, 16, 3, 2), conv(16, 24, 3, 2)), conv(24, 32, 3, 2)
        self.c3 = conv(32, 48, 3, 2)
        self.sides = nn.ModuleList(nn.Conv2d(width, 24, 1) for width in (24, 32, 48))
        self.smooth = nn.ModuleList(nn.Conv2d(24, 24, 3, padding=1) for _ in range(3))
        self.head = _Head(24)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        c1 = self.c1(image)
        c2 = self.c2(c1)
        p3 = self.sides[2](self.c3(c2))
        p2 = self.sides[1](c2) + F.interpolate(p3, scale_factor=2.0, mode="nearest")
        p1 = self.sides[0](c1) + F.interpolate(p2, scale_factor=2.0, mode="nearest")
        found = [self.head(smooth(p)) for smooth, p in zip(self.smooth, (p1, p2, p3), strict=True)]
        scores, boxes = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return {"scores": scores, "boxes": boxes}


def fpn_detector() -> nn.Module:
    """Feature pyramid with a shared head of two outputs (Lin et al. 2017)."""
    return _Fpn()


class _Ssd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(conv(3, 16, 3, 2, act=nn.ReLU6), Inverted(16, 24, 2), Inverted(24, 32, 2))
        self.more = nn.ModuleList([Inverted(32, 48, 2), Inverted(48, 48, 2)])
        self.heads = nn.ModuleList(_Head(width) for width in (32, 48, 48))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        levels = [self.base(image)]
        for layer in self.more:
            levels.append(layer(levels[-1]))
        found = [head(x) for head, x in zip(self.heads, levels, strict=True)]
        scores, boxes = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return {"scores": scores.softmax(-1), "boxes": boxes}


def ssd_lite() -> nn.Module:
    """SSDLite: heads at three scales, softmax of the scores (Liu et al. 2016, Sandler et al. 2018)."""
    return _Ssd()


class _Cross(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.way, self.body = conv(width, half, 1, act=nn.SiLU), conv(width, half, 1, act=nn.SiLU)
        self.inner = nn.Sequential(conv(half, half, 1, act=nn.SiLU), conv(half, half, 3, act=nn.SiLU))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return torch.cat([y + self.inner(y), self.way(x)], 1)


class _Yolo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        act = nn.SiLU
        self.low = nn.Sequential(conv(3, 16, 3, 2, act=act), conv(16, 32, 3, 2, act=act), _Cross(32))
        self.high = nn.Sequential(conv(32, 48, 3, 2, act=act), _Cross(48))
        self.pools = nn.MaxPool2d(5, 1, 2)
        self.join, self.side = conv(144, 32, 1, act=act), conv(64, 32, 1, act=act)
        self.head = nn.Conv2d(32, ANCHORS * (5 + CLASSES), 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        low = self.low(image)
        x = self.high(low)
        once = self.pools(x)
        x = self.join(torch.cat([x, once, self.pools(once)], 1))
        x = self.head(self.side(torch.cat([F.interpolate(x, scale_factor=2.0), low], 1)))
        x = x.unflatten(1, (ANCHORS, 5 + CLASSES)).permute(0, 1, 3, 4, 2)
        return {"where": x[..., :4], "what": x[..., 4:].sigmoid()}


def yolo() -> nn.Module:
    """YOLO-style: cross-stage blocks, pooled pyramid, five-dimensional outputs (Bochkovskiy et al. 2020)."""
    return _Yolo()


class _Deeplab(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 32))
        self.ways = nn.ModuleList([conv(32, 16, 1), conv(32, 16, dilation=2), conv(32, 16, dilation=4)])
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 16, 1), nn.ReLU())
        self.last = nn.Sequential(conv(64, 24, 1), nn.Conv2d(24, CLASSES, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.base(image)
        whole = F.interpolate(self.whole(x), size=x.shape[2:], mode="bilinear", align_corners=False)
        x = self.last(torch.cat([*(way(x) for way in self.ways), whole], 1))
        return {"classes": F.interpolate(x, size=image.shape[2:], mode="bilinear", align_corners=False)}


def deeplab() -> nn.Module:
    """DeepLabV3: dilated convolutions, pooled context, bilinear resizing (Chen et al. 2017)."""
    return _Deeplab()


def autoencoder() -> nn.Module:
    """Convolutional autoencoder: transposed convolutions and a picture as output."""
    down = [conv(3, 16, 3, 2), conv(16, 24, 3, 2), nn.Conv2d(24, 16, 1)]
    up = [nn.ConvTranspose2d(16, 24, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*down, *up)


def super_resolution() -> nn.Module:
    """Sub-pixel convolution: twice the size by pixel shuffle (Shi et al. 2016)."""
    layers = [nn.Conv2d(3, 24, 5, padding=2), nn.PReLU(24), nn.Conv2d(24, 24, 3, padding=1), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Conv2d(24, 12, 3, padding=1), nn.PixelShuffle(2))


class _Hourglass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.mid = conv(3, 24, 3, 2), conv(24, 32, 3, 2), conv(32, 24)
        self.low = nn.Sequential(conv(32, 32, 3, 2), conv(32, 32))
        self.last = nn.Conv2d(24, 7, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        stem = self.stem(image)
        x = self.down(stem)
        x = x + F.interpolate(self.low(x), scale_factor=2.0, mode="bilinear", align_corners=True)
        x = stem + F.interpolate(self.mid(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        heat = self.last(x)
        return {"heat": heat, "peak": heat.flatten(2).softmax(-1).amax(-1)}


def hourglass() -> nn.Module:
    """Pose heat maps: bilinear resizing with and without aligned corners (Newell et al. 2016)."""
    return _Hourglass()


class _Style(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.ReflectionPad2d(2), nn.Conv2d(3, 16, 5), nn.InstanceNorm2d(16, affine=True), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.InstanceNorm2d(32, affine=True), nn.ReLU(),
        )  # fmt: skip
        self.mid = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(32, 32, 3), nn.GroupNorm(4, 32), nn.ReLU())
        self.up = nn.Sequential(nn.Upsample(scale_factor=2.0), nn.Conv2d(32, 16, 3, padding=1), nn.ReLU())
        self.last = nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(16, 3, 5))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.down(image)
        return {"picture": self.last(self.up(x + self.mid(x)))}


def style_transfer() -> nn.Module:
    """Style transfer: reflected borders, instance and group norms, nearest upsampling (Johnson et al. 2016)."""
    return _Style()
