"""Equalization: channels that share one range in 8 bits are scaled to be as large as each other, function unchanged.

An activation has one range for all of its channels, so a channel a hundred times smaller than the largest has two
steps of the 256 left. Scaled up where it is made, and down where it is read, it has all of them. Sources: Nagel et al.,
"Data-free quantization through weight equalization and bias correction", https://arxiv.org/abs/1906.04721 (between
layers of weights); Xiao et al., "SmoothQuant", https://arxiv.org/abs/2211.10438 (by the ranges of activations, with an
exponent that shares the difficulty between activations and weights); Lin et al., "AWQ", https://arxiv.org/abs/2306.00978
(the exponent is searched for).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from edgekd.errors import Problem, Unsuited
from edgekd.nets import layers
from edgekd.nets.scaling import ANY, FIXED, Reader, Scalable, scalable

Array = NDArray[np.float64]

# How much of the difference between channels goes to the weights that read them; the best one is taken.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Channels smaller than this share of the largest are dead, and stay as they are.
DEAD = 1e-7
# The least part of the rounding error that has to go for layers to be scaled at all: a decibel.
WORTH = 0.2
ACTIVATION_STEPS, WEIGHT_STEPS = 255, 127


@dataclass(frozen=True)
class Seen:
    """What a reader was given and gave over the calibration samples, by channel.

    `high` and `low` are of its input (zero included), `power` its mean square; `spread` is the variance of its output.
    """

    high: Array
    low: Array
    power: Array
    spread: Array


@dataclass(frozen=True)
class _Reading:
    """A reader with its weights, as far as rounding errors depend on them: by output and input channel."""

    reader: Reader
    seen: Seen
    squares: Array
    largest: Array
    kernel: int


def equalize(program: ExportedProgram, batches: Iterable[Sequence[NDArray[Any]]]) -> tuple[ExportedProgram, int]:
    """Scale channels between a program's layers for 8 bits; also says how many layers now read other numbers.

    `batches` are calibration inputs in the program's order. The program given back is the same object with other
    weights. Raises Unsuited where no two layers allow it, and where the channels are about equal already.
    """
    given = list(batches)
    free = scalable(program, given[0])
    if not free.readers:
        message = "there are no two layers in a row without a bend between them (a sigmoid, a clamp, a GELU), so that"
        message += " nothing can be scaled in one and made up for in the other"
        raise Unsuited(Problem("equalization", message, "Leave the most sensitive layers in float, or train on"))
    readings = _readings(program, free, given)
    scales = np.ones(1 + max(int(reader.names.max()) for reader in free.readers))
    changed = [group for group in _groups(readings) if _choose(group, scales)]
    if not changed:
        message = "the channels of its layers are about as large as each other already"
        raise Unsuited(Problem("equalization", message, "Leave the most sensitive layers in float, or train on"))
    _apply(program, free, scales)
    return program, sum(map(len, changed))


# -- what layers see --


class _Watch(fx.Interpreter):
    """Runs a program, and sums up what its readers are given and give."""

    def __init__(self, program: ExportedProgram, readers: Sequence[Reader]) -> None:
        super().__init__(program.graph_module)
        self._axes = {reader.node: reader.axis for reader in readers}
        self._count: dict[fx.Node, int] = {}
        self._sums: dict[fx.Node, dict[str, Tensor]] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n not in self._axes:
            return super().run_node(n)
        source = n.args[0]
        assert isinstance(source, fx.Node)
        given = self._channels(n, self.env[source])
        value = super().run_node(n)
        self._add(n, given, self._channels(n, value))
        return value

    def _channels(self, n: fx.Node, value: Tensor) -> Tensor:
        rows = value.movedim(self._axes[n], -1)
        return rows.reshape(-1, rows.shape[-1]).double()

    def _add(self, n: fx.Node, given: Tensor, made: Tensor) -> None:
        now = {
            "high": given.amax(0).clamp(min=0),
            "low": given.amin(0).clamp(max=0),
            "power": given.square().mean(0) * len(made),
            "sum": made.sum(0),
            "squares": made.square().sum(0),
        }
        before = self._sums.get(n)
        how = {"high": torch.maximum, "low": torch.minimum}
        if before is not None:
            now = {key: how.get(key, torch.add)(before[key], value) for key, value in now.items()}
        self._sums[n] = now
        self._count[n] = self._count.get(n, 0) + len(made)

    def seen(self, node: fx.Node) -> Seen:
        """What one reader was given and gave."""
        sums = {key: value.numpy() for key, value in self._sums[node].items()}
        count = self._count[node]
        spread = sums["squares"] / count - (sums["sum"] / count) ** 2
        return Seen(sums["high"], sums["low"], sums["power"] / count, np.maximum(spread, 0))


def _readings(program: ExportedProgram, free: Scalable, batches: Sequence[Sequence[NDArray[Any]]]) -> list[_Reading]:
    watch = _Watch(program, free.readers)
    with torch.no_grad():
        for batch in batches:
            watch.run(*layers.arguments(program, batch))
    found = []
    for reader in free.readers:
        weight = program.state_dict[reader.key].detach().double().reshape(*reader.taken.shape, -1)
        squares, largest = weight.square().sum(-1).numpy(), weight.abs().amax(-1).numpy()
        found.append(_Reading(reader, watch.seen(reader.node), squares, largest, weight.shape[-1]))
    return found


def _groups(readings: Sequence[_Reading]) -> list[list[_Reading]]:
    """Readers that share a name, directly or through others: their scales are chosen together."""
    groups: list[tuple[set[int], list[_Reading]]] = []
    for reading in readings:
        names = set(reading.reader.names.tolist()) - {ANY, FIXED}
        joined = [group for group in groups if group[0] & names]
        groups = [group for group in groups if not group[0] & names]
        groups.append((names.union(*(n for n, _ in joined)), [*(r for _, rs in joined for r in rs), reading]))
    return [group for _, group in groups]


# -- choosing and using scales --


def _choose(group: Sequence[_Reading], scales: Array) -> bool:
    """Set the scales of a group to those with the smallest rounding error, if that is worth while."""
    width, need, shared = np.zeros_like(scales), np.zeros_like(scales), np.zeros(len(scales), np.bool_)
    for reading in group:
        names, seen = reading.reader.names, reading.seen
        extent = float(seen.high.max() - seen.low.min())
        np.maximum.at(width, names, (seen.high - seen.low) / (extent or 1.0))
        if reading.reader.taken.shape[1] > 1:  # where an output has one input, that one's weights have their own range
            shared[names] = True
            rows = reading.largest.max(1, keepdims=True)
            shares = reading.largest / np.where(rows > 0, rows, 1)
            np.maximum.at(need, names[reading.reader.taken], shares)
    need[~shared] = 1
    live = (width > DEAD) & (need > DEAD)
    width[~live] = need[~live] = 1
    beside = bool(live[FIXED])
    live[[ANY, FIXED]] = False
    before = sum(_error(reading, scales) for reading in group)
    best, chosen = before * (1 - WORTH), None
    for share in SHARES:
        logs = share * np.log(width) - (1 - share) * np.log(need)
        # the scales' geometric mean is one, but beside channels that stay these set the measure
        level = logs[FIXED] if beside else logs[live].mean() if live.any() else 0.0
        tried = np.where(live, np.exp(logs - level), scales)
        error = sum(_error(reading, tried) for reading in group)
        if error < best:
            best, chosen = error, tried
    if chosen is None:
        return False
    scales[:] = chosen
    return True


def _error(reading: _Reading, scales: Array) -> float:
    """The share of a layer's output that is rounding error in 8 bits, as a mean over its channels that say anything.

    Rounding to steps of d adds a variance of d^2 / 12: one step for the whole input, one for each output's weights.
    """
    reader, seen = reading.reader, reading.seen
    by_input = scales[reader.names]
    step = ((seen.high / by_input).max() - (seen.low / by_input).min()) / ACTIVATION_STEPS
    by_weight = by_input[reader.taken]
    steps = (reading.largest * by_weight).max(1) / WEIGHT_STEPS
    activations = step**2 * (reading.squares * by_weight**2).sum(1)
    weights = steps**2 * reading.kernel * (seen.power[reader.taken] / by_weight**2).sum(1)
    noise = (activations + weights) / 12
    alive = seen.spread > DEAD**2 * seen.spread.max()
    return float(np.mean(noise[alive] / (noise[alive] + seen.spread[alive]))) if alive.any() else 0.0


def _apply(program: ExportedProgram, free: Scalable, scales: Array) -> None:
    """Divide the weights that write each channel by its scale, and multiply those that read it."""
    for writer in free.writers:
        for key in writer.keys:
            _multiply(program, key, 1 / scales[writer.names])
    for reader in free.readers:
        _multiply(program, reader.key, scales[reader.names][reader.taken])


def _multiply(program: ExportedProgram, key: str, factors: Array) -> None:
    """Multiply a weight by factors for its first dimensions. A new tensor: others may share the memory of this one."""
    weight: Tensor = program.state_dict[key]
    shaped = torch.from_numpy(factors).reshape([*factors.shape, *[1] * (weight.ndim - factors.ndim)])
    made = (weight.detach().double() * shaped).to(weight.dtype)
    program.state_dict[key] = nn.Parameter(made, weight.requires_grad) if isinstance(weight, nn.Parameter) else made
