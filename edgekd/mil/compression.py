"""Fewer bits for the weights and activations of a Core ML program, by coremltools' own passes."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass, PassOption
from coremltools.converters.mil.mil.passes.helper import block_context_manager
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
from coremltools.models.utils import _apply_graph_pass
from coremltools.optimize import coreml as optimize
from torch import Tensor

from edgekd.mil import palettes
from edgekd.mil.calibration import ACTIVATIONS, Calibrated
from edgekd.mil.reading import Program, read
from edgekd.spec import Precision

# Smaller weights are left in float16: their scales would cost about as much as fewer bits save. Not so where it is the
# arithmetic that shall have 8 bits.
SMALLEST_WEIGHT = 128
BLOCK = 32


@dataclass(frozen=True)
class Kept:
    """How many of a package's weights are stored in fewer bits, of how many, and the share of their numbers."""

    weights: int
    of: int
    share: float


class _Relu6(AbstractGraphPass):  # type: ignore[misc]
    """Says relu6 where the converter says clip, so that 8 bits span what it leaves, not what it was given."""

    def apply(self, prog: Any) -> None:
        for function in prog.functions.values():
            self._block(function)

    @block_context_manager  # type: ignore[untyped-decorator]
    def _block(self, block: Any) -> None:
        for one in list(block.operations):
            if one.op_type == "clip" and (one.alpha.val, one.beta.val) == (0, 6):
                made = mb.relu6(x=one.x, name=one.name, before_op=one)
                made.name = one.outputs[0].name
                block.replace_uses_of_var_after_op(anchor_op=one, old_var=one.outputs[0], new_var=made)
                block.remove_ops([one])


def with_relu6(model: Any) -> Any:
    """The same model, with relu6 by its name: coremltools takes it along behind what computes in 8 bits."""
    return _apply_graph_pass(model, _Relu6(), spec_version=ct.target.iOS17)


def activations(model: Any, calibrated: Calibrated) -> Any:
    """A model that computes in 8 bits where it was calibrated: values are quantized to int8 and back around operators.

    As coremltools' linear_quantize_activations does it, which would look for the ranges by running Core ML.
    """
    each = optimize.OpLinearQuantizerConfig(mode="linear_symmetric")
    config = optimize.OptimizationConfig(
        op_type_configs=dict.fromkeys(calibrated.kinds, each), op_name_configs=dict.fromkeys(calibrated.left_out)
    )
    stats = {name: {"rmin": low, "rmax": high} for name, (low, high) in calibrated.ranges.items()}
    around = [PASS_REGISTRY[f"compression::insert_{side}_quantize_dequantize_pair"] for side in ("prefix", "suffix")]
    for one in around:
        one.set_options([PassOption("config", config), PassOption("activation_stats", stats)])
    passes = [*around, PASS_REGISTRY["common::dequantize_quantize_pair_elimination"]]
    return _apply_graph_pass(model, passes, spec_version=ct.target.iOS17)


def weights(model: Any, precision: Precision, in_float: Collection[str] = ()) -> Any:
    """A model whose weights are stored in fewer bits, but for those of the operators named `in_float`.

    8 bits: symmetric, one scale for each channel that they give; 4 bits: one for 32 input channels of an output
    channel; palette4: 4-bit numbers of colours in one palette for each weight.
    """
    if precision == "palette4":
        colours = optimize.OpPalettizerConfig(
            mode="custom", lut_function=palettes.palette, weight_threshold=SMALLEST_WEIGHT
        )
        return optimize.palettize_weights(model, _but_for(colours, in_float))
    blocks = {"dtype": "int4", "granularity": "per_block", "block_size": BLOCK} if precision == "int4-weights" else {}
    each = optimize.OpLinearQuantizerConfig(weight_threshold=_smallest(precision), **blocks)
    return optimize.linear_quantize_weights(model, _but_for(each, in_float))


def _smallest(precision: Precision) -> int:
    # coremltools itself leaves out what has no more than ten numbers
    return 10 if precision == "int8" else SMALLEST_WEIGHT


def _but_for(each: Any, names: Collection[str]) -> Any:
    return optimize.OptimizationConfig(global_config=each, op_name_configs=dict.fromkeys(names))


def operators(package: Path, values: Collection[str]) -> tuple[str, ...]:
    """Names of the operators that give these values; of an activation the one before it too: to 8 bits they are one."""
    program = read(package)
    gives = {slot.number: one for one in program.operations for slot in one.outputs}
    found = [one for one in program.operations if any(slot.name in values for slot in one.outputs)]
    for one in found:  # grows while it is walked
        source = one.inputs.get("x") if one.kind in ACTIVATIONS else None
        found += [gives[source]] if isinstance(source, int) and source in gives else []
    return tuple(dict.fromkeys(one.name for one in found))


def kept(package: Path, precision: Precision) -> Kept:
    """Count what is stored in fewer bits in a package."""
    smallest = _smallest(precision)
    program = read(package)
    small = [one for one in program.operations if one.kind.startswith("constexpr_")]
    numbers = sum(math.prod(one.outputs[-1].shape) for one in small)
    plain = [size for size in _plain(program) if size > smallest]
    return Kept(len(small), len(small) + len(plain), numbers / max(1, numbers + sum(plain)))


def _plain(program: Program) -> list[int]:
    """Numbers of each weight that is stored as it is."""
    parts = {
        number for one in program.operations if one.kind.startswith("constexpr_") for number in one.inputs.values()
    }
    weights = [value for number, value in program.constants.items() if number not in parts]
    tables = [value for value in weights if isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 1]
    return [table.numel() for table in tables]
