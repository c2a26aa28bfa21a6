"""The weights of untrained networks are as varied as those of trained ones; what a user's network holds fast stays."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekd.nets import networks
from edgekd.nets.untrained import SPREAD, unsettle
from edgekd.results import Checkpoint
from edgekd.spec import Architecture, Choice
from edgekd.steps import Convert, Export
from edgekd.store import Store
from tests import converted, learnable


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.layer = nn.LayerNorm(8)
        self.register_buffer("mask", torch.zeros(8))


def test_norms_and_zero_biases_move_and_all_else_stays() -> None:
    torch.manual_seed(0)
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    unsettle(net)
    after = net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    norms = {"weight", "bias", "running_mean", "running_var"}
    assert moved == {f"norm.{name}" for name in norms} | {"layer.weight", "layer.bias"}
    for name in moved:
        assert len(after[name].unique()) == 8
        assert (after[name] - before[name]).min() >= 0 and (after[name] - before[name]).max() < SPREAD


def test_the_same_seed_gives_the_same_weights() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        net = Net()
        unsettle(net)
        found.append(net.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize(
    "format", ["onnx", pytest.param("openvino", marks=pytest.mark.slow), pytest.param("tflite", marks=pytest.mark.slow)]
)
def test_an_untrained_file_is_as_large_as_the_trained_one(tmp_path: Path, format: str) -> None:
    architecture = Architecture(family=Choice(name="convnet", settings={"width": 5, "depth": 2}), image=converted.IMAGE)
    data = learnable.images(tmp_path / "entries")
    trained = converted.entry(tmp_path, "weights")
    network = networks.build(architecture, networks.signature(data, architecture.image, trained))
    # every value another, as training leaves them; variances stay above zero
    state = {name: value + torch.rand(value.shape) for name, value in network.state_dict().items()}
    save_file(state, trained.path("weights.safetensors"))
    weights = trained.file("weights.safetensors")
    checkpoint = Checkpoint(architecture=architecture, weights=weights, validation_accuracy=0.5)
    with Store(tmp_path) as store:
        programs = store.do(Export(source=architecture, splits=data), Export(source=checkpoint, splits=data))
        files = store.do(*(Convert(program=p, format=format, precision="float32", splits=data) for p in programs))
    assert files[0].size == files[1].size
