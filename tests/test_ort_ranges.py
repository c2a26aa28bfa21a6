"""The ranges of activations over calibration samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from edgekd.ort import ranges

RANDOM = np.random.default_rng(3)
KINDS = ("Relu", "Neg")
# most values between -3 and 3, three of them far away
VALUES = RANDOM.normal(size=(64, 4096)).astype(np.float32)
VALUES[5, 7], VALUES[9, 1], VALUES[50, 0] = 60, -40, 80


def model(folder: Path) -> Path:
    """x -> Relu -> Neg, whose inputs and outputs are what is asked about."""
    nodes = [helper.make_node("Relu", ["x"], ["r"], name="r"), helper.make_node("Neg", ["r"], ["y"], name="y")]
    kind = TensorProto.FLOAT
    inputs, outputs = ([helper.make_tensor_value_info(n, kind, ["batch", 4096])] for n in ("x", "y"))
    inner = [helper.make_tensor_value_info("r", kind, ["batch", 4096])]
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, value_info=inner),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(made, folder / "model.onnx")
    return folder / "model.onnx"


def one_by_one(values: np.ndarray) -> ranges.Samples:
    return lambda: iter([{"x": values[i : i + 1]} for i in range(len(values))])


def found(folder: Path, method: str, values: np.ndarray = VALUES) -> dict[str, tuple[float, float]]:
    told = ranges.found(model(folder), KINDS, one_by_one(values), method, folder)
    return {name: (float(np.min(one.lowest)), float(np.max(one.highest))) for name, one in told.items()}


def test_extremes_are_the_smallest_and_largest_value(tmp_path: Path) -> None:
    told = found(tmp_path, "min-max")
    assert told["x"] == (-40, 80) and told["r"] == (0, 80) and told["y"] == (-80, 0)


def test_percentiles_leave_out_as_many_values_as_they_say(tmp_path: Path) -> None:
    low, high = found(tmp_path, "percentile")["x"]
    outside = ((low > VALUES) | (high < VALUES)).sum()
    expected = VALUES.size * (100 - ranges.PERCENTILE) / 100
    width = 2 * 80 / ranges.BINS["percentile"]
    exact = np.quantile(VALUES, [0.5e-4, 1 - 0.5e-4])
    np.testing.assert_allclose((low, high), exact, atol=width)
    assert 0 < outside <= 3 * expected


def test_entropy_leaves_out_rare_values_too(tmp_path: Path) -> None:
    told = found(tmp_path, "entropy")
    assert -20 < told["x"][0] < 0 < told["x"][1] < 20


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_they_are_those_of_onnx_runtimes_own_calibrator_with_all_values_at_once(tmp_path: Path, method: str) -> None:
    class Reader:
        def __init__(self) -> None:
            self.left: Iterator[dict[str, np.ndarray]] = one_by_one(VALUES)()

        def get_next(self):
            return next(self.left, None)

    options = {
        "num_bins": ranges.BINS[method],
        "num_quantized_bins": ranges.LEVELS,
        "percentile": ranges.PERCENTILE,
        "symmetric": False,
    }
    kind = {"percentile": CalibrationMethod.Percentile, "entropy": CalibrationMethod.Entropy}[method]
    own = create_calibrator(model(tmp_path), KINDS, tmp_path / "own.onnx", kind, extra_options=options)
    own.collect_data(Reader())
    expected = {n: (float(np.min(one.lowest)), float(np.max(one.highest))) for n, one in own.compute_data().items()}
    told = found(tmp_path, method)
    assert told.keys() == expected.keys()
    for name, one in told.items():
        np.testing.assert_allclose(one, expected[name], rtol=1e-6)


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy"])
def test_the_order_of_the_samples_does_not_matter(tmp_path: Path, method: str) -> None:
    assert found(tmp_path, method) == found(tmp_path, method, VALUES[::-1])


def test_a_tensor_that_is_always_zero_has_a_range(tmp_path: Path) -> None:
    for method in ("min-max", "percentile", "entropy"):
        told = found(tmp_path, method, -np.abs(VALUES[:4]))
        assert told["r"] == (0, 0) and told["x"][0] < 0


def test_infinite_values_are_told_whatever_the_method(tmp_path: Path) -> None:
    values = VALUES[:4].copy()
    values[2, 3] = -np.inf
    for method in ("min-max", "percentile", "entropy"):
        told = ranges.found(model(tmp_path), KINDS, one_by_one(values), method, tmp_path)
        assert ranges.unbounded(told) == ["x"]
