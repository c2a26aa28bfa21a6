"""Scales for 8 bits: what is gained is what the rounding errors say, and what has nothing to gain stays."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from edgekd.errors import Unsuited
from edgekd.nets.equalize import _error, _readings, equalize
from edgekd.nets.scaling import scalable


class Pair(nn.Module):
    """Two layers; channel i of what lies between them is FACTORS[i] times as large as it would be."""

    FACTORS = torch.tensor([0.0, 1e-3, 0.02, 0.1, 1.0, 3.0, 40.0, 200.0])

    def __init__(self, depthwise: bool = False, factors: torch.Tensor = FACTORS) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.last = nn.Conv2d(8, 16 if depthwise else 4, 3, groups=8 if depthwise else 1)
        self.first.weight.data *= factors[:, None, None, None]
        self.first.bias.data *= factors
        inverse = torch.where(factors > 0, 1 / factors, 1)
        self.last.weight.data *= (
            inverse.repeat_interleave(2)[:, None, None, None] if depthwise else inverse[:, None, None]
        )

    def forward(self, x):
        return self.last(F.leaky_relu(self.first(x)))


def program(network: nn.Module, *inputs: torch.Tensor) -> ExportedProgram:
    shapes = tuple({0: Dim("batch", min=1)} for _ in inputs)
    return torch.export.export(network.eval(), inputs, dynamic_shapes=shapes)


def images(seed: int = 0, count: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)


def pair(**how: object) -> ExportedProgram:
    torch.manual_seed(0)
    return program(Pair(**how), torch.zeros(3, 3, 8, 8))


def factors(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], key: str) -> np.ndarray:
    """By how much each output channel of a weight was changed; 1 where there is nothing to change."""
    one, other = (state[key].detach().flatten(1).norm(dim=1).double().numpy() for state in (before, after))
    return np.divide(other, one, out=np.ones_like(one), where=one > 0)


def rounded(values: torch.Tensor, low: float, step: float) -> torch.Tensor:
    return ((values - low) / step).round() * step + low


def in_8_bits(made: ExportedProgram, x: torch.Tensor) -> torch.Tensor:
    """What the last layer gives for its inputs in 256 steps and weights in 255, one range an output channel."""
    state = made.state_dict
    inner = F.leaky_relu(F.conv2d(x, state["first.weight"], state["first.bias"])).detach()
    low, high = min(float(inner.min()), 0.0), max(float(inner.max()), 0.0)
    weight = state["last.weight"]
    steps = weight.abs().amax((1, 2, 3), keepdim=True) / 127
    groups = inner.shape[1] // weight.shape[1]
    inner = rounded(inner, low, (high - low) / 255)
    return F.conv2d(inner, (weight / steps).round() * steps, state["last.bias"], groups=groups).detach()


def lost(made: ExportedProgram, x: torch.Tensor) -> float:
    """The share of the outputs that is rounding error, as a mean over channels that are not constant."""
    exact = made.module()(x).detach()
    error, spread = (in_8_bits(made, x) - exact).square().mean((0, 2, 3)), exact.var((0, 2, 3))
    return float((error / (error + spread))[spread > 1e-9].mean())


@pytest.mark.parametrize("depthwise", [False, True])
def test_unequal_channels_are_made_equal_and_the_function_stays(depthwise: bool) -> None:
    made, x = pair(depthwise=depthwise), torch.tensor(images())
    before, exact, loss = dict(made.state_dict), made.module()(x).detach(), lost(made, x)
    equal, layers = equalize(made, [[images(1)], [images(2)]])
    torch.testing.assert_close(equal.module()(x).detach(), exact, rtol=1e-4, atol=1e-4)
    assert layers == 1 and loss > 0.3 and lost(equal, x) < 1e-3
    written = factors(before, equal.state_dict, "first.weight")
    # the dead channel stays, and the others' scales are one in the middle
    assert written[0] == 1 and np.log(written[1:]).mean() == pytest.approx(0, abs=1e-6)
    inner = F.conv2d(x, equal.state_dict["first.weight"], equal.state_dict["first.bias"]).detach()[:, 1:]
    widths = inner.amax((0, 2, 3)) - inner.amin((0, 2, 3))
    assert widths.max() / widths.min() < 10


@pytest.mark.parametrize(
    "depthwise, factors",
    [(False, torch.linspace(1, 6, 8)), (True, torch.linspace(1, 6, 8)), (False, torch.tensor([0.05, *[1.0] * 7]))],
)
def test_the_expected_error_is_the_one_that_comes_out(depthwise: bool, factors: torch.Tensor) -> None:
    """Within a third, for channels of some difference: beyond that an error is no longer spread evenly.

    Large channels make errors of activations, small ones, whose weights are large, make errors of weights.
    """
    made = pair(depthwise=depthwise, factors=factors)
    x = images(3, 64)
    (reading,) = _readings(made, scalable(made, [x]), [[x[:32]], [x[32:]]])
    assert _error(reading, np.ones(100)) == pytest.approx(lost(made, torch.tensor(x)), rel=0.3)


class Half(Pair):
    """Half of what the last layer reads has to stay."""

    def forward(self, x):
        x = self.first(x)
        return self.last(torch.cat([x[:, :4].sigmoid(), x[:, 4:]], 1))


def test_channels_that_cannot_be_scaled_stay_beside_others() -> None:
    torch.manual_seed(0)
    made, x = program(Half(factors=torch.logspace(-2, 2, 8)), torch.zeros(3, 3, 8, 8)), torch.tensor(images())
    before, exact = dict(made.state_dict), made.module()(x).detach()
    equal, _ = equalize(made, [[images()]])
    torch.testing.assert_close(equal.module()(x).detach(), exact, rtol=1e-4, atol=1e-4)
    written = factors(before, equal.state_dict, "first.weight")
    assert (written[:4] == 1).all() and len(set(written[4:])) == 4


def test_equal_channels_stay() -> None:
    made = pair(factors=torch.ones(8))
    with pytest.raises(Unsuited, match="about as large as each other already"):
        equalize(equalize(pair(), [[images()]])[0], [[images()]])
    before = {key: value.clone() for key, value in made.state_dict.items()}
    with pytest.raises(Unsuited):
        equalize(made, [[images()]])
    assert all(torch.equal(before[key], value) for key, value in made.state_dict.items())


def test_a_network_of_bends_is_unsuited() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 4, 3))
    with pytest.raises(Unsuited, match="no two layers in a row without a bend between them") as caught:
        equalize(program(network, torch.zeros(3, 3, 8, 8)), [[images()]])
    assert caught.value.problems[0].hint


def test_norms_of_tokens_hand_their_outliers_to_the_layer_behind() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 32), nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 3))
    network[1].weight.data[5] = 60
    x = torch.randn(40, 6)
    made = program(network, x)
    before, exact = dict(made.state_dict), made.module()(x).detach()
    equal, layers = equalize(made, [[x.numpy()]])
    assert layers == 1
    torch.testing.assert_close(equal.module()(x).detach(), exact, rtol=1e-4, atol=1e-4)
    changed = (equal.state_dict["1.weight"] / before["1.weight"]).detach()
    assert changed[5] < 0.5 * changed[torch.arange(32) != 5].min()
    torch.testing.assert_close(equal.state_dict["1.bias"].detach(), before["1.bias"].detach() * changed)


def test_shared_memory_is_left_alone() -> None:
    made = pair()
    own = made.state_dict["first.weight"]
    before = own.detach().clone()
    equalize(made, [[images()]])
    assert torch.equal(own, before) and isinstance(made.state_dict["first.weight"], nn.Parameter)
