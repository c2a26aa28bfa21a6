"""Programs: signatures for one sample or many, and a digest that sees operators and shapes, not names or weights."""

import pytest
import torch
from torch import nn

from edgekd.nets import programs
from edgekd.results import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="ids", shape=(-1, 4), dtype="int64"), TensorSpec(name="x", shape=(-1, 4))),
    outputs=(TensorSpec(name="logits", shape=(-1, 2)),),
    classes=("a", "b"),
)
ROWS = {"ids": torch.arange(12).view(3, 4).numpy(), "x": torch.linspace(-1, 1, 12).view(3, 4).numpy()}


class Net(nn.Module):
    def __init__(self, name: str = "head", scale: float = 2.0, width: int = 4) -> None:
        super().__init__()
        self.name, self.scale = name, scale
        setattr(self, name, nn.Linear(width, 2))
        self.table = nn.Embedding(20, width)

    def forward(self, ids: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return getattr(self, self.name)(self.table(ids).mean(1) * self.scale + x.mean(1, keepdim=True))


def digest(network: nn.Module) -> str:
    return programs.digest(programs.trace(network, SIGNATURE, ROWS, "student")[0])


def test_the_digest_is_of_the_graph_alone() -> None:
    torch.manual_seed(0)
    first = digest(Net())
    torch.manual_seed(1)
    assert digest(Net()) == first == digest(Net("classifier"))


class Summed(Net):
    def forward(self, ids: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(ids).sum(1) * self.scale + x.mean(1, keepdim=True))


@pytest.mark.parametrize("other", [Net(scale=3.0), Net(width=5), Summed()])
def test_the_digest_sees_constants_shapes_and_operators(other: nn.Module) -> None:
    assert digest(other) != digest(Net())


def test_a_fixed_and_a_free_batch_are_different_graphs() -> None:
    program, signature = programs.trace(Net(), SIGNATURE, ROWS, "student")
    assert programs.dynamic(signature)
    fixed = programs.at_batch_one(program, signature)
    assert programs.digest(fixed) != programs.digest(program)
    one = programs.with_batch(signature, 1)
    assert not programs.dynamic(one) and programs.at_batch_one(fixed, one) is fixed
    assert [spec.shape for spec in (*one.inputs, *one.outputs)] == [(1, 4), (1, 4), (1, 2)]
    assert programs.with_batch(one, -1) == signature


def test_only_64_bit_integers_are_narrowed() -> None:
    assert [spec.dtype for spec in programs.without_int64(SIGNATURE).inputs] == ["int32", "float32"]


def test_samples_have_the_inputs_types() -> None:
    ids, x = programs.samples(SIGNATURE, 2)
    assert (ids.dtype, ids.shape, x.dtype, x.shape) == (torch.int64, (2, 4), torch.float32, (2, 4))
