"""Where operators run, in one vocabulary for all runtimes.

An operator is *wanted* where the runtime runs it on the kernel that the file was made for, else it is a *fallback*:

    TFLite        wanted: inside a partition that the XNNPACK delegate took. Fallback: outside, on TFLite's own kernels.
    ONNX Runtime  wanted: on the CPU provider. Fallback in a file with QuantizeLinear and DequantizeLinear pairs: what
                  computes in float32 between 8-bit values, a convolution or matrix product that takes 8-bit values and
                  computes in float32, the conversions that this leaves inside, and weights that every run unpacks. In a
                  float16 file: what has no float16 kernel here and computes in float32, and its conversions.
    OpenVINO      wanted: on an optimized kernel. Fallback: on a reference kernel (ref_*; copies have no other); in a
                  file that quantizes activations also a convolution or matrix product that does not compute in 8 bits.
    Core ML       nothing tells where operators ran; see edgekd/mil/eligible.py for what documentation says.

Operators that work at each run count. Constants, what is worked out once from constants alone, and changes of shape
alone (reshape, squeeze, flatten) do not: they have no kernel worth the name, and their number depends on the converter.
A *conversion* changes precision or layout and nothing else; it counts, wanted or not, and is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """Is an operator where one wants it, why not (or what to know of it), and is it a mere conversion?"""

    wanted: bool = True
    why: str = ""
    conversion: bool = False


def operator(
    name: str,
    kind: str,
    verdict: Verdict,
    gives: Sequence[str],
    takes: Sequence[str],
    also: Sequence[str] = (),
    kernel: str = "",
    seconds: float | None = None,
    counts: bool = True,
) -> dict[str, Any]:
    """One operator as the verb `profile` tells it.

    `gives` and `takes` name its results and arguments, by which operators hang together; `also` are other names that
    the file may have for what it gives, the likeliest first. `kernel` is what the runtime calls its kernel, empty where
    it does not say; `seconds` are those of one run, None where nothing tells them. One that does not count is told only
    because others hang together by it.
    """
    tensors = {"gives": list(gives), "takes": list(takes), "also": list(also)}
    known = {"name": name, "kind": kind, "kernel": kernel, "counts": counts}
    return {**known, "seconds": None if seconds is None else round(seconds, 9), **tensors, **verdict._asdict()}


def typical(values: Sequence[float]) -> float:
    """The mean of the middle half: no run that was interrupted, and finer than the microseconds of a profiler."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)
