"""The averaged network, the learning rate and the optimizer's groups."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric import Fabric
from torch import nn

from edgekd.nets.learning import Learner, optimizer, rate
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Schedule

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", shape=(-1, 2, 4, 4)),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),)
)
SAMPLES = torch.randn(64, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1


def inputs(rows: np.ndarray, views: np.ndarray) -> dict[str, torch.Tensor]:
    return {"x": SAMPLES[torch.from_numpy(rows)]}


def learner(decay: float = 0.9) -> Learner:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    return Learner(Fabric(accelerator="cpu", devices=1), module, SIGNATURE, inputs, decay)  # type: ignore[arg-type]


def shift(network: nn.Module, by: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += by


def test_average_is_the_recurrence_with_a_fast_start() -> None:
    one = learner(decay=0.9)
    expected = one.average[0].bias.clone()
    for step in range(100):
        shift(one.module, 0.1)
        one.follow(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * one.module[0].bias.detach()
    torch.testing.assert_close(one.average[0].bias, expected)
    # far along it trails by decay / (1 - decay) steps
    torch.testing.assert_close(
        one.module[0].bias.detach() - one.average[0].bias, torch.full((4,), 0.9), rtol=0.02, atol=0
    )


def test_average_follows_statistics_and_copies_counters() -> None:
    one = learner()
    rows = np.arange(64)
    for step in range(30):
        one(rows, rows)
        one.follow(step)
    assert one.average[1].num_batches_tracked == 30
    torch.testing.assert_close(one.average[1].running_mean, one.module[1].running_mean, rtol=0.1, atol=0.01)


def test_settled_statistics_are_those_of_the_averaged_weights() -> None:
    one = learner()
    shift(one.average, 0.3)
    one.settle([(np.arange(32), np.zeros(32)), (np.arange(32, 64), np.zeros(32))])
    with torch.no_grad():
        made = one.average[0](SAMPLES)
    halves = torch.stack([made[:32].var((0, 2, 3)), made[32:].var((0, 2, 3))])
    torch.testing.assert_close(one.average[1].running_mean, made.mean((0, 2, 3)))
    torch.testing.assert_close(one.average[1].running_var, halves.mean(0))
    assert one.average[1].momentum == 0.1 and not any(module.training for module in one.average.modules())


def test_predictions_are_those_of_the_average_in_any_chunks() -> None:
    one = learner()
    shift(one.module, 1.0)
    rows = np.arange(40)
    whole, parts = one.predict(inputs, rows), one.predict(inputs, rows, batch=7)  # type: ignore[arg-type]
    with torch.no_grad():
        expected = one.average(SAMPLES[:40]).numpy()
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts, expected, rtol=1e-4, atol=1e-5)


def test_finite_sees_a_nan() -> None:
    one = learner()
    assert one.finite()
    with torch.no_grad():
        one.module[3].weight[0, 0] = math.nan
    assert not one.finite()


@given(total=st.integers(2, 500), share=st.floats(0, 0.5), peak=st.floats(1e-5, 1.0))
def test_rate_rises_then_falls_and_never_passes_its_peak(total: int, share: float, peak: float) -> None:
    schedule = Schedule(epochs=1, learning_rate=peak, warmup_share=share)
    rates = [rate(schedule, step, total) for step in range(total)]
    top = int(np.argmax(rates))
    assert max(rates) == pytest.approx(peak) and min(rates) >= 0
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= math.ceil(share * total)


def test_rate_by_hand() -> None:
    schedule = Schedule(epochs=1, learning_rate=1.0, warmup_share=0.2)
    assert [round(rate(schedule, step, 10), 3) for step in (0, 1, 2, 6, 9)] == [0.5, 1.0, 1.0, 0.5, 0.038]


def test_norms_and_biases_are_not_decayed() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Embedding(5, 2), nn.Linear(2, 3))
    module[3].weight.requires_grad_(False)
    decayed, free = optimizer([module], Schedule(epochs=1, weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3 and free["weight_decay"] == 0.0
    assert [p.ndim for p in decayed["params"]] == [4, 2] and [p.ndim for p in free["params"]] == [1, 1, 1, 1]
