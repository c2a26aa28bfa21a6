"""The ranges of a Core ML program's activations over samples, and which operators can compute with 8 bits of them.

Core ML's own calibration runs the program in Core ML, on macOS. Here it is evaluated, so that it can be done anywhere.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.mil.evaluator import Evaluator
from edgekd.mil.reading import Operation, Program, Slot, read
from edgekd.spec import Ranges

Samples = Mapping[str, NDArray[Any]]
Range = tuple[float, float]

# What coremltools computes in 8 bits, and what it takes along behind that.
QUANTIZED = ("conv", "linear", "add", "avg_pool", "max_pool")
ACTIVATIONS = ("leaky_relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "relu", "relu6")
# Where there is attention, 8 bits of sums and scores lose far more accuracy than they gain speed.
ATTENTION = ("softmax", "layer_norm", "scaled_dot_product_attention")
LINEAR = ("conv", "linear")

# Scales are float16: those of smaller or larger ranges cannot be told from zero or infinity.
SMALLEST, LARGEST = 1e-4, 3e4
# Numbers of watched values at once, and most samples.
NUMBERS, SAMPLES = 2**24, 64
# "percentile" cuts this share of an activation's values off at either end, as found with so many steps of its range.
CUT, STEPS = 5e-5, 4096


@dataclass(frozen=True)
class Calibrated:
    """Ranges by value, kinds of operators to quantize, names of those that must stay float, and how many need not."""

    ranges: Mapping[str, Range]
    kinds: tuple[str, ...]
    left_out: tuple[str, ...]
    count: int


def calibrated(package: Path, samples: Samples, how: Ranges, in_float: Collection[str] = ()) -> Calibrated:
    """Find the ranges of what can be quantized in a float16 package, over all samples.

    Left out are operators that are named `in_float`, those on whole numbers, on constants alone, and those whose ranges
    float16 cannot scale: among them sums with masks of infinities. Raises NotVerified where the package cannot be
    evaluated.
    """
    program = read(package)
    kinds = LINEAR if any(one.kind in ATTENTION for one in program.operations) else QUANTIZED
    wanted = _wanted(program, kinds)
    made = Evaluator(program, {slot.name for slots in wanted.values() for slot in slots})
    found = _ranges(made, samples, how)
    good = {name: _usable(*limits) for name, limits in _joined(program, found).items() if _good(*limits)}
    chosen = [one.name for one in program.operations if one.kind in kinds]
    able = [name for name in chosen if name in wanted and all(slot.name in good for slot in wanted[name])]
    kept = [name for name in able if name not in in_float]
    return Calibrated(good, kinds, tuple(name for name in chosen if name not in kept), len(kept))


def _wanted(program: Program, kinds: tuple[str, ...]) -> dict[str, list[Slot]]:
    """What each operator of these kinds takes and gives, and what an activation gives for it; by operator."""
    values = {slot.number: slot for one in program.operations for slot in one.outputs}
    values |= {slot.number: slot for slot in program.inputs}
    after: dict[int, list[Slot]] = {}
    for one in program.operations:
        if one.kind in ACTIVATIONS and isinstance(one.inputs["x"], int):
            after.setdefault(one.inputs["x"], []).extend(one.outputs)
    found = {}
    for one in program.operations:
        taken = [one.inputs[name] for name in ("x", "y") if name in one.inputs] if one.kind in kinds else []
        slots = [values[number] for number in taken if isinstance(number, int) and number in values]
        slots += [slot for given in one.outputs for slot in (given, *after.get(given.number, ()))]
        if taken and len(slots) > len(one.outputs) and all(slot.kind == "fp16" for slot in slots):
            found[one.name] = slots
    return found


def _ranges(made: Evaluator, samples: Samples, how: Ranges) -> dict[str, Range]:
    """The range of each watched value over all samples."""
    limits: dict[str, tuple[Tensor, Tensor]] = {}
    for found in _pieces(made, samples):
        for name, values in found.items():
            low, high = values.amin(), values.amax()
            old = limits.get(name, (low, high))
            limits[name] = torch.minimum(low, old[0]), torch.maximum(high, old[1])
    whole = {name: (float(low), float(high)) for name, (low, high) in limits.items()}
    return _cut(made, samples, whole) if how == "percentile" else whole


def _cut(made: Evaluator, samples: Samples, limits: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges without the few values at either end."""
    steps = {name: torch.zeros(STEPS) for name, (low, high) in limits.items() if math.isfinite(high - low)}
    for found in _pieces(made, samples):
        for name in steps:
            steps[name] += torch.histc(found[name].float(), STEPS, *limits[name])
    kept = dict(limits)
    for name, counts in steps.items():
        low, high = limits[name]
        share = counts.double().cumsum(0) / counts.double().sum()
        first, last = int((share <= CUT).sum()), int((share < 1 - CUT).sum())
        kept[name] = low + (high - low) * first / STEPS, low + (high - low) * (last + 1) / STEPS
    return kept


def _pieces(made: Evaluator, samples: Samples) -> Iterator[dict[str, Tensor]]:
    """Watched values of so many samples at once as fit into memory."""
    count = len(next(iter(samples.values())))
    size = max(1, min(SAMPLES, NUMBERS // max(1, sum(math.prod(slot.shape) for slot in made.shown))))
    for start in range(0, count, size):
        yield made.inner({name: values[start : start + size] for name, values in samples.items()})


def _joined(program: Program, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """What is concatenated has one range, and so has the whole: then nothing need be scaled anew."""
    joined = dict(ranges)
    groups = [_names(program, one) & set(joined) for one in program.operations if one.kind == "concat"]
    # a value may be in several groups, each of which may widen the others
    for group in groups * len(groups):
        limits = [joined[name] for name in group]
        if limits:
            joined |= dict.fromkeys(group, (min(low for low, _ in limits), max(high for _, high in limits)))
    return joined


def _names(program: Program, operation: Operation) -> set[str]:
    """Names of all that an operator takes and gives."""
    values = {slot.number: slot.name for one in program.operations for slot in one.outputs}
    taken = operation.inputs["values"]
    numbers = taken if isinstance(taken, tuple) else (taken,)
    return {values[number] for number in numbers if number in values} | {slot.name for slot in operation.outputs}


def _good(low: float, high: float) -> bool:
    """Whether a range has a scale in float16; one of nothing but zeros has any."""
    largest = max(abs(low), abs(high))
    return largest == 0 or SMALLEST <= largest <= LARGEST


def _usable(low: float, high: float) -> Range:
    """Never empty: a scale of zero divides by it."""
    return (low, high) if low or high else (-1.0, 1.0)
