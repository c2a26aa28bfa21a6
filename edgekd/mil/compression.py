"""Fewer bits for the weights and activations of a Core ML program, by coremltools' own passes."""

import math
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
from edgekd.mil.calibration import Calibrated
from edgekd.mil.reading import Program, read

# Smaller weights are left in float16: their scales would cost about as much as fewer bits save.
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


def eight_bits(model: Any) -> Any:
    """A model whose weights are stored in 8 bits, symmetric, one scale for each channel that they give."""
    return _quantized(model, optimize.OpLinearQuantizerConfig(weight_threshold=SMALLEST_WEIGHT))


def four_bits(model: Any) -> Any:
    """A model whose weights are stored in 4 bits, symmetric, one scale for 32 input channels of an output channel."""
    each = optimize.OpLinearQuantizerConfig(
        dtype="int4", granularity="per_block", block_size=BLOCK, weight_threshold=SMALLEST_WEIGHT
    )
    return _quantized(model, each)


def _quantized(model: Any, each: Any) -> Any:
    return optimize.linear_quantize_weights(model, optimize.OptimizationConfig(global_config=each))


def palettes_of_16(model: Any) -> Any:
    """A model whose weights are stored as 4-bit numbers of colours in one palette for each weight."""
    each = optimize.OpPalettizerConfig(mode="custom", lut_function=palettes.palette, weight_threshold=SMALLEST_WEIGHT)
    return optimize.palettize_weights(model, optimize.OptimizationConfig(global_config=each))


def kept(package: Path) -> Kept:
    """Count what is stored in fewer bits in a package."""
    program = read(package)
    small = [one for one in program.operations if one.kind.startswith("constexpr_")]
    numbers = sum(math.prod(one.outputs[-1].shape) for one in small)
    plain = _plain(program)
    return Kept(len(small), len(small) + len(plain), numbers / max(1, numbers + sum(plain)))


def _plain(program: Program) -> list[int]:
    """Numbers of each weight that is stored as it is, of those that could be smaller."""
    parts = {
        number for one in program.operations if one.kind.startswith("constexpr_") for number in one.inputs.values()
    }
    weights = [value for number, value in program.constants.items() if number not in parts]
    tables = [value for value in weights if isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 1]
    return [table.numel() for table in tables if table.numel() > SMALLEST_WEIGHT]
