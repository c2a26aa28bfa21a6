"""Transformer encoder for words: ids and a mask through layers of attention, then the mean of what is not padding.

Sources: Vaswani et al., "Attention is all you need", https://arxiv.org/abs/1706.03762; the norm before each part of a
layer as in Xiong et al., https://arxiv.org/abs/2002.04745. The mask is of finite numbers that are added to the scores,
small enough to leave an 8-bit range its steps: never minus infinity, never yes and no, which converters get wrong.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.errors import Problem, UsageError
from edgekd.results import TensorSpec, Tokens
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
TAKES = "words"

WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
DEPTHS = (1, 2, 3, 4)
HEAD = 16
# e ** -20 is 2e-9: what a padded word still counts beside one of equal score
MASKED = -20.0


class Settings(Value):
    """Width of a word's vector, layers, heads of attention (one for each 16 of the width), how many ids there are.

    The inner layer is twice as wide. `vocabulary` is the tokenizer's where the data names one; dropout is `dropout`.
    """

    width: int = Field(default=48, ge=4, le=1024)
    depth: int = Field(default=2, ge=1, le=24)
    heads: int | None = Field(default=None, ge=1, le=64)
    vocabulary: int | None = Field(default=None, ge=2, le=1_000_000)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class Layer(nn.Module):
    """Attention and an inner layer, each beside a shortcut and after a norm; (N, length, width) -> the same shape."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mix = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, masked: Tensor) -> Tensor:
        x = x + self._drop(self._attended(self.norm1(x), masked))
        return x + self._drop(self.outer(F.relu(self.inner(self.norm2(x)))))

    def _attended(self, x: Tensor, masked: Tensor) -> Tensor:
        """Each word's mixture of the values of all that are not masked; `masked` is (N, 1, 1, length), added."""
        q, k, v = (self._split(part(x)) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(2, 3) * (1 / math.sqrt(q.shape[3])) + masked
        mixed: Tensor = self.mix((scores.softmax(3) @ v).transpose(1, 2).flatten(2))
        return mixed

    def _split(self, x: Tensor) -> Tensor:
        """(N, length, width) -> (N, heads, length, width / heads)."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class Transformer(nn.Module):
    """Vectors of words and places, layers, a norm, the mean over the words and a linear head.

    -> logits, features, and the hidden states (N, length, width) after each layer.
    """

    def __init__(self, vocabulary: int, length: int, classes: int, heads: int, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.02 * torch.randn(length, width))
        nn.init.normal_(self.words.weight, std=0.1)
        self.layers = nn.ModuleList(Layer(width, heads, settings.dropout) for _ in range(settings.depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        self.dropout = settings.dropout

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor | tuple[Tensor, ...]]:
        kept = mask.to(self.words.weight.dtype)
        masked = ((1 - kept) * MASKED)[:, None, None, :]
        x = F.dropout(self.words(ids) + self.places, self.dropout, self.training)
        states = []
        for layer in self.layers:
            x = layer(x, masked)
            states.append(x)
        # a text without a word still has a mean
        features = (self.norm(x) * kept.unsqueeze(2)).sum(1) / kept.sum(1, keepdim=True).clamp(min=1)
        return {"logits": self.head(features), "features": features, "hidden_states": tuple(states)}


def build(settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Make the untrained network for ids and a mask, whole numbers (N, length), and one (N, classes) output."""
    _check(inputs)
    heads = settings.heads or max(1, settings.width // HEAD)
    if settings.width % heads:
        message = f"a width of {settings.width} cannot be divided among {heads} heads"
        raise UsageError(Problem("student.heads", message, "Choose a number that divides it"))
    vocabulary = settings.vocabulary or _named(inputs)
    return Transformer(vocabulary, inputs[0].shape[1], outputs[0].shape[-1], heads, settings)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Widths and depths; most parameters are those of the vocabulary. What the user set stays as it is."""
    _check(inputs)
    widths = [width for width in WIDTHS if settings.heads is None or not width % settings.heads]
    axes = {"width": widths, "depth": DEPTHS}
    free = {name: values for name, values in axes.items() if name not in settings.model_fields_set}
    return [settings.model_copy(update=dict(zip(free, point, strict=True))) for point in product(*free.values())]


def _check(inputs: tuple[TensorSpec, ...]) -> None:
    shapes = [spec.shape[1:] for spec in inputs]
    if len(inputs) != 2 or len(shapes[0]) != 1 or shapes[0] != shapes[1] or any("int" not in i.dtype for i in inputs):
        told = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in inputs)
        hint = 'Read your texts with use = "texts", or give two arrays of whole numbers (N, length): ids, then the mask'
        raise UsageError(
            Problem("student.family", f"transformer takes ids and a mask, but the inputs are {told}", hint)
        )


def _named(inputs: tuple[TensorSpec, ...]) -> int:
    """How many ids the tokenizer that the data names can give."""
    front = inputs[0].front_end
    if not isinstance(front, Tokens):
        hint = "Write for example vocabulary = 8000 in [student]: one more than the largest id"
        raise UsageError(Problem("student.vocabulary", "is missing: nothing says how many ids there are", hint))
    return front.vocabulary
