"""Convolutional network for signals over time, such as a sensor's: stages of halving length and doubling width.

Sources: Wang, Yan and Oates, "Time series classification from scratch with deep neural networks: a strong baseline",
https://arxiv.org/abs/1611.06455 (convolutions, batch norm, mean over time); strides as in He et al.,
https://arxiv.org/abs/1512.03385. A batch norm on the input stands for a normalization of each channel.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
TAKES = "series"

WIDTHS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
DEPTHS = (1, 2)
WIDEST = 512
LAST_STEPS, MOST_STAGES = 10, 6


class Settings(Value):
    """Channels of the first stage (they double from stage to stage), convolutions a stage, and their kernel in steps.

    The first convolution of each stage halves the length; `stages` follows the length if left out: the last stage has
    about ten steps.
    """

    width: int = Field(default=8, ge=1, le=1024)
    depth: int = Field(default=1, ge=1, le=16)
    kernel: Literal[3, 5, 7, 9] = 5
    stages: int | None = Field(default=None, ge=1, le=8)


class Conv1d(nn.Module):
    """Stages of convolutions, then the mean over time and a linear head; (N, steps, channels) -> logits, features."""

    def __init__(self, channels: int, stages: int, classes: int, settings: Settings) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(channels)
        layers: list[nn.Module] = []
        for stage in range(stages):
            wider = settings.width * 2**stage
            for number in range(settings.depth):
                stride = 1 if number else 2
                layers += [
                    nn.Conv1d(channels, wider, settings.kernel, stride, settings.kernel // 2, bias=False),
                    nn.BatchNorm1d(wider),
                    nn.ReLU(),
                ]
                channels = wider
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, signal: Tensor) -> dict[str, Tensor]:
        features = self.blocks(self.scale(signal.transpose(1, 2))).mean(2)
        return {"logits": self.head(features), "features": features}


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for one (N, steps, channels) input and one (N, classes) output."""
    return Conv1d(inputs[0].shape[2], _stages(settings, inputs), outputs[0].shape[-1], settings)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths and depths from some hundred parameters to a few million; what the user set stays as it is."""
    doublings = _stages(settings, inputs) - 1
    widths = [width for width in WIDTHS if width * 2**doublings <= WIDEST] or [1]
    axes = {"width": widths, "depth": DEPTHS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]


def _stages(settings: Settings, inputs: tuple[TensorSpec, ...]) -> int:
    """How often the length is halved."""
    if len(inputs) != 1 or len(inputs[0].shape) != 3 or inputs[0].dtype != "float32":
        shapes = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in inputs)
        hint = "Give one array of floats (N, steps, channels), or a network of your own with make = module:function"
        raise UsageError(Problem("student.family", f"conv1d takes one signal, but the inputs are {shapes}", hint))
    return settings.stages or min(MOST_STAGES, max(1, round(math.log2(inputs[0].shape[1] / LAST_STEPS))))
