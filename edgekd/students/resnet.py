"""CIFAR-style residual network: a strong, plain teacher, and a student where parameters are not scarce.

Source: He et al., "Deep Residual Learning for Image Recognition", section 4.2, https://arxiv.org/abs/1512.03385.
"""

from collections.abc import Sequence
from itertools import product

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 2
PACKAGES = ("torch",)

# Close enough together that some student takes more than 0.85 of nearly every budget.
WIDTHS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
DEPTHS = (1, 2, 3)


class Settings(Value):
    """Width of the first stage in channels, and residual blocks in each of the three stages."""

    width: int = Field(default=32, ge=1, le=512)
    depth: int = Field(default=1, ge=1, le=32)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; (N, C, H, W) -> (N, channels, H / stride, W / stride)."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of residual blocks at full, half and quarter resolution, then the mean and a linear head."""

    def __init__(self, channels: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks, inputs = [], width
        for stage, channels_out in enumerate((width, 2 * width, 4 * width)):
            for i in range(depth):
                blocks.append(Block(inputs, channels_out, 2 if stage and not i else 1))
                inputs = channels_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.blocks(self.stem(image)).mean((2, 3))
        return {"logits": self.head(features), "features": features}


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for one (N, C, H, W) image input and one (N, classes) output."""
    return ResNet(inputs[0].shape[1], settings.width, settings.depth, outputs[0].shape[-1])


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths and depths from two thousand to four million parameters; what the user set stays as it is."""
    axes = {"width": WIDTHS, "depth": DEPTHS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]
