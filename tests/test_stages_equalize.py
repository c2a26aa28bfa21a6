"""Equalization as a step: int8 files lose far less of a network with unequal channels, and the function stays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edgekd.errors import EdgekdError, Unsuited, UsageError
from edgekd.nets import programs
from edgekd.results import Checkpoint, Program
from edgekd.spec import Choice, Objective, Schedule
from edgekd.stages import equalize, train
from edgekd.steps import Equalize, Train
from tests import converted as toy
from tests import int8

NETS = """
import torch
from torch import nn

def layer(inputs, outputs, stride=1, groups=1, side=3):
    convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = layer(1, 16, 2), layer(16, 16, groups=16), layer(16, 24, 2, side=1)
        self.head = nn.Linear(24, 3)

    def forward(self, image):
        return self.head(self.three(self.two(self.one(image))).mean((2, 3)))

class Bent(Net):
    def forward(self, image):
        x = torch.sigmoid(self.two(torch.sigmoid(self.one(image))))
        return self.head(torch.tanh(self.three(x)).mean((2, 3)))

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.inner, self.head = nn.Embedding(20, 16), nn.Linear(16, 32), nn.Linear(32, 3)
        self.inner.weight.data *= torch.logspace(-2, 2, 32)[:, None]
        self.head.weight.data /= torch.logspace(-2, 2, 32)

    def forward(self, ids, mask):
        inner = torch.relu(self.inner(self.table(ids))) * mask.unsqueeze(-1)
        return self.head(inner.sum(1).view(1, 32))
"""


def program(folder: Path, name: str = "Net", words: bool = False) -> Program:
    return int8.program(folder, int8.network(folder, NETS, name, words), words)


def equalized(folder: Path, made: Program, words: bool = False, name: str = "equal") -> Program:
    return equalize.run(Equalize(program=made, splits=int8.data(folder, words)), toy.entry(folder, name))


def unequal(folder: Path) -> Checkpoint:
    """A trained network, of whose channels some are then up to ten thousand times as large as others."""
    step = Train(
        networks=(int8.network(folder, NETS),),
        objectives=(Objective(use=Choice(name="cross_entropy")),),
        splits=int8.data(folder),
        schedule=Schedule(epochs=12, batch=32, learning_rate=1e-2, ema_decay=0.9),
    )
    checkpoint = train.run(step, toy.entry(folder, "trained")).checkpoints[0]
    state, random = load_file(int8.space(folder).locate(checkpoint.weights)), torch.Generator().manual_seed(1)
    for norm, reader in (("one.1", "two.0"), ("two.1", "three.0"), ("three.1", "head")):
        factors = 10 ** (4 * torch.rand(len(state[f"{norm}.weight"]), generator=random) - 2)
        for name in ("weight", "bias"):
            state[f"{norm}.{name}"] *= factors
        # the depthwise layer has its channels first
        weight = state[f"{reader}.weight"]
        at = 0 if weight.shape[1] == 1 else 1
        state[f"{reader}.weight"] = weight / factors.reshape([-1 if d == at else 1 for d in range(weight.ndim)])
    out = toy.entry(folder, "unequal")
    save_file(state, out.path("weights.safetensors"))
    return checkpoint.model_copy(update={"weights": out.file("weights.safetensors")})


def decibels(wanted: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantization noise."""
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()))


@pytest.mark.filterwarnings("ignore")  # torch.onnx's own
def test_int8_loses_unequal_channels_and_keeps_them_equalized(tmp_path: Path) -> None:
    made = int8.program(tmp_path, unequal(tmp_path))
    wanted = np.array(int8.space(tmp_path).load(made.reference))
    assert int8.right(tmp_path, wanted) > 0.95
    equal = equalized(tmp_path, made)
    before, after = int8.outputs(tmp_path, made), int8.outputs(tmp_path, equal)
    assert decibels(wanted, after) > decibels(wanted, before) + 10 and decibels(wanted, after) > 25
    assert int8.right(tmp_path, before) < 0.7 and int8.right(tmp_path, after) > 0.95
    # nothing but the file is new, and that says the same in its graph
    assert equal == made.model_copy(update={"file": equal.file}) and equal.file.sha256 != made.file.sha256
    graphs = [programs.load(int8.space(tmp_path).locate(one.file)) for one in (made, equal)]
    assert programs.digest(graphs[1]) == programs.digest(graphs[0])
    assert [node.name for node in graphs[1].graph.nodes] == [node.name for node in graphs[0].graph.nodes]
    assert equalized(tmp_path, made, name="again").file.sha256 == equal.file.sha256


def test_ids_and_a_batch_of_one_go_through(tmp_path: Path) -> None:
    made = program(tmp_path, "Words", words=True)
    assert made.signature.inputs[0].shape[0] == 1
    equal = equalized(tmp_path, made, words=True)
    before, after = (programs.load(int8.space(tmp_path).locate(one.file)).state_dict for one in (made, equal))
    sizes = [state["network.inner.weight"].norm(dim=1) for state in (before, after)]
    live = sizes[0] != sizes[1]
    assert live.sum() > 20
    one, other = ((size[live].max() / size[live].min()).item() for size in sizes)
    assert one > 1e3 and other < 50


def test_a_network_without_two_layers_in_a_row_is_unsuited(tmp_path: Path) -> None:
    made = program(tmp_path, "Bent")
    with pytest.raises(Unsuited, match="no two layers in a row"):
        equalized(tmp_path, made)


def test_what_is_no_torch_program_is_unsuited(tmp_path: Path) -> None:
    made = program(tmp_path)
    out = toy.entry(tmp_path, "onnx")
    out.path("student.onnx").write_bytes(b"onnx")
    with pytest.raises(Unsuited, match="this network is an ONNX file"):
        equalized(tmp_path, made.model_copy(update={"file": out.file("student.onnx")}))


def test_calibration_samples_are_needed(tmp_path: Path) -> None:
    made, splits = program(tmp_path), int8.data(tmp_path)
    bare = splits.model_copy(update={"parts": {k: v for k, v in splits.parts.items() if k != "calibration"}})
    with pytest.raises(UsageError, match="calibration samples"):
        equalize.run(Equalize(program=made, splits=bare), toy.entry(tmp_path, "equal"))


def test_another_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(tmp_path)

    def damaged(given, batches):
        given.state_dict["network.head.bias"].data += 0.01
        return given, 1

    monkeypatch.setattr(equalize, "equalize", damaged)
    with pytest.raises(EdgekdError, match=r"is not the same function: its outputs differ by 0\.0"):
        equalized(tmp_path, made)
    assert not toy.entry(tmp_path, "equal").path("student.pt2").exists()
