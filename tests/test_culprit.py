"""Which operator a converter fails at, in the names of the user's own network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.nets import culprit, inference, programs
from edgekd.results import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", shape=(-1, 8)),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),)
)


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, nn.Linear(8, 8)

    def forward(self, x):
        x = self.inner(x)
        if self.kind == "inverse":
            return torch.linalg.inv(x.reshape(-1, 2, 2, 2).sum(1) + 4 * torch.eye(2)).flatten(1)
        if self.kind == "spectrum":
            return torch.fft.rfft(x).abs()
        return torch.lgamma(x.abs() + 1)


class Network(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), Odd(kind), nn.ReLU())

    def forward(self, x):
        return self.blocks(x)[:, :3]


def program(kind: str, around=lambda network: network):
    rows = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}
    return programs.trace(around(Network(kind)), SIGNATURE, rows, "student")


class Two(nn.Module):
    """Gives half of its values, and what becomes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(3, 3)

    def forward(self, x):
        half, _ = self.first(x).chunk(2, 1)
        return {"logits": self.last(half), "half": half}


def test_outputs_that_fail_only_together_are_told_by_the_last_of_them() -> None:
    wanted = SIGNATURE.model_copy(update={"outputs": (*SIGNATURE.outputs, TensorSpec(name="half", shape=(-1, 3)))})
    rows = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}
    traced, signature = programs.trace(Two(), wanted, rows, "student")

    def fails(part, signature) -> bool:
        assert len(part.module()(torch.ones(1, 8))) == len(signature.outputs)
        return len(signature.outputs) == 2

    found = culprit.culprit(traced, signature, "", fails)
    assert culprit.told(found) == "aten.chunk in the network's own forward (Two)"
    assert culprit.culprit(traced, signature, "", lambda *_: False) is None


def holds(operator: str):
    """A converter that fails on programs with an operator."""
    asked = []

    def fails(part, signature) -> bool:
        asked.append(part)
        run = part.module()(torch.ones(1, 8))
        assert tuple(run[0].shape) == signature.outputs[0].shape and signature.inputs[0].shape == (1, 8)
        return any(operator in str(node.target) for node in part.graph.nodes)

    return fails, asked


@pytest.mark.parametrize(
    ("kind", "operator", "told"),
    [
        ("inverse", "linalg_inv", "aten.linalg_inv in blocks.2 (Odd)"),
        ("gamma", "lgamma", "aten.lgamma in blocks.2 (Odd)"),
        ("spectrum", "fft_rfft", "aten.fft_rfft in blocks.2 (Odd)"),
        ("gamma", "slice", "aten.slice.Tensor in the network's own forward (Network)"),
        ("gamma", "linear", "aten.linear in blocks.0 (Linear)"),
    ],
)
@pytest.mark.parametrize("message", ["it broke", "op lgamma, linear_1 or add broke"])
def test_the_first_operator_that_fails_is_found_whatever_the_message_says(
    kind: str, operator: str, told: str, message: str
) -> None:
    found = culprit.culprit(*program(kind), message, holds(operator)[0])
    assert found is not None and culprit.told(found) == told


def test_a_message_that_names_it_saves_the_search() -> None:
    patient, hurried = holds("lgamma"), holds("lgamma")
    culprit.culprit(*program("gamma"), "it broke", patient[0])
    culprit.culprit(*program("gamma"), "no lowering for aten::lgamma", hurried[0])
    assert len(hurried[1]) == 2 < len(patient[1])


def test_where_every_part_converts_nothing_is_blamed() -> None:
    assert culprit.culprit(*program("gamma"), "lgamma", holds("nothing of the kind")[0]) is None


def test_what_edgekd_puts_around_a_network_is_not_in_the_path(tmp_path: Path) -> None:
    traced, _ = program("gamma", lambda network: inference.Logits(network, SIGNATURE, "logits"))
    programs.write(traced, tmp_path / "p.pt2")
    nodes = programs.load(tmp_path / "p.pt2").graph.nodes
    assert {culprit.place(node)[0] for node in nodes if node.op == "call_function"} == {
        "", "blocks.0", "blocks.1", "blocks.2", "blocks.2.inner", "blocks.3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "word"), [("inverse", "precompute"), ("gamma", "polynomial"), ("spectrum", "cosines")]
)
def test_what_to_use_instead_is_said(kind: str, word: str) -> None:
    operators = {"inverse": "linalg_inv", "gamma": "lgamma", "spectrum": "fft_rfft"}
    found = culprit.culprit(*program(kind), "", holds(operators[kind])[0])
    assert found is not None and word in culprit.instead(found)
    plain = next(node for node in program("gamma")[0].graph.nodes if culprit.operator(node) == "linear")
    assert culprit.instead(plain) == culprit.OTHERWISE


class Stepwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.net = nn.Linear(8, 8), nn.LSTM(2, 4, batch_first=True)

    def forward(self, x):
        return self.net(self.first(x).reshape(-1, 4, 2))[0][:, -1, :3]


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_a_constant_is_not_blamed_for_an_operator_after_it() -> None:
    """A part of a program that gives a constant alone is nothing that converters can take."""
    rows = {"x": np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)}
    made, signature = programs.trace(Stepwise(), SIGNATURE, rows, "student")

    def fails(part, signature) -> bool:
        inputs = set(part.graph_signature.user_inputs)
        unused = not any(node.name in inputs and node.users for node in part.graph.nodes)
        return unused or any("lstm" in str(node.target) for node in part.graph.nodes)

    node = culprit.culprit(made, signature, "no such thing", fails)
    assert node is not None and culprit.told(node) == "aten.lstm.input in net (LSTM)"
