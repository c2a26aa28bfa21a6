"""The ranges of activations over calibration samples, as ONNX Runtime's static quantization takes them.

ONNX Runtime's own calibrators keep every activation of every sample until they are done, and its entropy method looks
at a single threshold unless it is given finer histograms; here samples go by one at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    HistogramCollector,
    TensorsData,
    create_calibrator,
)

from edgekd.spec import Ranges

METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
# The share of an activation's values that "percentile" keeps, in percent; the rest saturates, half on each side.
PERCENTILE = 99.99
# Bins of a histogram, and how many levels entropy compares it with: it tries all ranges of more bins than that, which
# takes a time that grows with the square of the bins.
BINS = {"percentile": 2048, "entropy": 1024}
LEVELS = 128

Samples = Callable[[], Iterator[dict[str, NDArray[np.float32]]]]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Samples as ONNX Runtime's calibrators want them."""

    def __init__(self, samples: Samples) -> None:
        self._left = samples()

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._left, None)


def found(model: Path, kinds: Sequence[str], samples: Samples, method: Ranges, folder: Path) -> TensorsData:
    """The range of each activation that operators of these kinds read or give."""
    calibrator = create_calibrator(model, kinds, folder / "extremes.onnx", CalibrationMethod.MinMax)
    calibrator.collect_data(_Reader(samples))
    extremes: TensorsData = calibrator.compute_data()
    if method == "min-max" or not finite(extremes):
        return extremes
    return _clipped(model, kinds, samples, method, folder, extremes)


def finite(ranges: TensorsData) -> bool:
    """Are all ranges of numbers?"""
    return not unbounded(ranges)


def unbounded(ranges: TensorsData) -> list[str]:
    """The tensors that were infinite, or not a number, for some sample."""
    return [name for name, one in ranges.items() if not np.isfinite(np.array(one.range_value)).all()]


def _clipped(
    model: Path, kinds: Sequence[str], samples: Samples, method: Ranges, folder: Path, extremes: TensorsData
) -> TensorsData:
    """Ranges that leave out rare large values, by a histogram of each activation."""
    calibrator = create_calibrator(model, kinds, folder / "values.onnx", METHODS[method])
    bins = BINS[method]
    collector = HistogramCollector(
        method, symmetric=False, num_bins=bins, num_quantized_bins=LEVELS, percentile=PERCENTILE, scenario="same"
    )
    collector.histogram_dict |= {name: _empty(bins, *one.range_value) for name, one in extremes.items()}
    session = calibrator.infer_session
    names = [value.name for value in session.get_outputs()]
    with redirect_stdout(StringIO()):  # it prints a line for each sample
        for sample in samples():
            outputs = dict(zip(names, session.run(None, sample), strict=True))
            collector.collect({name: outputs[name] for name, _ in extremes.items()})
        return TensorsData(METHODS[method], collector.compute_collection_result())


def _empty(bins: int, lowest: NDArray[np.float32], highest: NDArray[np.float32]) -> tuple[Any, ...]:
    """A histogram without a value, wide enough for all that come: it need not grow, whatever their order."""
    low, high = np.float32(np.min(lowest)), np.float32(np.max(highest))
    threshold = max(abs(low), abs(high))
    edges = np.linspace(-threshold, threshold, bins + 1, dtype=np.float32)
    return np.zeros(bins, np.int64), edges, low, high, threshold
