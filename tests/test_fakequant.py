"""Fake quantization: what is rounded and how, that gradients pass, what freezes, and that int8 files are won back."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.errors import Unsuited
from edgekd.nets import fakequant
from edgekd.nets.fakequant import FakeQuantized
from edgekd.spec import Choice, Objective, Schedule
from edgekd.stages import train
from edgekd.steps import Train
from tests import converted as toy
from tests import int8, learnable


def wrapped(network: nn.Module, watch: bool = True) -> FakeQuantized:
    return FakeQuantized(network, fakequant.ranges(network), watch)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def samples(seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(seed)) * scale


def seen(layer: nn.Module, run: FakeQuantized, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a layer is given, and its weight, in one pass."""
    found = []
    handle = layer.register_forward_hook(lambda module, inputs, _: found.append((inputs[0], module.weight)))
    run(x)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("at", [0, 4])
def test_weights_and_inputs_of_layers_are_in_8_bits(at: int) -> None:
    network = small()
    given, weight = seen(network[at], wrapped(network), samples())
    for channel, exact in zip(weight.detach(), network[at].weight.detach(), strict=True):
        step = exact.abs().max() / 127
        torch.testing.assert_close(channel / step, (exact / step).round(), rtol=0, atol=1e-3)
        assert channel.abs().max() == pytest.approx(float(exact.abs().max()), rel=1e-5)
    assert len(given.unique()) <= 256 and 0 in given
    assert network[at].weight is dict(network.named_parameters())[f"{at}.weight"]


def test_inputs_are_rounded_to_the_steps_of_their_range() -> None:
    network = small()
    run = wrapped(network)
    given, _ = seen(network[0], run, x := samples())
    low, high = float(x.min()), float(x.max())
    assert run.ranges["0"].tolist() == pytest.approx([low, high, 1])
    step = (high - low) / 255
    assert 0.4 * step < float((given - x).abs().max()) < 0.6 * step
    # what a range does not hold is cut off
    run.watch = False
    given, _ = seen(network[0], run, 3 * x)
    assert float(given.max()) == pytest.approx(high, abs=step) and float(given.min()) == pytest.approx(low, abs=step)


def test_gradients_are_those_of_the_rounded_numbers() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 3), torch.randn(5, 6, requires_grad=True)
    run = wrapped(nn.Sequential(layer))
    given, weight = seen(layer, run, x)
    out = torch.randn(5, 3)
    (run(x) * out).sum().backward()
    torch.testing.assert_close(layer.weight.grad, out.T @ given.detach())
    torch.testing.assert_close(x.grad, out @ weight.detach())
    torch.testing.assert_close(layer.bias.grad, out.sum(0))


def test_rounding_after_a_norm_is_folded_in_is_the_same() -> None:
    network = small().eval()
    network[1].running_var.uniform_(0.1, 5)
    network[1].weight.data = torch.tensor([0.1, -3.0, 1.0, 20.0])
    x, apart = samples(), wrapped(network[:2])(samples())
    factors = network[1].weight / (network[1].running_var + network[1].eps).sqrt()
    folded = nn.Conv2d(2, 4, 3)
    folded.weight.data = network[0].weight.detach() * factors.detach()[:, None, None, None]
    folded.bias.data = ((network[0].bias - network[1].running_mean) * factors + network[1].bias).detach()
    torch.testing.assert_close(wrapped(nn.Sequential(folded))(x), apart, rtol=1e-4, atol=1e-4)


def test_ranges_are_means_at_first_then_follow_then_stay() -> None:
    network = small()
    run = wrapped(network)
    for scale in (1.0, 3.0):
        run(samples(scale=scale))
    low, high = float(samples().min()), float(samples().max())
    assert run.ranges["0"].tolist() == pytest.approx([2 * low, 2 * high, 2])
    for _ in range(200):
        run(samples())
    assert run.ranges["0"][:2].tolist() == pytest.approx([low, high], rel=0.01)
    run.at(0.95)
    before = run.ranges["0"].clone()
    run(samples(scale=9.0))
    assert torch.equal(run.ranges["0"], before)
    run.at(0.5)
    run(samples(scale=9.0))
    assert not torch.equal(run.ranges["0"], before)


def test_statistics_of_norms_freeze_after_a_third() -> None:
    network = small()
    run = wrapped(network).train()
    run.at(0.3)
    run(samples())
    moved = network[1].running_mean.clone()
    assert moved.abs().max() > 0 and network[1].num_batches_tracked == 1
    run.at(0.4)
    run(samples(1))
    assert torch.equal(network[1].running_mean, moved) and network[0].training


def test_the_network_keeps_its_names_and_numbers() -> None:
    network = small().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    wrapped(network)(samples())
    after = network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_two_networks_share_ranges_and_one_of_them_watches() -> None:
    one, other = small(), small()
    ranges = fakequant.ranges(one)
    run, judged = FakeQuantized(one, ranges, True), FakeQuantized(other, ranges, False)
    torch.testing.assert_close(run(samples()), judged(samples()))
    before = ranges["0"].clone()
    judged(samples(scale=9.0))
    assert torch.equal(ranges["0"], before)


class Own(nn.Module):
    """Embedding, torch's own attention, a named input, one matrix for the first and the last layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.attention = nn.Embedding(20, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.last, self.too, self.conv = nn.Linear(8, 20, bias=False), nn.Linear(8, 20), nn.Conv1d(20, 3, 3)
        self.last.weight = self.too.weight = self.table.weight

    def forward(self, ids):
        x = self.table(ids)
        x = self.layer(x + self.attention(x, x, x)[0])
        return self.conv((self.last(input=x) + self.too(x)).transpose(1, 2)).mean(2)


@pytest.mark.parametrize("training", [True, False])
def test_networks_of_the_users_own_run_and_their_gradients_flow(training: bool) -> None:
    torch.manual_seed(0)
    network = Own().train(training)
    ids = torch.randint(0, 20, (4, 6))
    plain = network(ids) if not training else None
    run = wrapped(network).train(training)
    run(ids).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters() if p.ndim > 1)
    assert float(run.ranges["last"][2]) == float(run.ranges["layer.linear1"][2]) == 1
    if plain is not None:
        difference, plain = (run(ids) - plain).detach(), plain.detach()
        assert 0 < float(difference.norm() / plain.norm()) < 0.1


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(input=x)


def test_inputs_that_are_given_by_name_are_rounded_too() -> None:
    network, x = Named(), torch.randn(5, 6)
    run = wrapped(network)
    run(x)
    run.watch = False
    cut = torch.clamp(9 * x, float(x.min()), float(x.max()))
    torch.testing.assert_close(run(9 * x), network.layer(cut), rtol=0, atol=0.1)


def test_a_layer_that_was_never_watched_is_not_rounded() -> None:
    network = nn.Sequential(nn.Linear(6, 3))
    given, _ = seen(network[0], wrapped(network, watch=False), x := torch.randn(5, 6))
    assert torch.equal(given, x)


def test_a_network_without_such_layers_is_unsuited() -> None:
    with pytest.raises(Unsuited, match="no convolution and no linear layer"):
        fakequant.ranges(nn.Sequential(nn.Embedding(3, 3), nn.ReLU()))


NETS = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.two, self.norm2 = nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.three, self.norm3 = nn.Conv2d(16, 24, 1, 2, bias=False), nn.BatchNorm2d(24)
        self.head = nn.Linear(24, 3)
        for norm in (self.norm1, self.norm2, self.norm3):
            norm.weight.data = torch.logspace(-1, 1, len(norm.weight))[torch.randperm(len(norm.weight))]

    def forward(self, image):
        # the bends between the layers forbid to equalize what is a hundred times as large as its neighbours
        x = F.hardswish(self.norm1(self.one(image)))
        x = F.hardswish(self.norm3(self.three(F.hardswish(self.norm2(self.two(x))))))
        return self.head(x.mean((2, 3)))
"""


@pytest.mark.filterwarnings("ignore")  # torch.onnx's own
def test_a_student_that_int8_breaks_is_won_back_by_a_few_epochs_with_the_teacher(tmp_path: Path) -> None:
    splits = int8.data(tmp_path)
    objectives = (
        Objective(use=Choice(name="cross_entropy"), weight=0.1),
        Objective(use=Choice(name="kd", settings={"temperature": 2.0}), weight=0.9),
    )
    step = Train(
        networks=(int8.network(tmp_path, NETS),),
        objectives=objectives,
        splits=splits,
        soft_targets=learnable.soft_targets(tmp_path / "entries", splits, learnable.truth()),
        schedule=Schedule(epochs=12, batch=32, learning_rate=1e-2, ema_decay=0.9),
    )
    first = train.run(step, toy.entry(tmp_path, "first")).checkpoints[0]
    gently = Schedule(epochs=6, batch=32, learning_rate=1e-3, ema_decay=0.9)
    again = step.model_copy(update={"init": (first,), "schedule": gently, "fake_quant": True})
    second = train.run(again, toy.entry(tmp_path, "second")).checkpoints[0]
    before, after = (int8.outputs(tmp_path, int8.program(tmp_path, made)) for made in (first, second))
    assert first.validation_accuracy > 0.95 and int8.right(tmp_path, before) < 0.7
    assert int8.right(tmp_path, after) > 0.95
    # what training says of it is what the file then does
    assert second.validation_accuracy == pytest.approx(int8.right(tmp_path, after), abs=0.05)
