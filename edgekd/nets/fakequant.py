"""Fake quantization: a network computes in float what its int8 file will compute, so that training can make up for it.

Weights of convolutions and linear layers are rounded to 255 steps for each output channel, what enters these layers to
256 steps of one range; gradients go through the rounding as if it were not there. Sources: Jacob et al., "Quantization
and training of neural networks for efficient integer-arithmetic-only inference", https://arxiv.org/abs/1712.05877
(ranges of activations as moving averages of each batch's extremes); Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference: a whitepaper", https://arxiv.org/abs/1806.08342 (one range for each output channel,
statistics of batch norm frozen part of the way). A batch norm need not be folded into the weights before they are
rounded: folding multiplies an output channel by one number, and that one's own range follows.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from edgekd.errors import Problem, Unsuited

# Shares of the training after which batch norm's statistics, and then the ranges of activations, stay as they are.
NORMS_FROZEN, RANGES_FROZEN = 1 / 3, 0.9
# Share of the newest batch in a range; the first ones count alike.
NEWEST = 0.05
STEPS, WEIGHT_STEPS = 255, 127
SMALLEST = 1e-12

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

Ranges = dict[str, Tensor]


def ranges(network: nn.Module) -> Ranges:
    """For each layer that computes in 8 bits, by name: lowest, highest and number of batches seen, none so far.

    Raises Unsuited for a network that has no such layer.
    """
    found = {name: torch.zeros(3) for name, module in network.named_modules() if isinstance(module, LAYERS)}
    if not found:
        message = "the network has no convolution and no linear layer, so that there is nothing to train for 8 bits"
        raise Unsuited(Problem("fake quantization", message, "Ship it in float32"))
    return found


class FakeQuantized(nn.Module):
    """A network in fake quantization. Its own weights, their names and its other state stay as they are.

    With `watch` each forward pass moves `ranges`, which networks may share; a layer without a range is not rounded.
    """

    def __init__(self, network: nn.Module, ranges: Ranges, watch: bool) -> None:
        super().__init__()
        self.network, self.ranges, self.watch = network, ranges, watch
        for name, module in network.named_modules():
            if name in ranges:
                module.register_forward_pre_hook(partial(self._rounded, name), with_kwargs=True)

    def forward(self, *inputs: Tensor) -> Any:
        return functional_call(self.network, dict(_weights(self.network)), inputs, tie_weights=False)

    def at(self, share: float) -> None:
        """Freeze what is to be frozen after this share of the training."""
        self.watch = share < RANGES_FROZEN
        for module in self.network.modules():
            if isinstance(module, _BatchNorm):
                module.train(share < NORMS_FROZEN)

    def _rounded(
        self, name: str, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A layer's input, rounded to the steps of its range."""
        given = inputs[0] if inputs else named["input"]
        if self.watch:
            _watch(self.ranges[name], given.detach())
        rounded = _activation(given, self.ranges[name])
        return ((rounded, *inputs[1:]), dict(named)) if inputs else ((), {**named, "input": rounded})


def _weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Rounded weights by name."""
    for path, module in network.named_modules():
        attention = isinstance(module, nn.MultiheadAttention)
        wanted = PROJECTIONS if attention else ("weight",) if isinstance(module, LAYERS) else ()
        for name, weight in module.named_parameters(recurse=False):
            if name in wanted:
                yield f"{path}.{name}".lstrip("."), _weight(weight)


def _weight(weight: Tensor) -> Tensor:
    """A weight in 255 steps around zero for each output channel, which comes first."""
    scales = weight.detach().abs().flatten(1).amax(1).clamp(min=SMALLEST) / WEIGHT_STEPS
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -WEIGHT_STEPS, WEIGHT_STEPS)


def _activation(given: Tensor, range: Tensor) -> Tensor:
    """An activation in 256 steps of its range, one of which is zero."""
    low, high, count = range
    if not count or given.dtype != torch.float32:
        return given
    scale = ((high - low) / STEPS).clamp(min=SMALLEST)
    zero = (-low / scale).round().clamp(0, STEPS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(given, scale, zero, 0, STEPS)


def _watch(range: Tensor, given: Tensor) -> None:
    """Move a range towards a batch's extremes, zero among them; the first batches count alike."""
    range[2] += 1
    seen = torch.stack([given.amin().clamp(max=0), given.amax().clamp(min=0)]).to(range.dtype)
    range[:2].lerp_(seen, max(NEWEST, 1 / float(range[2])))
