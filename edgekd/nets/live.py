"""A teacher that runs beside the student in training: on the same views, in eval mode, without gradients.

What it says of a view depends on nothing else. Where every view is met more than once, and all that is looked at fits
in memory, it is asked before the training, once, and its answers are kept as float16, as soft targets are.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import inner, networks
from edgekd.nets.batches import Prepared, Rows, laid_out
from edgekd.nets.inference import Logits
from edgekd.nets.inner import LOGITS, Survey, Taps
from edgekd.plugins import Oracle
from edgekd.results import Signature, Splits
from edgekd.spec import Teacher
from edgekd.workspace import Workspace

# Prepared inputs by name of samples and their views.
Inputs = Callable[[Rows, Rows], Mapping[str, Tensor]]
# A number that no data and no network has by accident, so that the dimension of samples is known by its size.
SAMPLES = 3
# Kept answers may take so many bytes; two trainings may run side by side.
ROOM = 1024**3
CHUNK = 128
TELL_SECONDS = 0.4
LARGEST = torch.finfo(torch.float16).max


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
        self._kept: dict[str, Tensor] = {}
        self._last: set[str] = set()
        self._length, self._position, self._numbers = 0, np.empty(0, np.int64), 0

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
        self._numbers = sum(math.prod(survey.shapes[name][1:]) for name in {LOGITS, *names})

    def worth_keeping(self, answers: int, drawn: int) -> bool:
        """Whether a training that draws so many samples, out of so many views of samples, better asks before it."""
        return answers < drawn and answers * self._numbers * torch.float16.itemsize <= ROOM

    def keep(self, rows: Rows, views: int, tell: Callable[[float], None]) -> None:
        """Ask now about all views of these samples, so that the network is not needed afterwards.

        The pieces are always the same ones, and so are the answers, bit for bit. `tell` is told the share that is done.
        """
        told = time.monotonic()
        self._length, self._position = len(rows), np.zeros(int(rows.max()) + 1, np.int64)
        self._position[rows] = np.arange(len(rows))
        kept: dict[str, Tensor] = {}
        for view in range(views):
            for start in range(0, len(rows), CHUNK):
                some = rows[start : start + CHUNK]
                at = view * len(rows) + start
                for name, value in self(some, np.full_like(some, view)).items():
                    if name not in kept and _channels_last(value):
                        self._last.add(name)
                    plain = value.permute(0, 2, 3, 1) if name in self._last else value
                    if name not in kept:
                        kept[name] = torch.empty((views * len(rows), *plain.shape[1:]), dtype=torch.float16)
                    kept[name][at : at + len(some)] = plain.clamp(-LARGEST, LARGEST)
                if (now := time.monotonic()) - told > TELL_SECONDS:
                    tell((at + len(some)) / (views * len(rows)))
                    told = now
        self._kept = kept

    def __call__(self, rows: Rows, views: Rows) -> dict[str, Tensor]:
        """Logits and inner values by name for one training batch."""
        if self._kept:
            at = torch.from_numpy(views * self._length + self._position[rows])
            # several times as fast as values[at]
            found = {name: values.index_select(0, at) for name, values in self._kept.items()}
            return found | {name: found[name].permute(0, 3, 1, 2) for name in self._last}
        started = time.monotonic()
        with torch.no_grad():
            outputs = self._forward(self._inputs(rows, views))
        self.seconds += time.monotonic() - started
        return {LOGITS: outputs[LOGITS]} | (self._taps.take() if self._taps else {})


def _channels_last(value: Tensor) -> bool:
    """Whether a value lies in memory as the maps of the student do: comparing two layouts takes three times as long."""
    both = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
    return both and not value.is_contiguous()


def beside(teacher: Teacher, splits: Splits, out: Workspace, prepared: Callable[[Signature], Prepared]) -> Live:
    """Load a teacher that is to run beside its student on the training samples."""
    signature = networks.signature(splits, teacher.image, out)
    kind, settings = networks.configured("teachers", teacher.source, "teacher")
    oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
    return Live(oracle, signature, prepared(signature))


def _seen_into(oracle: Oracle) -> nn.Module:
    why = oracle.why_no_module
    if isinstance(oracle.module, Logits) and oracle.module.frozen:
        why = "it is an exported program, whose inner values have no names"
    if oracle.module is None or why:
        hint = "Give the teacher as a torch network (make = module:function), or take objectives that need soft targets"
        raise UsageError(Problem("teacher", f"its inner values cannot be seen: {why}", hint))
    return oracle.module
