"""The teacher itself with fewer blocks: of every stack of equal ones each k-th stays, with its weights.

Source: Sanh et al., "DistilBERT", https://arxiv.org/abs/1910.01108, which takes one layer out of two.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field
from torch import nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import derived
from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
OF_TEACHER = True

EVERY = (2, 3, 4, 6, 12)


class Settings(Value):
    """Of every stack of equal blocks, such as the layers of a transformer, the first and each `every`-th after it stay.

    `teacher` is the recipe's own; it is not written here.
    """

    every: int = Field(default=2, ge=2, le=64)
    teacher: derived.Teachers = ()


def build(
    settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], files: Mapping[str, Path]
) -> nn.Module:
    """The teacher's network without most of its blocks; raises UsageError where there is no stack of equal ones."""
    module = derived.network(settings.teacher, files, inputs, outputs)
    found = list(derived.stacks(module))
    if not found:
        hint = "Take the family pruned, which takes channels away, or a network of your own"
        raise UsageError(Problem("student", "the teacher has no stack of equal blocks to thin out", hint))
    gone: dict[nn.ModuleList | nn.Sequential, set[int]] = {}
    for container, run in found:
        gone.setdefault(container, set()).update(set(run) - set(run[:: settings.every]))
    for container, places in gone.items():
        for place in sorted(places, reverse=True):
            del container[place]
    return module.train()


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """How many blocks are left out between two that stay; a number that the user set stays."""
    if "every" in settings.model_fields_set:
        return (settings,)
    return [settings.model_copy(update={"every": every}) for every in EVERY]
