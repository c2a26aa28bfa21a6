"""A torch network as the teacher: the user's own from "module:function", or a student family by name, with weights."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue, model_validator
from torch import nn

from edgekd.nets import inference, networks
from edgekd.plugins import Oracle
from edgekd.results import Signature
from edgekd.spec import Architecture, Choice, Value

VERSION = 1
PACKAGES = ("torch", "safetensors")
EXTRA = "train"
FILES = ("weights",)
CODE = ("make",)


class Settings(Value):
    """Either `make`, "module:function" called with `arguments`, or `family`, a student family with settings `axes`.

    `weights` is a safetensors file or a state dict (a function of the user's may load its own), `sha256` its checksum;
    `activation` says whether the network gives logits or probabilities.
    """

    make: str = ""
    arguments: dict[str, JsonValue] = {}
    family: str = ""
    axes: dict[str, JsonValue] = {}
    weights: str = ""
    sha256: str = ""
    activation: inference.Activation = "logits"

    @model_validator(mode="after")
    def _one_network(self) -> "Settings":
        if bool(self.make) == bool(self.family):
            raise ValueError('give either make = "module:function" or family = "name of a student family"')
        if self.family and not self.weights:
            raise ValueError(f"the family {self.family!r} needs trained weights, for example weights = 'best.pt'")
        if self.axes and not self.family:
            raise ValueError("axes belong to a family; settings of a function of your own are called arguments")
        if self.arguments and not self.make:
            raise ValueError("arguments belong to make; settings of a family are called axes")
        return self


def load(settings: Settings, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle:
    """Build the network, fill in its weights, and answer in eval mode; raises UsageError for what does not fit."""
    network = _network(settings, files, signature)
    if settings.weights:
        networks.load_weights(network, files.get("weights", Path(settings.weights)), settings.sha256)
    module = inference.Logits(network.float(), signature, settings.activation)
    outputs = inference.answers(module, signature, guard=_guard(settings, files), channels_last=bool(settings.family))
    return Oracle(outputs=outputs, module=module)


def _network(settings: Settings, files: Mapping[str, Path], signature: Signature) -> nn.Module:
    if settings.make:
        return networks.user_module(settings.make, files, "make", settings.arguments)
    return networks.build(Architecture(family=Choice(name=settings.family, settings=settings.axes)), signature)


def _guard(settings: Settings, files: Mapping[str, Path]) -> Callable[[], AbstractContextManager[Any]]:
    """What surrounds each run: errors of the user's own network become one sentence."""
    return partial(networks.user_code, "make", files["make"].resolve()) if settings.make else nullcontext
