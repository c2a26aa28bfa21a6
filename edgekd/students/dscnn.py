"""Depthwise separable convolutions over log-mel energies (DS-CNN), for keywords and other sounds on small processors.

Source: Zhang, Suda, Lai and Chandra, "Hello edge: keyword spotting on microcontrollers",
https://arxiv.org/abs/1711.07128; the first kernel is 9 x 5 instead of 10 x 4, so that both sides are padded alike, and
the first block halves the map once more. A batch norm on the input stands for a normalization.
"""

from collections.abc import Sequence
from itertools import product

from pydantic import Field
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
TAKES = "series"

WIDTHS = (4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 276)
DEPTHS = (2, 3, 4, 5)


class Settings(Value):
    """Channels, the same in all blocks, and how many blocks of a depthwise and a pointwise convolution there are."""

    width: int = Field(default=32, ge=1, le=1024)
    depth: int = Field(default=4, ge=1, le=16)


def _normed(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


class DsCnn(nn.Module):
    """A full convolution, depthwise separable blocks, mean and linear head; (N, steps, mels) -> logits, features."""

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.scale = nn.BatchNorm2d(1)
        layers = _normed(nn.Conv2d(1, width, (9, 5), 2, (4, 2), bias=False))
        for number in range(settings.depth):
            layers += _normed(nn.Conv2d(width, width, 3, 1 if number else 2, 1, groups=width, bias=False))
            layers += _normed(nn.Conv2d(width, width, 1, bias=False))
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(width, classes)

    def forward(self, sound: Tensor) -> dict[str, Tensor]:
        features = self.blocks(self.scale(sound.unsqueeze(1))).mean((2, 3))
        return {"logits": self.head(features), "features": features}


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for one (N, steps, mels) input and one (N, classes) output."""
    _check(inputs)
    return DsCnn(outputs[0].shape[-1], settings)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths and depths from some hundred parameters to half a million; what the user set stays as it is."""
    _check(inputs)
    axes = {"width": WIDTHS, "depth": DEPTHS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]


def _check(inputs: tuple[TensorSpec, ...]) -> None:
    if len(inputs) != 1 or len(inputs[0].shape) != 3 or inputs[0].dtype != "float32":
        shapes = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in inputs)
        hint = 'Read your sounds with use = "sounds", or give one array of floats (N, steps, bands)'
        raise UsageError(Problem("student.family", f"dscnn takes log-mel energies, but the inputs are {shapes}", hint))
