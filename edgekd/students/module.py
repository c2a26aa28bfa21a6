"""The user's own network, as it is: a function of theirs that makes it, and initial weights if they have some."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from edgekd.nets import networks
from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch", "safetensors")
FILES = ("weights",)
CODE = ("make",)


class Settings(Value):
    """`make` is module:function of a .py file beside the recipe; it is called with `arguments` and returns the network.

    `weights` are initial weights as safetensors or a state dict, checked against `sha256` if that is given; `fresh` are
    modules that they are not for, such as a head for other classes.
    """

    make: str
    arguments: dict[str, JsonValue] = {}
    weights: str | None = None
    sha256: str = ""
    fresh: tuple[str, ...] = ()


def build(
    settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], files: Mapping[str, Path]
) -> nn.Module:
    """Make the user's network, before its weights; raises UsageError for whatever their code gets wrong."""
    return networks.user_module(settings.make, files, "make", settings.arguments)


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Just this one network: there is nothing to search."""
    return (settings,)
