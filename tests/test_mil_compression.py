"""Core ML in fewer bits: ranges over all samples, what is quantized and what is left, palettes without chance."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekd import files
from edgekd.errors import Unsuited
from edgekd.formats import coreml
from edgekd.mil import calibration, compression, palettes
from edgekd.mil.evaluator import Evaluator
from edgekd.mil.reading import Operation, Program, read
from edgekd.nets import layers, programs
from edgekd.plugins import Conversion, Converted
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Precision, Ranges
from tests import packages as toy
from tests.test_mil import arrays

# of the converters' own, which are made in processes of their own elsewhere
pytestmark = pytest.mark.filterwarnings("ignore")
INPUTS = (TensorSpec(name="image", shape=(-1, 4, 8, 8)),)


class Net(nn.Module):
    """Convolutions with every activation that edgekd's students have, a sum, and a head."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.head = nn.Linear(width, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(4 * self.first(image))
        y = nn.functional.relu(self.second(x))
        return self.head((x + y).mean((2, 3)))


def images(count: int = 24) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(0).normal(size=(count, 4, 8, 8)).astype(np.float32)}


def converted(
    folder: Path,
    precision: Precision,
    net: nn.Module | None = None,
    samples: dict[str, np.ndarray] | None = None,
    ranges: Ranges = "min-max",
    in_float: frozenset[str] = frozenset(),
) -> Converted:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    samples = images() if samples is None else samples
    signature = Signature(inputs=INPUTS, outputs=toy.OUTPUTS)
    program, signature = programs.trace(net or Net(), signature, {k: v[:3] for k, v in samples.items()}, "net")
    programs.write(program, folder / "net.pt2")
    conversion = Conversion(folder / "net.pt2", signature, precision, samples, folder, ranges=ranges, in_float=in_float)
    return coreml.convert(conversion)


def sources(program: Program) -> dict[int, Operation]:
    return {slot.number: one for one in program.operations for slot in one.outputs}


def computing(package: Path) -> list[tuple[str, str, str]]:
    """Of each convolution and linear layer: its kind, what gives its input, and what gives its weights."""
    program = read(package)
    gives = sources(program)
    chosen = [one for one in program.operations if one.kind in ("conv", "linear")]
    return [
        (one.kind, *(gives[n].kind if (n := one.inputs[part]) in gives else "constant" for part in ("x", "weight")))
        for one in chosen
    ]


def test_int8_computes_in_8_bits_of_values_and_weights(tmp_path: Path) -> None:
    made = converted(tmp_path, "int8")
    eight = ("dequantize", "constexpr_affine_dequantize")
    assert computing(tmp_path / made.name) == [("conv", *eight), ("conv", *eight), ("linear", *eight)]
    kinds = [one.kind for one in read(tmp_path / made.name).operations]
    assert "relu6" in kinds and "clip" not in kinds, "a clip would be a layer of its own"
    gives = sources(read(tmp_path / made.name))
    behind = [gives[one.inputs["input"]].kind for one in gives.values() if one.kind == "quantize"]
    assert {"relu6", "relu"} <= set(behind) and "conv" not in behind, "8 bits span what the activation leaves"


@pytest.mark.parametrize("precision", ["int8-weights", "palette4"])
def test_precisions_of_weights_compute_in_float(tmp_path: Path, precision: Precision) -> None:
    made = converted(tmp_path, precision)
    assert {taken for _, taken, _ in computing(tmp_path / made.name)}.isdisjoint({"quantize", "dequantize"})
    stored = [weight for *_, weight in computing(tmp_path / made.name)]
    compressed = "constexpr_lut_to_dense" if precision == "palette4" else "constexpr_affine_dequantize"
    assert stored == [compressed, compressed, "constant"], "80 numbers are not worth their scales"


def ranges_of(folder: Path, how: Ranges) -> tuple[dict[str, calibration.Range], dict[str, np.ndarray]]:
    """Ranges by node, and all values of each node."""
    made = converted(folder, "float16")
    samples = images()
    found = calibration.calibrated(folder / made.name, samples, how)
    values = layers.values(programs.load(folder / "net.pt2"), [samples["image"]])
    return {node: found.ranges[value] for value, node in made.layers.items() if value in found.ranges}, values


def test_ranges_are_of_all_samples_and_not_of_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SAMPLES", 5)
    ranges, values = ranges_of(tmp_path, "min-max")
    assert {"mul", "conv2d_1", "relu", "add", "mean"} <= set(ranges)
    for node, (low, high) in ranges.items():
        np.testing.assert_allclose((low, high), (values[node].min(), values[node].max()), atol=0.02, rtol=5e-3)
        assert not np.allclose((low, high), (values[node][-1].min(), values[node][-1].max()), rtol=5e-3) or low == 0


def test_percentiles_cut_off_what_few_values_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # more than is cut off by default: these are few values
    monkeypatch.setattr(calibration, "CUT", 5e-3)
    ranges, values = ranges_of(tmp_path, "percentile")
    for node in ("mul", "conv2d_1"):
        low, high = ranges[node]
        step = np.ptp(values[node]) / calibration.STEPS
        wanted = np.quantile(values[node], (calibration.CUT, 1 - calibration.CUT))
        assert values[node].min() < low and high < values[node].max()
        np.testing.assert_allclose((low, high), wanted, atol=4 * step)


def test_more_cut_off_gives_smaller_scales_in_the_file(tmp_path: Path) -> None:
    found = []
    for how in ("min-max", "percentile"):
        made = converted(tmp_path / how, "int8", ranges=how)
        program = read(tmp_path / how / made.name)
        scales = [program.constants[one.inputs["scale"]] for one in program.operations if one.kind == "quantize"]
        found.append(sum(float(scale) for scale in scales))
    assert found[1] < 0.95 * found[0]


def test_sums_with_masks_and_on_whole_numbers_stay_float(packages: Path) -> None:
    inputs, _ = arrays(packages, "text-float16")
    found = calibration.calibrated(packages / "text-float16.mlpackage", inputs, "min-max")
    kinds = {one.name: one.kind for one in read(packages / "text-float16.mlpackage").operations}
    assert found.kinds == ("conv", "linear") and found.count == 3 and not found.left_out
    # without the rule for attention
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "ATTENTION", ())
        every = calibration.calibrated(packages / "text-float16.mlpackage", inputs, "min-max")
    assert "add" in every.kinds and all(kinds[name] == "add" for name in every.left_out)
    assert "add_1" in every.left_out, "of ids"


class Infinite(Net):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = torch.where(image[:, :1] > 0, 0.0, -torch.inf).expand(-1, 16, -1, -1)
        x = self.first(image)
        return self.head((torch.relu(x + hidden) + 0 * self.second(x)).mean((2, 3)))


def test_a_value_without_a_usable_range_stays_float_and_one_of_zeros_has_a_scale(tmp_path: Path) -> None:
    made = converted(tmp_path, "int8", Infinite())
    program = read(tmp_path / made.name)
    scales = [program.constants[one.inputs["scale"]] for one in program.operations if one.kind == "quantize"]
    assert all(0 < float(scale) < np.inf for scale in scales)
    plain = converted(tmp_path / "float16", "float16", Infinite())
    found = calibration.calibrated(tmp_path / "float16" / plain.name, images(), "min-max")
    kinds = {one.name: one.kind for one in read(tmp_path / "float16" / plain.name).operations}
    assert "add" in {kinds[name] for name in found.left_out}
    assert calibration._usable(0.0, 0.0) == (-1.0, 1.0) and not calibration._good(0.0, float("inf"))
    assert not calibration._good(float("nan"), float("nan")) and not calibration._good(0.0, 6e4)


def test_what_is_concatenated_has_one_range(packages: Path) -> None:
    program = read(packages / "mixed-float32.mlpackage")
    names = next(calibration._names(program, one) for one in program.operations if one.kind == "concat")
    ranges = {name: (-float(i), float(i)) for i, name in enumerate(sorted(names))}
    most = float(len(names) - 1)
    assert len(names) == 4
    assert calibration._joined(program, ranges | {"other": (0.0, 9.0)}) == dict.fromkeys(names, (-most, most)) | {
        "other": (0.0, 9.0)
    }


def test_a_layer_that_shall_stay_float_does(tmp_path: Path) -> None:
    made = converted(tmp_path, "int8", in_float=frozenset({"relu"}))
    eight, plain = ("dequantize", "constexpr_affine_dequantize"), ("dequantize", "constant")
    # the convolution before the activation computes in float; its input is 8 bits for others too
    assert computing(tmp_path / made.name) == [("conv", *eight), ("conv", "relu6", "constant"), ("linear", *eight)] or (
        computing(tmp_path / made.name) == [("conv", *eight), ("conv", *plain), ("linear", *eight)]
    )
    assert "Operators that stay float16, for the sake of accuracy: 2." in made.notes


@pytest.mark.parametrize(
    ("precision", "net", "reason", "instead"),
    [
        ("int4-weights", Net(), "no weight of this network has input channels that are a multiple of 32", "palette4"),
        ("palette4", Net(2), "every weight of this network is too small to be worth a palette", "float16"),
        ("int8-weights", Net(2), "every weight of this network is too small to be worth a scale", "float16"),
    ],
)
def test_a_precision_that_does_nothing_is_refused_with_what_to_use_instead(
    tmp_path: Path, precision: Precision, net: nn.Module, reason: str, instead: str
) -> None:
    with pytest.raises(Unsuited, match=f"^coreml {precision}: {reason}. Use {instead}"):
        converted(tmp_path, precision, net)


class Plain(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.tanh(image.mean((2, 3)))


def test_a_network_without_anything_to_compute_in_8_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsuited, match=r"^coreml int8: no convolution"):
        converted(tmp_path, "int8", Plain())


def test_what_has_fewer_bits_is_told(tmp_path: Path) -> None:
    made = converted(tmp_path, "int4-weights", Net(32))
    kept = compression.kept(tmp_path / made.name, "int4-weights")
    assert (kept.weights, kept.of) == (2, 3)
    sizes = (32 * 4 * 9, 32 * 32 * 9, 5 * 32)
    assert kept.share == pytest.approx(sum(sizes[1:]) / sum(sizes))
    assert made.notes[-1].startswith("2 of 3 weights, 89 % of all numbers, have fewer bits: the input channels of the")
    assert any("iOS 18" in note for note in made.notes)


def test_weights_without_chance(packages: Path) -> None:
    random = np.random.default_rng(0)
    for values in (random.normal(size=(40, 30)), random.exponential(size=(9, 3, 3, 3)), np.zeros((20, 20))):
        wide = values.astype(np.float16)
        colours, numbers = palettes.palette(wide)
        assert colours.shape == (16,) and colours.dtype == np.float16 and numbers.dtype == np.uint8
        assert numbers.shape == (wide.size,)
        nearest = np.abs(wide.reshape(-1, 1).astype(np.float64) - colours.astype(np.float64))
        chosen = nearest[np.arange(wide.size), numbers]
        np.testing.assert_allclose(chosen, nearest.min(1), atol=1e-3 * np.abs(wide).max())
        # sixteen even steps over the range would be worse
        steps = np.linspace(wide.min(), wide.max(), 16)
        even = np.abs(wide.reshape(-1, 1).astype(np.float64) - steps).min(1)
        assert (chosen**2).sum() <= (even**2).sum()


def test_a_palette_of_few_values_loses_nothing() -> None:
    values = np.random.default_rng(0).choice([-1.5, 0.0, 0.25, 3.0], (8, 40)).astype(np.float16)
    colours, numbers = palettes.palette(values)
    np.testing.assert_array_equal(colours[numbers].reshape(values.shape), values)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["int8", "int8-weights", "int4-weights", "palette4"])
def test_a_fresh_process_makes_the_same_package(tmp_path: Path, precision: str) -> None:
    names = {"int4-weights": ("wide_text-int4-weights",)}.get(precision, (f"convnet-{precision}",))
    digests = set()
    # once alone, and once after others: names may count what one process has made
    for part, before in (("one", ()), ("two", ("text-float16", "convnet-float16"))):
        folder = tmp_path / part
        folder.mkdir()
        command = [sys.executable, "-m", "tests.packages", str(folder), *before, *names]
        subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)
        digests.add(files.digest(folder / f"{names[0]}.mlpackage"))
    assert len(digests) == 1


def test_calibration_of_many_samples_takes_a_second_or_two(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are evaluated together: the number of walks through the program says so, not a clock."""
    inputs, _ = arrays(packages, "convnet-float16")
    many = {name: np.concatenate([values] * 6)[:256] for name, values in inputs.items()}
    walks: list[int] = []
    run = Evaluator._run

    def counted(self: Any, given: Any) -> Any:
        walks.append(1)
        return run(self, given)

    monkeypatch.setattr(Evaluator, "_run", counted)
    calibration.calibrated(packages / "convnet-float16.mlpackage", many, "min-max")
    assert len(walks) <= 256 / calibration.SAMPLES + 2 * 4 + 1
