"""Small convolutional network: full convolutions where channels are few, inverted residuals where they are many.

Sources: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", https://arxiv.org/abs/1801.04381;
full convolutions in the first stages as in Tan and Le, "EfficientNetV2", https://arxiv.org/abs/2104.00298;
squeeze-excite as in Hu et al., https://arxiv.org/abs/1709.01507. All of it quantizes to int8.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.errors import Problem, UsageError
from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch",)

# Close enough together that some student takes more than 0.85 of nearly every budget.
WIDTHS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)
DEPTHS = (1, 2, 3)
EXPANSIONS = (1, 2, 3)
NARROWEST, WIDEST = 16, 512
LAST_MAP = 4.5


class Settings(Value):
    """Channels of the first stage (they double from stage to stage), blocks a stage, and what a block is.

    The first `plain` stages (two if left out, but not the last) are full 3x3 convolutions; the others are depthwise
    `kernel` x `kernel` ones between an `expansion` of their channels and a linear projection, with squeeze-excite if
    `squeeze`. Each stage halves the image; `stages` follows the resolution if left out: the last map is 4 to 7 pixels.
    """

    width: int = Field(default=16, ge=1, le=1024)
    depth: int = Field(default=2, ge=1, le=16)
    kernel: Literal[3, 5, 7] = 3
    expansion: int = Field(default=1, ge=1, le=8)
    squeeze: bool = False
    stages: int | None = Field(default=None, ge=1, le=8)
    plain: int | None = Field(default=None, ge=1, le=8)


def _convolution(inputs: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(channels)]


class SqueezeExcite(nn.Module):
    """Weigh each channel by a gate computed from the means of all; (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // 4)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.relu6(self.reduce(x.mean((2, 3), keepdim=True))))
        # the hard sigmoid in elementary operations, which every converter and every int8 kernel knows
        return x * (F.relu6(gate + 3.0) * (1.0 / 6.0))


class Block(nn.Module):
    """One block with a shortcut where shapes allow; (N, C, H, W) -> (N, channels, H / stride, W / stride)."""

    def __init__(self, inputs: int, channels: int, stride: int, settings: Settings, plain: bool) -> None:
        super().__init__()
        if plain:
            layers = [*_convolution(inputs, channels, 3, stride), nn.ReLU6()]
        else:
            inner = inputs * settings.expansion
            layers = [] if inner == inputs else [*_convolution(inputs, inner, 1), nn.ReLU6()]
            layers += [*_convolution(inner, inner, settings.kernel, stride, groups=inner), nn.ReLU6()]
            if settings.squeeze:
                layers.append(SqueezeExcite(inner))
            layers += _convolution(inner, channels, 1)
        self.body = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class ConvNet(nn.Module):
    """Stages of blocks at halving resolution and doubling width, then the mean over the map and a linear head."""

    def __init__(self, inputs: int, stages: int, classes: int, settings: Settings) -> None:
        super().__init__()
        blocks, channels = [], inputs
        plain = settings.plain or min(2, stages - 1)
        for stage in range(stages):
            wider = settings.width * 2**stage
            for number in range(settings.depth):
                blocks.append(Block(channels, wider, 1 if number else 2, settings, plain=stage < max(1, plain)))
                channels = wider
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.blocks(image).mean((2, 3))
        return {"logits": self.head(features), "features": features}


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for one (N, C, H, W) image input and one (N, classes) output."""
    return ConvNet(inputs[0].shape[1], _stages(settings, inputs), outputs[0].shape[-1], settings)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths, depths and expansions from two thousand to four million parameters; what the user set stays."""
    doublings = _stages(settings, inputs) - 1
    # of the last stage; stages that the user asks for may be too many for any width
    widths = [width for width in WIDTHS if NARROWEST <= width * 2**doublings <= WIDEST] or [1]
    axes = {"width": widths, "depth": DEPTHS, "expansion": EXPANSIONS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]


def _stages(settings: Settings, inputs: tuple[TensorSpec, ...]) -> int:
    """How often the image is halved."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        hint = "Give student.image = { size = ... }, or a network of your own with make = module:function"
        raise UsageError(Problem("student.family", f"convnet takes one image, but the inputs are {shapes}", hint))
    side = min(inputs[0].shape[2:])
    return settings.stages or max(1, round(math.log2(side / LAST_MAP)))
