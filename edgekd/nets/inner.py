"""Inner values of a network: what there is to name, the usual ones of each kind, and how they are caught in training.

A value is named by what the network returns (`features`, `attentions[0]`, `attentions[-1]`) or by the path of a module
(`blocks.2`, `encoder.layers.0.self_attn[1]` for the second tensor that it gives). A name without a number stands for
all tensors of a list.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.mistakes import nearest

Shape = tuple[int, ...]
Kind = Literal["map", "maps", "vector", "sequences", "attentions"]

# The outputs themselves, as a value among others.
LOGITS = "logits"
NUMBERED = re.compile(r"(.+)\[(-?\d+)\]")
# Where no good name is near, so many are told.
TOLD = 12


def _listed(written: object) -> object:
    return (written,) if isinstance(written, str) else written


# In an objective's settings: names of inner values, one or a list; none stands for the usual ones.
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


@dataclass(frozen=True)
class Survey:
    """The inner values that a network gave in one run: shapes by name, sample first.

    `outputs` are the names of those that it returns, `stages` the modules that give the last map at each resolution,
    the finest first.
    """

    shapes: Mapping[str, Shape]
    outputs: frozenset[str]
    stages: tuple[str, ...]

    def find(self, name: str) -> list[str]:
        """The values that a name stands for, with numbers from 0; none where there is no such value."""
        if name in self.shapes:
            return [name]
        numbered = NUMBERED.fullmatch(name)
        several = self._several(numbered[1] if numbered else name)
        if numbered is None:
            return several
        number = int(numbered[2])
        return several[number:][:1] if -len(several) <= number < len(several) else []

    def _several(self, name: str) -> list[str]:
        found = (NUMBERED.fullmatch(known) for known in self.shapes)
        return [match[0] for match in found if match and match[1] == name]

    def usual(self, kind: Kind) -> list[str]:
        """The values of a kind that one takes where none is named; none where nothing suggests itself."""
        match kind:
            case "map":
                return list(self.stages[-1:])
            case "maps":
                return list(self.stages)
            case "vector":
                returned = "features" in self.outputs and len(self.shapes["features"]) > 1
                return ["features"] if returned else list(self.stages[-1:])
            case "sequences":
                return self._several("hidden_states")
            case "attentions":
                return [name for key in ("attentions", "values") for name in self.find(f"{key}[-1]") or self.find(key)]

    def hint(self, name: str) -> str:
        """The nearest good name, or some of those that one would choose from."""
        near = nearest(name, self.shapes)
        if near.startswith("Did"):
            return near
        short = sorted(self.shapes, key=lambda known: (known not in self.outputs, known.count(".")))
        more = ", ..." if len(short) > TOLD else ""
        return f"There are for example: {', '.join(short[:TOLD])}{more}" if short else "It gives no tensor"


def survey(network: nn.Module, run: Callable[[], Mapping[str, Tensor]]) -> Survey:
    """Run a network once, in eval mode and without gradients, and note every tensor that a module of it gives.

    `run` gives its outputs by name; what else it returns in a mapping has a name too.
    """
    seen: dict[str, Shape] = {}
    returned: dict[str, Shape] = {}
    hooks = [
        module.register_forward_hook(partial(_note, returned if module is network else seen, path))
        for path, module in network.named_modules()
    ]
    training = network.training
    try:
        network.eval()
        with torch.no_grad():
            returned |= {name: tuple(value.shape) for name, value in run().items()}
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return Survey(seen | returned, frozenset(returned), _stages(network, seen))


def _note(seen: dict[str, Shape], path: str, module: nn.Module, inputs: object, output: object) -> None:
    for name, value in _tensors(path, output):
        seen.pop(name, None)  # the order is that of the last run of each module
        seen[name] = tuple(value.shape)


def _tensors(path: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in what a module gives, with its name; those of the network itself have names only in a mapping."""
    if isinstance(value, Tensor):
        if path:
            yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(f"{path}.{key}".lstrip("."), part)
    elif isinstance(value, tuple | list) and path:
        for number, part in enumerate(value):
            yield from _tensors(f"{path}[{number}]", part)


def _stages(network: nn.Module, seen: Mapping[str, Shape]) -> tuple[str, ...]:
    """The module that gives the last map at each resolution, but for what lies inside of a block that ends at another.

    Containers, and whole backbones of several resolutions, are no blocks. Maps of one pixel (gates) do not count.
    """
    maps = {path: shape for path, shape in seen.items() if len(shape) == 4 and shape[2] * shape[3] > 1}
    modules = dict(network.named_modules())
    last: dict[Shape, str] = {}
    for path, shape in maps.items():
        parents = (path[:at] for at, letter in enumerate(path) if letter == ".")
        if not any(_ends_elsewhere(parent, shape, maps, modules) for parent in parents):
            last.pop(shape[2:], None)
            last[shape[2:]] = path
    return tuple(sorted(last.values(), key=lambda path: -maps[path][2] * maps[path][3]))


def _ends_elsewhere(parent: str, shape: Shape, maps: Mapping[str, Shape], modules: Mapping[str, nn.Module]) -> bool:
    if parent not in maps or isinstance(modules.get(parent), nn.Sequential) or maps[parent][2:] == shape[2:]:
        return False
    inside = {found[2:] for path, found in maps.items() if path == parent or path.startswith(f"{parent}.")}
    return len(inside) <= 2


def choose(survey: Survey, names: Sequence[str], kind: Kind, who: str) -> list[str]:
    """The values that are named, or the usual ones of a kind; raises UsageError naming the nearest good ones.

    `who` is "student" or "teacher", which is also the setting's name.
    """
    if not names:
        if found := survey.usual(kind):
            return found
        hint = f"Name one: {who} = '...'. {survey.hint('')}"
        raise UsageError(Problem(who, f"nothing in the {who} suggests itself as {_WORDS[kind]}", hint))
    unknown = [name for name in names if not survey.find(name)]
    if unknown:
        problems = (Problem(who, f"the {who} has no inner value {name!r}", survey.hint(name)) for name in unknown)
        raise UsageError(*problems)
    return [found for name in names for found in survey.find(name)]


_WORDS: dict[str, str] = {
    "map": "a feature map",
    "maps": "feature maps",
    "vector": "features",
    "sequences": "hidden states",
    "attentions": "attentions",
}


class Taps:
    """Catches named inner values of a network while it runs. Of a module that runs several times, the last ones.

    What an in-place operation does to a module's output afterwards is seen too.
    """

    def __init__(self, network: nn.Module, survey: Survey, names: Sequence[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._caught: dict[str, Tensor] = {}
        modules = dict(network.named_modules())
        inside = [name for name in self._names if name not in survey.outputs]
        for path in dict.fromkeys(_module(name, modules) for name in inside):
            modules[path].register_forward_hook(partial(self._catch, path))
        if len(inside) < len(self._names):
            network.register_forward_hook(partial(self._catch, ""))

    def _catch(self, path: str, module: nn.Module, inputs: object, output: object) -> None:
        for name, value in _tensors(path, output):
            if name in self._names:
                self._caught[name] = value

    def take(self) -> dict[str, Tensor]:
        """The values of the last run, by name; they are let go of here."""
        caught, self._caught = self._caught, {}
        return caught


def _module(name: str, modules: Mapping[str, nn.Module]) -> str:
    """The path of the module that gives a value."""
    path = name
    while path not in modules:
        path = path.rpartition("[")[0] if path.endswith("]") else path.rpartition(".")[0]
    return path
