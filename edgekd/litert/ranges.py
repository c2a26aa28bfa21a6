"""Ranges of a float32 file's activations, found by running it over calibration samples."""

from collections.abc import Collection, Mapping
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgekd.litert import content as files
from edgekd.results import Signature
from edgekd.spec import Ranges

Array = NDArray[Any]
# Share of a tensor's values that is left out at either end of its range. None is for the smallest and largest value.
CLIPPED: dict[Ranges, float] = {"min-max": 0.0, "percentile": 1e-4}
# Values of padding with minus infinity and the like say nothing of a range.
FINITE = 3e38


class _Smallest:
    """The smallest of all values that were added, so many as are to be kept; the rest are forgotten."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.values: Array = np.empty(0, np.float32)

    def add(self, values: Array) -> None:
        """Take more values."""
        if len(self.values) == self._count:  # most of what follows is larger than all that is kept
            values = values[values < self.values.max()]
        values = np.concatenate((self.values, values))
        full = len(values) > self._count
        self.values = np.partition(values, self._count - 1)[: self._count] if full else values


class Extremes:
    """The range of a tensor over all samples, without a share of its values at either end.

    That is exact: of n values the floor(n * share) smallest are left out, and as many of the largest.
    """

    def __init__(self, count: int, share: float) -> None:
        kept = int(count * share) + 1
        self._low, self._high = _Smallest(kept), _Smallest(kept)

    def add(self, values: Array) -> None:
        """Take the values of one more sample."""
        if not np.abs(values).max() < FINITE:
            values = values[np.abs(values) < FINITE]
        self._low.add(values)
        self._high.add(-values)

    def range(self, axes: int) -> dict[str, Array]:
        """As the quantizer wants it for a tensor with so many axes."""
        ends = [self._low.values.max(), -self._high.values.max()] if len(self._low.values) else [0, 0]
        return {name: np.full((1,) * axes, end, np.float32) for name, end in zip(("min", "max"), ends, strict=True)}


def _cast(content: Any, inputs: Collection[int]) -> list[int]:
    """What inputs are once they are cast."""
    pairs = zip(content.subgraphs[0].operators, files.kinds(content), strict=True)
    return [int(one.outputs[0]) for one, kind in pairs if kind == files.Kind.CAST and int(one.inputs[0]) in inputs]


def _of_pixels() -> Extremes:
    """Every level that a pixel can have, whatever calibration has seen: so 8 bits hold each one exactly."""
    whole = Extremes(2, 0.0)
    whole.add(np.array([0, 255], np.float32))
    return whole


def ranges(
    model: bytes, signature: Signature, samples: Mapping[str, Array], how: Ranges
) -> dict[str, dict[str, Array]]:
    """Smallest and largest value of each float tensor by name, over all samples, each of which runs alone."""
    content = files.read(model)
    names, tensors = files.names(content), content.subgraphs[0].tensors
    inner = [index for index in files.computed(content) if tensors[index].type == files.FLOAT]
    files.give(content, {files.short(index): index for index in inner})
    run = Interpreter(model_content=files.write(content), num_threads=1).get_signature_runner(files.ENTRY)
    inputs = {spec.name: samples[spec.name].astype(spec.dtype) for spec in signature.inputs}
    given = {slot.name.decode(): int(slot.tensorIndex) for slot in content.signatureDefs[0].inputs}
    count = len(next(iter(inputs.values())))
    found: dict[str, Extremes] = {}
    for row in range(count):
        fed = {name: values[row : row + 1] for name, values in inputs.items()}
        outputs = run(**fed)
        seen = {given[name]: values for name, values in fed.items() if values.dtype == np.float32}
        seen |= {index: outputs[files.short(index)] for index in inner}
        for index, values in seen.items():
            if row == 0:
                found[names[index]] = Extremes(count * prod(values.shape), CLIPPED[how])
            found[names[index]].add(values.ravel())
    pixels = [spec.name for spec in signature.inputs if spec.inside is not None]
    found |= {names[index]: _of_pixels() for index in _cast(content, files.inputs(content, pixels))}
    axes = dict(zip(names, (len(tensor.shape) for tensor in tensors), strict=True))
    return {name: extremes.range(axes[name]) for name, extremes in found.items()}
