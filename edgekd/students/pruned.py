"""The teacher itself with fewer channels: those whose weights are largest stay, and training goes on from there.

Source: Fang et al., "DepGraph: towards any structural pruning", https://arxiv.org/abs/2301.12900 (torch-pruning).
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from pydantic import Field
from torch import nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import derived
from edgekd.results import TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch", "torch-pruning")
EXTRA = "prune"
OF_TEACHER = True

KEEP = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.85)


class Settings(Value):
    """Share of the channels of every layer that stay, and what their numbers are a multiple of.

    `teacher` is the recipe's own; it is not written here.
    """

    keep: float = Field(default=0.5, gt=0, lt=1)
    multiple: int = Field(default=4, ge=1, le=64)
    teacher: derived.Teachers = ()


def build(
    settings: Settings, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], files: Mapping[str, Path]
) -> nn.Module:
    """The teacher's network without the weakest channels; raises UsageError where it cannot be cut."""
    module = derived.network(settings.teacher, files, inputs, outputs)
    sample, first = derived.sample(inputs), outputs[0].name

    def answer(network: nn.Module, given: Any) -> Any:
        return network(*given)[first]

    try:
        module.eval()
        with torch.no_grad():
            answer(module, sample)  # fills in what a network finds out by its first sample
        with contextlib.redirect_stdout(io.StringIO()):
            torch_pruning.pruner.BasePruner(
                module,
                sample,
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=1 - settings.keep,
                round_to=settings.multiple,
                ignored_layers=derived.heads(module, outputs[0].shape[-1]),
                forward_fn=answer,
            ).step()
        with torch.no_grad():
            answer(module, sample)
    except derived.MISFITS as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        hint = "Take another student family, or one of your own"
        raise UsageError(Problem("student", f"the teacher cannot be pruned: {reason}", hint)) from error
    return module.train()


def space(settings: Settings, inputs: tuple[TensorSpec, ...]) -> Sequence[Settings]:
    """Shares of the channels; one that the user set stays."""
    if "keep" in settings.model_fields_set:
        return (settings,)
    return [settings.model_copy(update={"keep": keep}) for keep in KEEP]
