"""Two towers for recommendations: a user's vector and an item's, multiplied number by number, and a linear head.

Sources: Covington, Adams and Sargin, "Deep neural networks for YouTube recommendations", RecSys 2016 (vectors of users
and items by networks of their own); He et al., "Neural collaborative filtering", https://arxiv.org/abs/1708.05031,
section 3.2 (the head over the products, of which a plain product of vectors is one case).
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
TAKES = "pair"

WIDTHS = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
DEPTHS = (0, 1, 2)


class Settings(Value):
    """How many users and items there are, the width of their vectors, and layers of a tower after its vector.

    Ids count from 0. `dropout` is of the vectors while the student learns.
    """

    users: int = Field(ge=1, le=10_000_000)
    items: int = Field(ge=1, le=10_000_000)
    width: int = Field(default=16, ge=1, le=1024)
    depth: int = Field(default=0, ge=0, le=8)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class TwoTower(nn.Module):
    """Ids of a user and of an item, whole numbers (N, 1) or (N,) -> logits, features (the products of both vectors)."""

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        self.user, self.item = _tower(settings.users, settings), _tower(settings.items, settings)
        # what is true of a user, or of an item, whoever it meets
        self.usual, self.liked = nn.Embedding(settings.users, classes), nn.Embedding(settings.items, classes)
        for table in (self.usual, self.liked):
            nn.init.zeros_(table.weight)
        self.head = nn.Linear(settings.width, classes)

    def forward(self, user: Tensor, item: Tensor) -> dict[str, Tensor]:
        user, item = user.reshape(-1), item.reshape(-1)
        features = self.user(user) * self.item(item)
        return {"logits": self.head(features) + self.usual(user) + self.liked(item), "features": features}


def _tower(count: int, settings: Settings) -> nn.Module:
    """Ids (N,) -> vectors (N, width)."""
    table = nn.Embedding(count, settings.width)
    nn.init.normal_(table.weight, std=0.7)
    layers: list[nn.Module] = [table, nn.Dropout(settings.dropout)]
    for _ in range(settings.depth):
        layers += [nn.ReLU(), nn.Linear(settings.width, settings.width)]
    return nn.Sequential(*layers)


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for ids of users and items, and one (N, classes) output."""
    _check(inputs)
    return TwoTower(outputs[0].shape[-1], settings)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths and depths; most parameters are the vectors. What the user set stays as it is."""
    _check(inputs)
    axes = {"width": WIDTHS, "depth": DEPTHS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]


def _check(inputs: tuple[TensorSpec, ...]) -> None:
    if len(inputs) != 2 or any(spec.shape[1:] not in ((), (1,)) or "int" not in spec.dtype for spec in inputs):
        told = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in inputs)
        hint = "Give two arrays of whole numbers (N, 1) that count from 0: the user's, then the item's"
        raise UsageError(Problem("student.family", f"two_tower takes two ids, but the inputs are {told}", hint))
