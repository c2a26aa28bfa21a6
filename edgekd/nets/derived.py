"""A student that is made of the teacher's own network: where that comes from, and what of it must stay."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import networks
from edgekd.nets.inference import Logits
from edgekd.plugins import Oracle
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Choice, UserFile

# What torch and libraries on it raise where a network is not as they think.
MISFITS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)

Teachers = tuple[dict[str, JsonValue], ...]


def network(
    teacher: Teachers, files: Mapping[str, Path], inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> nn.Module:
    """The teacher's network with its weights, for the student's signature; `teacher` is one table {name = ..., ...}.

    Raises UsageError for a teacher that has no torch network whose modules can be changed.
    """
    if len(teacher) != 1:
        raise UsageError(Problem("student", "there is no teacher to make it of", "A recipe's [teacher] gives it one"))
    written, start = dict(teacher[0]), "teacher.0."
    own = {key.removeprefix(start): path for key, path in files.items() if key.startswith(start)}
    pinned = {key: UserFile(path=str(path), sha256="") for key, path in own.items()}
    choice = Choice(name=str(written.pop("name")), settings=written, files=pinned)
    kind, chosen = networks.configured("teachers", choice, "teacher")
    oracle: Oracle = kind.load(chosen, own, Signature(inputs=inputs, outputs=outputs), False)
    module = oracle.module
    if module is None or (isinstance(module, Logits) and module.frozen):
        why = oracle.why_no_module or "it is a program, whose layers are fixed"
        hint = "Give the teacher as a torch network (make = module:function), or take another student family"
        raise UsageError(Problem("student", f"nothing can be made of the teacher's network: {why}", hint))
    return module.train()


def sample(inputs: Sequence[TensorSpec]) -> tuple[Tensor, ...]:
    """One made-up sample, in the order of the inputs; ids are zeros, and masks hide nothing."""
    return tuple(_values(spec) for spec in inputs)


def _values(spec: TensorSpec) -> Tensor:
    shape = (1, *spec.shape[1:])
    if spec.dtype.startswith("float"):
        return torch.zeros(shape)
    return torch.ones(shape, dtype=getattr(torch, spec.dtype))


def heads(module: nn.Module, classes: int) -> list[nn.Module]:
    """Layers that give one number for each class."""
    return [one for one in module.modules() if _width(one) == classes]


def _width(layer: nn.Module) -> int:
    found: Any = getattr(layer, "out_features", getattr(layer, "out_channels", 0))
    return int(found)


def stacks(module: nn.Module) -> Iterator[tuple[nn.ModuleList | nn.Sequential, list[int]]]:
    """Runs of two or more equal blocks in a row: the list that holds them, and their places there."""
    for container in module.modules():
        if not isinstance(container, nn.ModuleList | nn.Sequential):
            continue
        run: list[int] = []
        for place, block in enumerate(container):
            if run and _kind(container[run[-1]]) == _kind(block):
                run.append(place)
                continue
            if len(run) > 1:
                yield container, run
            run = [place] if any(True for _ in block.children()) else []
        if len(run) > 1:
            yield container, run


def _kind(block: nn.Module) -> tuple[object, ...]:
    """What two blocks share that compute the same, but for their weights."""
    shapes = tuple((name, tuple(value.shape)) for name, value in block.state_dict().items())
    return type(block), repr(block), shapes
