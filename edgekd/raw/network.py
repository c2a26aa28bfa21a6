"""What stands before raw inputs as torch modules, and how they are put into an exported program.

The program's own graph is changed and exported again, so that every node keeps its place in the user's network.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from edgekd.nets import programs
from edgekd.raw.front import LUMA, Front, front
from edgekd.results import Signature

# where the fronts stand among the modules of a program
PLACE = "raw"
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class RawPixels(nn.Module):
    """Levels, (N, side, side, channels) of any type, to what the network takes: float32, channels first."""

    luma: Tensor
    across: Tensor
    factor: Tensor
    shift: Tensor

    def __init__(self, wanted: Front) -> None:
        super().__init__()
        self._how = wanted
        self.register_buffer("factor", torch.from_numpy(wanted.factor).reshape(-1, 1, 1))
        self.register_buffer("shift", torch.from_numpy(wanted.shift).reshape(-1, 1, 1))
        if wanted.gray:
            self.register_buffer("luma", torch.from_numpy(LUMA).reshape(-1, 1, 1))
        if wanted.across is not None:
            self.register_buffer("across", torch.tensor(wanted.across))

    def forward(self, pixels: Tensor) -> Tensor:
        levels = self._resized(self._ordered(pixels.to(torch.float32).permute(FIRST)))
        return levels * self.factor + self.shift

    def _ordered(self, levels: Tensor) -> Tensor:
        if self._how.gray:
            return _whole((levels * self.luma).sum(1, keepdim=True))
        if self._how.colour:
            return torch.cat([levels] * 3, 1)
        return torch.cat([levels[:, i : i + 1] for i in (2, 1, 0)], 1) if self._how.reversed else levels

    def _resized(self, levels: Tensor) -> Tensor:
        """As Pillow does it: across, then down, each in whole levels."""
        if self._how.across is None:
            return levels
        across = _whole(levels @ self.across)
        return _whole(self.across.T @ across)


class RawWave(nn.Module):
    """16-bit samples to -1..1."""

    factor: Tensor

    def __init__(self, wanted: Front) -> None:
        super().__init__()
        self.register_buffer("factor", torch.from_numpy(wanted.factor))

    def forward(self, samples: Tensor) -> Tensor:
        return samples.to(torch.float32) * self.factor


def _whole(levels: Tensor) -> Tensor:
    return (levels + 0.5).floor().clamp(0, 255)


def with_fronts(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """The program with what stands before the raw inputs of `signature`, which are in the program's order."""
    module = _module(program)
    for place, spec in zip(_places(module), signature.inputs, strict=True):
        wanted = front(spec)
        if wanted is not None:
            name = f"{PLACE}.{spec.name}"
            module.add_submodule(name, RawPixels(wanted) if wanted.picture else RawWave(wanted))
            _put_behind(place, partial(_called, name))
    return _exported(module, signature)


def with_pictures(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """The program for one sample, whose raw pixels come as float32 levels, channels first: as Core ML hands out images.

    Nothing is lost: levels are whole numbers up to 255.
    """
    module = _module(program)
    specs = []
    for place, spec in zip(_places(module), signature.inputs, strict=True):
        if spec.inside is not None:
            _put_behind(place, _channels_last)
            spec = spec.model_copy(update={"shape": tuple(spec.shape[i] for i in FIRST), "dtype": "float32"})
        specs.append(spec)
    # torch noted which type it saw, and would refuse another
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)
    return _exported(module, programs.with_batch(signature.model_copy(update={"inputs": tuple(specs)}), 1))


def _module(program: ExportedProgram) -> fx.GraphModule:
    """A program as a module that can be changed: without what checks its inputs, which are others then."""
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            module.graph.erase_node(node)
    return module


def _places(module: fx.GraphModule) -> list[fx.Node]:
    return [node for node in module.graph.nodes if node.op == "placeholder"]


def _put_behind(place: fx.Node, make: Callable[[fx.Node], fx.Node]) -> None:
    """Have all that reads an input read what is made of it instead."""
    with place.graph.inserting_after(place):
        made = make(place)
    place.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)


def _called(name: str, place: fx.Node) -> fx.Node:
    return place.graph.call_module(name, (place,))


def _channels_last(place: fx.Node) -> fx.Node:
    return place.graph.call_function(torch.ops.aten.permute.default, (place, list(LAST)))


def _exported(module: fx.GraphModule, signature: Signature) -> ExportedProgram:
    module.recompile()
    any_batch = programs.dynamic(signature)
    given = programs.samples(signature, programs.TRACED_BATCH if any_batch else 1)
    shapes = tuple({0: Dim("batch", min=1)} for _ in given) if any_batch else None
    program = torch.export.export(module, given, dynamic_shapes=shapes)
    for node in program.graph.nodes:
        # paths of the machine that exported it, which nobody else needs
        node.meta.pop("stack_trace", None)
    return program
