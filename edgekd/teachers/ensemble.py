"""Several teachers as one: the weighted mean of their probabilities or of their logits.

Sources: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", https://arxiv.org/abs/1503.02531;
for shares that are learned, Breiman, "Stacked regressions", Machine Learning 24, 1996: the combination that is best on
held-out samples, with shares of zero or more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, field_validator, model_validator
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather
from edgekd.nets import inference, networks, teaching
from edgekd.plugins import Oracle
from edgekd.results import Signature
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch", "scipy")
EXTRA = "train"
NESTS = ("members",)

Array = NDArray[Any]
Mean = Literal["probabilities", "logits"]


class Settings(Value):
    """`members` are teachers as tables {name = "torch", make = ..., weights = ...}, all with the same image settings.

    `shares` says how much each one counts: all alike without it, and with "learned" as is best on the labelled
    validation samples. `mean` is taken over probabilities or over logits.
    """

    members: tuple[dict[str, JsonValue], ...]
    shares: tuple[float, ...] | Literal["learned"] = ()
    mean: Mean = "probabilities"

    @field_validator("members")
    @classmethod
    def _named(cls, members: tuple[dict[str, JsonValue], ...]) -> tuple[dict[str, JsonValue], ...]:
        if len(members) < 2:
            raise ValueError("an ensemble has at least two members")
        for i, member in enumerate(members):
            if not isinstance(member.get("name"), str):
                raise ValueError(f'member {i} needs a name, for example name = "torch"')
        return members

    @model_validator(mode="after")
    def _one_share_each(self) -> "Settings":
        if self.shares == "learned":
            return self
        if self.shares and len(self.shares) != len(self.members):
            raise ValueError(f"{len(self.shares)} shares are given for {len(self.members)} members")
        if any(not 0 < share < float("inf") for share in self.shares):
            raise ValueError("every share must be above zero")
        return self


class Ensemble(nn.Module):
    """Networks side by side on the same inputs; {"logits": (N, classes)} is the mean of theirs."""

    def __init__(self, members: Sequence[nn.Module], shares: Sequence[float], mean: Mean, signature: Signature) -> None:
        super().__init__()
        self.members, self.mean, self.signature = nn.ModuleList(members), mean, signature
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32), persistent=False)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Inputs in the signature's order -> {"logits": (N, classes)}."""
        first = self.signature.outputs[0].name
        outputs = torch.stack([networks.named(member(*inputs), self.signature)[first] for member in self.members])
        shares = self.get_buffer("shares")[:, None, None]
        if self.mean == "logits":
            return {first: (outputs * shares).sum(0)}
        parts = [outputs[:, :, some].softmax(2) for some in _columns(self.signature)]
        return {first: (torch.cat(parts, 2) * shares).sum(0).clamp_min(inference.LEAST).log()}


def load(settings: Settings, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle:
    """Load every member; raises UsageError with the mistakes of all of them, each with the member's number."""
    gather = Gather()
    written = [(f"members.{i}.", each) for i, each in enumerate(settings.members)]
    found = [gather.attempt(teaching.member, start, each, files, signature, trust) for start, each in written]
    gather.check()
    members = [member for member in found if member is not None]
    counts = [member.count for member in members if member.count is not None]
    if len(set(counts)) > 1:
        seen = ", ".join(map(str, counts))
        raise UsageError(Problem("members", f"they hold outputs for different numbers of samples: {seen}"))
    if settings.shares == "learned" and signature.heads:
        message = f"shares are learned for one kind of classes, and there are {len(signature.heads)} heads"
        raise UsageError(Problem("shares", message, "Give them as numbers, or leave them out"))
    if settings.shares != "learned":
        given = np.array(settings.shares or [1.0] * len(members), np.float32)
        return _joined(members, given / given.sum(), settings.mean, signature)

    def learn(batch: Mapping[str, Array], rows: Array, part: str, labels: Array) -> Oracle:
        shares = learned(_answers(members, batch, rows, part), labels, settings.mean)
        return replace(_joined(members, shares, settings.mean, signature), shares=tuple(shares.tolist()))

    alike = np.full(len(members), 1 / len(members), np.float32)
    return replace(_joined(members, alike, settings.mean, signature), learn=learn)


def _joined(members: Sequence[Oracle], shares: NDArray[np.float32], mean: Mean, signature: Signature) -> Oracle:
    """Loaded members as one teacher."""

    def outputs(batch: Mapping[str, Array], rows: Array, part: str) -> NDArray[np.float32]:
        return _mean(_answers(members, batch, rows, part), shares, mean, _columns(signature))

    count = next((member.count for member in members if member.count is not None), None)
    live = all(member.live for member in members)
    networks_of_all = [member.module for member in members if member.module is not None]
    if len(networks_of_all) < len(members):
        why = "; ".join(f"member {i}: {m.why_no_module}" for i, m in enumerate(members) if m.module is None)
        return Oracle(outputs=outputs, why_no_module=why, live=live, count=count)
    module = Ensemble(networks_of_all, shares.tolist(), mean, signature).eval()
    return Oracle(outputs=outputs, module=module)


def _answers(members: Sequence[Oracle], batch: Mapping[str, Array], rows: Array, part: str) -> NDArray[np.float32]:
    """Logits of all members, (members, N, classes)."""
    answers = [np.asarray(member.outputs(batch, rows, part), np.float32) for member in members]
    if len({answer.shape[1:] for answer in answers}) > 1:
        seen = ", ".join(str(answer.shape[1]) for answer in answers)
        raise UsageError(Problem("members", f"they know different numbers of classes: {seen}"))
    return np.stack(answers)


def learned(answers: NDArray[np.float32], labels: Array, mean: Mean) -> NDArray[np.float32]:
    """The shares, zero or more with the sum one, at which the mean of (members, N, classes) logits is likeliest to
    give `labels` (N,). Both means make that a convex problem, so that there is one answer."""
    each, rows = np.asarray(answers, np.float64), np.arange(len(labels))
    right = np.exp(each[:, rows, labels] - logsumexp(each, 2))  # of each member, its probability of each label

    def unlikely(shares: NDArray[np.float64]) -> float:
        if mean == "probabilities":
            return -float(np.mean(np.log(np.maximum(shares @ right, inference.LEAST))))
        found = np.tensordot(shares, each, 1)
        return float(np.mean(logsumexp(found, 1) - found[rows, labels]))

    alike = np.full(len(each), 1 / len(each))
    found = minimize(
        unlikely,
        alike,
        method="SLSQP",
        bounds=[(0, 1)] * len(each),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
    )
    shares = np.clip(found.x, 0, 1)
    best = shares / shares.sum() if unlikely(shares / shares.sum()) <= unlikely(alike) else alike
    return np.asarray(best, np.float32)


def _columns(signature: Signature) -> list[slice]:
    """The columns of the output that make one choice: all of them, or those of each head."""
    return [head.columns for head in signature.heads if head.classes] or [slice(None)]


def _mean(
    answers: Array, shares: NDArray[np.float32], mean: Mean, columns: Sequence[slice] = (slice(None),)
) -> NDArray[np.float32]:
    """(members, N, classes) logits -> (N, classes), as Ensemble does it in torch."""
    weights = shares[:, None, None]
    if mean == "logits":
        return np.asarray((answers * weights).sum(0), np.float32)
    parts = []
    for some in columns:
        powers = np.exp(answers[:, :, some] - answers[:, :, some].max(2, keepdims=True))
        parts.append(powers / powers.sum(2, keepdims=True))
    return inference.log_probabilities((np.concatenate(parts, 2) * weights).sum(0))
