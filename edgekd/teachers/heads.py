"""A teacher for each head: every one answers for its own classes, and a student with several heads learns from all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, field_validator
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather
from edgekd.nets import networks, teaching
from edgekd.plugins import Oracle
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
EXTRA = "train"
NESTS = ("heads",)

Array = NDArray[Any]


class Settings(Value):
    """`heads` holds a teacher for each head by its name: { kind = { name = "torch", make = ... }, side = { ... } }.

    All have the same image settings.
    """

    heads: dict[str, dict[str, JsonValue]]

    @field_validator("heads")
    @classmethod
    def _named(cls, heads: dict[str, dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
        if len(heads) < 2:
            raise ValueError("there are at least two heads, each with a teacher of its own")
        for head, member in heads.items():
            if not isinstance(member.get("name"), str):
                raise ValueError(f'the teacher of {head} needs a name, for example name = "torch"')
        return heads


class SideBySide(nn.Module):
    """Networks on the same inputs, whose answers stand side by side: {"logits": (N, classes of all heads)}."""

    def __init__(self, members: Sequence[nn.Module], signatures: Sequence[Signature]) -> None:
        super().__init__()
        self.members, self.signatures = nn.ModuleList(members), tuple(signatures)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Inputs in the signature's order -> {"logits": (N, classes of all heads)}."""
        first = self.signatures[0].outputs[0].name
        pairs = zip(self.members, self.signatures, strict=True)
        return {first: torch.cat([networks.named(one(*inputs), signature)[first] for one, signature in pairs], dim=1)}


def load(settings: Settings, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle:
    """Load every member, in the order of the data's heads; raises UsageError with the mistakes of all of them."""
    order = _order(settings, signature)
    signatures = [_alone(signature, name) for name in order]
    gather = Gather()
    found = [
        gather.attempt(teaching.member, f"heads.{name}.", settings.heads[name], files, alone, trust)
        for name, alone in zip(order, signatures, strict=True)
    ]
    gather.check()
    members = [member for member in found if member is not None]
    counts = {member.count for member in members if member.count is not None}
    if len(counts) > 1:
        seen = ", ".join(map(str, sorted(counts)))
        raise UsageError(Problem("heads", f"they hold outputs for different numbers of samples: {seen}"))

    def outputs(batch: Mapping[str, Array], rows: Array, part: str) -> NDArray[np.float32]:
        return np.concatenate([np.asarray(one.outputs(batch, rows, part), np.float32) for one in members], axis=1)

    live, count = all(member.live for member in members), next(iter(counts), None)
    modules = [member.module for member in members if member.module is not None]
    if len(modules) < len(members):
        pairs = zip(order, members, strict=True)
        why = "; ".join(f"{name}: {one.why_no_module}" for name, one in pairs if one.module is None)
        return Oracle(outputs=outputs, why_no_module=why, live=live, count=count)
    return Oracle(outputs=outputs, module=SideBySide(modules, signatures).eval())


def _order(settings: Settings, signature: Signature) -> list[str]:
    """The heads in the data's order; as they are written where that is not known yet."""
    heads = [head.name for head in signature.heads]
    if heads and sorted(settings.heads) != sorted(heads):
        message = f"there are teachers of {', '.join(settings.heads)}, but the heads are {', '.join(heads)}"
        raise UsageError(Problem("heads", message, "Give one for each head, called as its array y_<head> is"))
    return heads or list(settings.heads)


def _alone(signature: Signature, name: str) -> Signature:
    """What a teacher of this head alone takes and gives."""
    head = next((one for one in signature.heads if one.name == name), None)
    if head is None or not head.classes:  # which Check does not know yet
        return signature.model_copy(update={"heads": ()})
    first = signature.outputs[0]
    output = TensorSpec(name=first.name, shape=(first.shape[0], len(head.classes)))
    return signature.model_copy(update={"outputs": (output,), "classes": head.classes, "heads": ()})
