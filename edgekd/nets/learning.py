"""One network in training: its weights, their running average that is judged and shipped, and the learning rate."""

import copy
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import AdamW

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.heads import per_sample
from edgekd.nets import fakequant, inner, networks
from edgekd.nets.batches import Prepared, Rows, laid_out
from edgekd.nets.inner import Survey, Taps
from edgekd.nets.live import SAMPLES, Live
from edgekd.nets.terms import Sides, Terms, looks_inside, make
from edgekd.results import Signature
from edgekd.samples.views import Feed
from edgekd.spec import Objective, Schedule
from edgekd.statistics import Told, standard_error

State = dict[str, Any]


class Learner:
    """A network, an exponential moving average (EMA) of its weights and norm statistics, and its training inputs.

    The average starts fast and slows down to `decay`: a run of a few steps is not judged by its initial weights. With
    `fake_quant` both compute as an int8 file would, in training and when they are judged.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        signature: Signature,
        inputs: Prepared,
        decay: float,
        fake_quant: bool = False,
    ) -> None:
        self.signature, self.decay, self._inputs = signature, decay, inputs
        # channels last is a quarter faster for convolutions on CPUs, and nothing to networks without them
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(module).eval().requires_grad_(False)
        self.module = module.train()
        self._ranges = fakequant.ranges(module) if fake_quant else {}
        self._quantized = fakequant.FakeQuantized(module, self._ranges, watch=True) if fake_quant else None
        self._judged = fakequant.FakeQuantized(self.average, self._ranges, watch=False) if fake_quant else self.average
        self._running = fabric.setup_module(self._quantized or module)
        self._taps: Taps | None = None
        self.batch: dict[str, Tensor] = {}
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] = []
        both = list(zip(_tensors(self.average), _tensors(module), strict=True))
        for floating in (True, False):
            pairs = [pair for pair in both if pair[0].is_floating_point() is floating]
            self._pairs.append(([a for a, _ in pairs], [b.detach() for _, b in pairs]))

    def inputs(self, rows: Rows, views: Rows) -> dict[str, Tensor]:
        """Prepared inputs by name of one training batch."""
        return laid_out(self._inputs(rows, views))

    def __call__(self, rows: Rows, views: Rows) -> dict[str, Tensor]:
        """Outputs by name for one training batch, and the inner values that are watched; `batch` are its inputs."""
        self.batch = self.inputs(rows, views)
        outputs = networks.forward(self._running, self.batch, self.signature)
        return outputs | self._taps.take() if self._taps else outputs

    def survey(self, batch: dict[str, Tensor]) -> Survey:
        """The network's inner values for a few prepared samples."""
        if self._quantized is not None:
            self._quantized.watch = False  # no range of activations is of these samples; `at` goes on with it
        return inner.survey(self.module, lambda: networks.forward(self.module, batch, self.signature))

    def watch(self, survey: Survey, names: Sequence[str]) -> None:
        """Give these inner values of the network in training from now on."""
        self._taps = Taps(self.module, survey, names)

    def at(self, share: float) -> None:
        """Say that this share of the training is done: under fake quantization some of it freezes on the way."""
        if self._quantized is not None:
            self._quantized.at(share)

    def follow(self, step: int) -> None:
        """Move the average towards the weights after optimizer step `step` (from 0). Counters are copied."""
        (slow, fast), (counters, counts) = self._pairs
        torch._foreach_lerp_(slow, fast, 1 - min(self.decay, (1 + step) / (10 + step)))
        if counters:
            torch._foreach_copy_(counters, counts)

    def settle(self, batches: Iterable[tuple[Rows, Rows]]) -> None:
        """Set the averaged network's batch norm statistics to exact means over `batches` (sample numbers and views).

        Running statistics belong to the weights of many steps and lag behind, most in short runs. Source: Izmailov et
        al., "Averaging weights leads to wider optima", section 3.2, https://arxiv.org/abs/1803.05407.
        """
        norms = [m for m in self.average.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over all batches
            norm.train()
        with torch.no_grad():
            for rows, views in batches if norms else ():
                networks.forward(self._judged, self.inputs(rows, views), self.signature)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.average.eval()

    def predict(self, inputs: Prepared, rows: Rows, batch: int = 256) -> NDArray[np.float32]:
        """First output of the averaged network, (len(rows), classes) float32."""
        name, parts = self.signature.outputs[0].name, []
        with torch.inference_mode():
            for start in range(0, len(rows), batch):
                some = rows[start : start + batch]
                chunk = laid_out(inputs(some, np.zeros_like(some)))
                outputs = networks.forward(self._judged, chunk, self.signature)
                parts.append(outputs[name].float().numpy())
        return np.concatenate(parts)

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(self.module))

    def state(self) -> State:
        """Everything that training changes."""
        ranges = {"ranges": self._ranges} if self._ranges else {}
        return {"weights": self.module.state_dict(), "average": self.average.state_dict()} | ranges

    def restore(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.module.load_state_dict(state["weights"])
        self.average.load_state_dict(state["average"])
        for name, found in state.get("ranges", {}).items():
            self._ranges[name].copy_(found)


def watching(objectives: Sequence[Objective], logits: bool, learner: Learner, live: Live | None, rows: Rows) -> Terms:
    """The terms of one network's loss; it and its teacher give the inner values that these compare from now on."""
    if not looks_inside(objectives):
        return make(objectives, Sides(logits))
    some, plain = np.resize(rows, SAMPLES), np.zeros(SAMPLES, np.int64)
    mine = learner.survey(learner.inputs(some, plain))
    given = None if live is None else live.survey(some, plain)
    terms = make(objectives, Sides(logits, mine, given))
    learner.watch(mine, terms.student)
    if live is not None and given is not None:
        live.watch(given, terms.teacher)
    return terms


class Judge:
    """Quality of a network on the labelled samples of a part, by a metric plug-in."""

    def __init__(self, metric: str, feed: Feed, signature: Signature) -> None:
        self._metric, self._heads = plugins.find("metrics", metric), signature.heads
        self._all, self._labels = np.arange(feed.count), feed.labels
        self._truth: NDArray[Any] = feed.labels if feed.targets is None else feed.targets
        self._truth = self._truth if feed.heads is None else feed.heads
        self._groups = feed.groups
        if not (feed.labels >= 0).any():
            raise UsageError(Problem("data", "the validation part has no labelled samples", "Label some of them"))
        self._inputs = Prepared(feed, signature, self._all, views=1)

    def outputs(self, learner: Learner) -> NDArray[np.float32]:
        """What the averaged network says of every sample of the part, (N, classes)."""
        return learner.predict(self._inputs, self._all)

    def quality(self, outputs: NDArray[np.float32]) -> float:
        """The metric over the labelled samples."""
        told, labelled = self._told(outputs), self._labels >= 0
        if told is None:
            return float(per_sample(self._metric, outputs[labelled], self._truth[labelled], self._heads).mean())
        return float(told(np.ones((1, self._count), np.int64))[0])

    def spread(self, outputs: NDArray[np.float32]) -> float | None:
        """The metric's standard error, None where it is a mean over samples; that of a share needs no resampling."""
        told = self._told(outputs)
        groups = None if self._groups is None else self._groups[self._labels >= 0]
        return None if told is None else standard_error(told, self._count, groups=groups)

    @property
    def _count(self) -> int:
        return int((self._labels >= 0).sum())

    def _told(self, outputs: NDArray[np.float32]) -> Told | None:
        """The metric of resamples of the labelled samples, None where it is a mean over samples."""
        labelled = self._labels >= 0
        if hasattr(self._metric, "per_sample"):
            return None
        return partial(self._metric.resampled, outputs[labelled], self._truth[labelled])

    def __call__(self, learner: Learner) -> float:
        """The metric of the averaged network's outputs."""
        return self.quality(self.outputs(learner))


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def optimizer(modules: list[nn.Module], schedule: Schedule) -> AdamW:
    """AdamW over all networks; norms and biases are not decayed.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", https://arxiv.org/abs/1711.05101.
    """
    weights = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=schedule.learning_rate, fused=True)


def rate(schedule: Schedule, step: int, total: int) -> float:
    """Learning rate of optimizer step `step` (from 0) of `total`: a linear warm-up, then half a cosine down to zero."""
    warm = math.ceil(schedule.warmup_share * total)
    if step < warm:
        return schedule.learning_rate * (step + 1) / warm
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
