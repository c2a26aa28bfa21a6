"""A teacher that runs beside the student in training: on the same views, in eval mode, without gradients."""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import inner, networks
from edgekd.nets.batches import Rows, laid_out
from edgekd.nets.inference import Logits
from edgekd.nets.inner import Survey, Taps
from edgekd.plugins import Oracle
from edgekd.results import Signature

# Prepared inputs by name of samples and their views.
Inputs = Callable[[Rows, Rows], Mapping[str, Tensor]]
# A number that no data and no network has by accident, so that the dimension of samples is known by its size.
SAMPLES = 3


class Live:
    """The network of a teacher, and the inputs that it sees; `seconds` is what its runs have taken so far.

    Raises UsageError for a teacher without a torch network whose inside can be seen.
    """

    def __init__(self, oracle: Oracle, signature: Signature, inputs: Inputs) -> None:
        self.module, self.signature, self.seconds, self._inputs = _seen_into(oracle), signature, 0.0, inputs
        self.module.eval().requires_grad_(False)
        # names are those of the user's own network, not of what is around it
        self.network = self.module.network if isinstance(self.module, Logits) else self.module
        self._taps: Taps | None = None
        self._layout = torch.contiguous_format

    def survey(self, rows: Rows, views: Rows) -> Survey:
        """Its inner values for a few samples."""
        batch = self._inputs(rows, views)
        try:
            return self._surveyed(batch, torch.channels_last)
        except RuntimeError:  # a network that calls view() on its activations wants its channels first
            return self._surveyed(batch, torch.contiguous_format)

    def _surveyed(self, batch: Mapping[str, Tensor], layout: torch.memory_format) -> Survey:
        self._layout = layout
        self.module.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it
        return inner.survey(self.network, lambda: self._forward(batch))

    def _forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return networks.forward(self.module, laid_out(batch, self._layout), self.signature)

    def watch(self, survey: Survey, names: Sequence[str]) -> None:
        """Give these inner values from now on."""
        self._taps = Taps(self.network, survey, names)

    def __call__(self, rows: Rows, views: Rows) -> dict[str, Tensor]:
        """Logits and inner values by name for one training batch."""
        started = time.monotonic()
        with torch.no_grad():
            outputs = self._forward(self._inputs(rows, views))
        self.seconds += time.monotonic() - started
        return outputs | (self._taps.take() if self._taps else {})


def _seen_into(oracle: Oracle) -> nn.Module:
    why = oracle.why_no_module
    if isinstance(oracle.module, Logits) and oracle.module.frozen:
        why = "it is an exported program, whose inner values have no names"
    if oracle.module is None or why:
        hint = "Give the teacher as a torch network (make = module:function), or take objectives that need soft targets"
        raise UsageError(Problem("teacher", f"its inner values cannot be seen: {why}", hint))
    return oracle.module
