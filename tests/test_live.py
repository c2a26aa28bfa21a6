"""A teacher beside the student: what of it can be seen, in which memory layout it runs, what it costs."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import UsageError
from edgekd.nets import live as module
from edgekd.nets.inference import Logits
from edgekd.nets.live import SAMPLES, Live
from edgekd.plugins import Oracle
from edgekd.results import Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", shape=(-1, 2, 4, 4)),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),)
)
IMAGES = torch.randn(40, 2, 4, 4, generator=torch.Generator().manual_seed(0))
ROWS = np.arange(40)


def inputs(rows: np.ndarray, views: np.ndarray) -> dict[str, Tensor]:
    return {"x": IMAGES[torch.from_numpy(rows)] + torch.from_numpy(views)[:, None, None, None]}


class Net(nn.Module):
    """Two layers; gives what it is told to."""

    def __init__(self, viewed: bool = False, named: bool = True) -> None:
        super().__init__()
        self.conv, self.drop = nn.Conv2d(2, 4, 3, padding=1), nn.Dropout(0.5)
        self.head = nn.Linear(64, 3)
        self.viewed, self.named, self.layouts = viewed, named, []

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        y = self.drop(self.conv(x))
        self.layouts.append(y.is_contiguous(memory_format=torch.channels_last))
        flat = y.view(len(y), -1) if self.viewed else y.flatten(1)
        logits = self.head(flat)
        return {"logits": logits, "features": flat} if self.named else logits


def live(network: nn.Module, activation: str = "logits") -> Live:
    torch.manual_seed(0)
    module = Logits(network, SIGNATURE, activation)  # type: ignore[arg-type]
    return Live(Oracle(outputs=lambda *_: np.zeros(0), module=module), SIGNATURE, inputs)


def watching(network: nn.Module, *names: str, activation: str = "logits") -> Live:
    teacher = live(network, activation)
    found = teacher.survey(ROWS[:SAMPLES], np.zeros(SAMPLES, np.int64))
    teacher.watch(found, names)
    return teacher


@pytest.mark.parametrize("named", [True, False])
def test_names_are_those_of_the_users_own_network(named: bool) -> None:
    found = live(Net(named=named)).survey(ROWS[:SAMPLES], np.zeros(SAMPLES, np.int64))
    assert found.shapes["conv"] == (3, 4, 4, 4) and found.shapes["logits"] == (3, 3)
    assert ("features" in found.outputs) is named and "network.conv" not in found.shapes


def test_it_answers_in_eval_mode_without_gradients() -> None:
    network = Net().train()
    teacher = watching(network, "conv", "features")
    answers = [teacher(ROWS[:5], np.ones(5, np.int64)) for _ in range(2)]
    assert answers[0].keys() == {"logits", "conv", "features"}
    assert all(torch.equal(value, answers[1][name]) for name, value in answers[0].items())
    assert not any(value.requires_grad for value in answers[0].values())
    expected = network.conv(inputs(ROWS[:5], np.ones(5, np.int64))["x"])
    torch.testing.assert_close(answers[0]["conv"], expected.detach())
    assert teacher.seconds > 0


@pytest.mark.parametrize("viewed", [True, False])
def test_channels_come_last_where_the_network_can_take_them_so(viewed: bool) -> None:
    network = Net(viewed=viewed)
    teacher = watching(network, "conv")
    network.layouts.clear()
    teacher(ROWS[:5], np.zeros(5, np.int64))
    assert network.layouts == [not viewed]


def test_probabilities_become_logits() -> None:
    class Sure(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)["logits"].softmax(1)  # type: ignore[index, no-any-return, call-overload]

    answers = watching(Sure(), "conv", activation="probabilities")(ROWS[:5], np.zeros(5, np.int64))
    torch.testing.assert_close(answers["logits"].exp().sum(1), torch.ones(5))


def test_answers_are_worth_keeping_where_views_are_met_again_and_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = watching(Net(), "conv", "logits")
    assert teacher.worth_keeping(80, 81) and not teacher.worth_keeping(80, 80)
    monkeypatch.setattr(module, "ROOM", 80 * 2 * (64 + 3))
    assert teacher.worth_keeping(80, 10**6) and not teacher.worth_keeping(81, 10**6)


def test_kept_answers_are_those_of_each_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    teacher, told = watching(Net(), "conv"), []
    rows = ROWS[::2]
    drawn, views = rows[[3, 0, 7, 7]], np.array([1, 0, 0, 1])
    asked = teacher(drawn, views)
    teacher.keep(rows, 2, told.append)
    spent = teacher.seconds
    kept = teacher(drawn, views)
    assert teacher.seconds == spent and told == [0.5, 1.0]
    for name, value in asked.items():
        torch.testing.assert_close(kept[name].float(), value, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("oracle", "says"),
    [
        (
            Oracle(outputs=lambda *_: np.zeros(0), why_no_module="it is an ONNX file"),
            "cannot be seen: it is an ONNX file",
        ),
        (
            Oracle(outputs=lambda *_: np.zeros(0), module=Logits(Net(), SIGNATURE, "logits", frozen=True)),
            "it is an exported program, whose inner values have no names",
        ),
    ],
)
def test_a_teacher_whose_inside_has_no_names_is_refused(oracle: Oracle, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Live(oracle, SIGNATURE, inputs)
