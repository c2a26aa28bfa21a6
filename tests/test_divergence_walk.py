"""A program's nodes in the names of the user's own network, how they follow each other, and their weights' ranges."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.nn import functional as F

from edgekd.divergence import graph, walk
from edgekd.nets import inference, programs
from edgekd.results import Signature, TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", shape=(-1, 2, 6, 6)), TensorSpec(name="keep", shape=(-1, 4))),
    outputs=(TensorSpec(name="logits", shape=(-1, 4)),),
)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)), inplace=True)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.ModuleList([Block()])  # a name that edgekd's own wrappers have, too
        self.up = nn.ConvTranspose2d(4, 3, 2)
        self.head, self.steps = nn.Linear(3, 4), nn.Buffer(torch.arange(4.0))

    def forward(self, x, keep):
        x = self.up(self.network[0](x)).flatten(2).mean(2)
        x = F.dropout(self.head(x), 0.5, self.training) * (self.steps + 1)
        return x.masked_fill(keep == 0, -9.0)


def exported(network: nn.Module) -> ExportedProgram:
    torch.manual_seed(0)
    rows = {"x": np.ones((2, 2, 6, 6), np.float32), "keep": np.ones((2, 4), np.float32)}
    return programs.trace(network.eval(), SIGNATURE, rows, "here")[0]


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    torch.manual_seed(1)
    network = Net()
    block = network.network[0]
    with torch.no_grad():
        block.norm.weight.copy_(torch.tensor([1.0, 2.0, -8.0, 4e-3]))
        block.norm.running_var.copy_(torch.tensor([1.0, 4.0, 0.25, 3e-5]))
        network.head.weight[2] *= 50
    return exported(network)


@pytest.fixture(scope="module")
def nodes(program: ExportedProgram) -> dict[str, walk.Node]:
    return walk.nodes(program)


def called(nodes: dict[str, walk.Node], operator: str) -> walk.Node:
    (found,) = [node for node in nodes.values() if node.operator == operator]
    return found


def test_places_are_in_the_users_own_names(nodes: dict[str, walk.Node]) -> None:
    places = {node.operator: (node.module, node.kind) for node in nodes.values()}
    assert places["conv2d"] == ("network.0.conv", "Conv2d")
    assert places["relu"] == ("network.0", "Block")
    assert places["linear"] == ("head", "Linear")
    assert places["masked_fill"] == ("", "Net")


def test_a_teachers_wrapper_does_not_count_either() -> None:
    teacher = exported(inference.Logits(Net(), SIGNATURE, "probabilities"))
    found = walk.nodes(teacher)
    assert called(found, "linear").module == "head"
    assert called(found, "conv2d").module == "network.0.conv"
    assert called(found, "log").kind == "", "what edgekd adds is no layer of the user's"


def test_what_only_passes_on_does_not_count(nodes: dict[str, walk.Node]) -> None:
    counts = {node.operator for node in nodes.values() if node.counts}
    passes = {node.operator for node in nodes.values() if not node.counts}
    assert {"conv2d", "batch_norm", "relu", "mean", "linear", "mul", "masked_fill"} <= counts
    assert {"flatten", "dropout"} <= passes


def test_a_rearranged_output_counts_all_the_same() -> None:
    class Turned(nn.Module):
        def forward(self, x, keep):
            return (x.mean((2, 3)).repeat(1, 2) * keep).unsqueeze(2).flatten(1)

    found = walk.nodes(exported(Turned()))
    assert called(found, "flatten").counts and not called(found, "unsqueeze").counts


def test_masks_and_constants_are_known(nodes: dict[str, walk.Node]) -> None:
    assert called(nodes, "eq").boolean and not called(nodes, "masked_fill").boolean
    assert not called(nodes, "add").varies and called(nodes, "mul").varies


def test_the_nearest_layers_before_are_found_through_hidden_ones(nodes: dict[str, walk.Node]) -> None:
    relu, mean, masked = (called(nodes, operator).name for operator in ("relu", "mean", "masked_fill"))
    linear = called(nodes, "linear").name
    before = graph.before(nodes, {relu, mean, linear, masked})
    assert before[relu] == frozenset() and before[mean] == {relu}
    assert before[linear] == {mean} and before[masked] == {linear}


def test_a_layer_is_named_by_all_that_its_tensor_holds(nodes: dict[str, walk.Node]) -> None:
    labels = graph.labels(nodes)
    relu, linear, masked = (called(nodes, operator).name for operator in ("relu", "linear", "masked_fill"))
    seen = {relu, linear, masked}
    names = {name: graph.name(graph.region(nodes, seen, name), labels) for name in seen}
    assert names[relu] == f"network.0.conv + network.0.norm + network.0 {relu}"
    assert names[linear] == "up + mean + head"
    assert names[masked] == "add + mul + eq + masked_fill"
    assert graph.name(graph.region(nodes, (), masked), labels) == "network.0.conv + ... + masked_fill"


def test_two_calls_of_one_module_have_names_of_their_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Linear(4, 4)

        def forward(self, x, keep):
            return self.same(self.same(keep)) + x.mean((1, 2, 3))[:, None]

    labels = graph.labels(walk.nodes(exported(Twice())))
    assert len({label for label in labels.values() if "linear" in label}) == 2


def test_what_follows_a_hidden_layer(nodes: dict[str, walk.Node]) -> None:
    conv, relu, masked = (called(nodes, operator).name for operator in ("conv2d", "relu", "masked_fill"))
    assert graph.after(nodes, {relu, masked}, conv) == relu
    assert graph.after(nodes, {conv}, masked) is None


def test_ranges_of_channels_with_batch_normalization_folded_in(
    program: ExportedProgram, nodes: dict[str, walk.Node]
) -> None:
    ranges, factors = walk.channel_ranges(program), walk.channel_factors(program)
    held = program.state_dict
    kernel = held["network.network.0.conv.weight"].abs().amax((1, 2, 3)).numpy()
    conv, norm, relu = (called(nodes, operator).name for operator in ("conv2d", "batch_norm", "relu"))
    np.testing.assert_allclose(ranges[conv], kernel)
    np.testing.assert_allclose(factors[norm], [1, 1, 16, 4e-3 / 4e-5**0.5], rtol=1e-4)
    up = called(nodes, "conv_transpose2d").name
    np.testing.assert_allclose(ranges[up], held["network.up.weight"].abs().amax((0, 2, 3)).numpy())
    folded = kernel * np.array([1, 1, 16, 4e-3 / 4e-5**0.5])
    inside = graph.region(nodes, {relu}, relu)
    assert graph.unequal_channels(inside, ranges, factors) == pytest.approx(folded.max() / np.median(folded), rel=1e-4)
    linear = called(nodes, "linear").name
    assert graph.unequal_channels(graph.region(nodes, {linear, up}, linear), ranges, factors) > 30
    mean = called(nodes, "mean").name
    assert graph.unequal_channels(graph.region(nodes, {mean, up}, mean), ranges, factors) is None
