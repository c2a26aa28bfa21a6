"""Fully connected network for rows of numbers, such as a table's: equally wide layers after a normalization.

Source: Gorishniy et al., "Revisiting deep learning models for tabular data", https://arxiv.org/abs/2106.11959 (section
3.1). A batch norm on the input stands for a normalization of each column.
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
TAKES = "table"

WIDTHS = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
DEPTHS = (1, 2, 3)


class Settings(Value):
    """Numbers in a hidden layer, and how many hidden layers there are."""

    width: int = Field(default=32, ge=1, le=8192)
    depth: int = Field(default=2, ge=1, le=16)


class Mlp(nn.Module):
    """Hidden layers with batch norm, and a linear head; (N, columns) -> logits, features."""

    def __init__(self, columns: int, classes: int, settings: Settings) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(columns)]
        for _ in range(settings.depth):
            layers += [nn.Linear(columns, settings.width), nn.BatchNorm1d(settings.width), nn.ReLU()]
            columns = settings.width
        self.blocks, self.head = nn.Sequential(*layers), nn.Linear(columns, classes)

    def forward(self, row: Tensor) -> dict[str, Tensor]:
        features = self.blocks(row)
        return {"logits": self.head(features), "features": features}


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for one (N, columns) input of floats and one (N, classes) output."""
    _check(inputs)
    return Mlp(inputs[0].shape[1], outputs[0].shape[-1], settings)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths and depths from some hundred parameters to a million; what the user set stays as it is."""
    _check(inputs)
    axes = {"width": WIDTHS, "depth": DEPTHS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]


def _check(inputs: tuple[TensorSpec, ...]) -> None:
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].dtype != "float32":
        told = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in inputs)
        hint = "Give one array of floats (N, columns), with a column of 0 and 1 for each value of what is no number"
        raise UsageError(Problem("student.family", f"mlp takes rows of a table, but the inputs are {told}", hint))
