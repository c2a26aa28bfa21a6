"""Rules for compressed weights, and for quantization of values: from what the file stores to what is computed with.

Written from the operators' definitions, not with coremltools' own decompression: that made the file.
"""

import torch
from torch import Tensor

from edgekd.mil.given import Arguments, Rule, along

RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def affine_dequantize(given: Arguments) -> Tensor:
    """scale * (data - zero point), one for all or one for each index of an axis."""
    data, axis = given.tensor("quantized_data"), given.integer("axis")
    scale, zero = along(given.tensor("scale"), axis, data), along(given.tensor("zero_point"), axis, data)
    return scale * (data - zero)


def blockwise_shift_scale(given: Arguments) -> Tensor:
    """scale * (data - offset), one for each block; blocks are as large as the sizes of data over those of scale."""
    data = given.tensor("data")
    scale = _spread(given.tensor("scale"), data)
    offset = given.optional("offset")
    return scale * (data if offset is None else data - _spread(offset, data))


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Each value as often as its block is large, along every axis."""
    for axis, (size, count) in enumerate(zip(like.shape, tuple(values.shape), strict=True)):
        values = values.repeat_interleave(size // count, axis)
    return values


def lut_to_dense(given: Arguments) -> Tensor:
    """Values looked up in a palette, or in one for each block of the tensor."""
    indices, lut = given.tensor("indices"), given.tensor("lut")
    if "shape" in given:
        shape = given.integers("shape")
        bits = (lut.numel() - 1).bit_length()
        return lut[_unpacked(indices, bits, torch.Size(shape).numel())].reshape(shape)
    if lut.shape[-1] != 1:
        raise given.refused("with a palette of vectors")
    groups, palette = lut.shape[:-2], lut.shape[-2]
    numbers = _spread(torch.arange(groups.numel()).reshape(groups), indices)
    return lut.reshape(-1, palette)[numbers, indices]


def sparse_to_dense(given: Arguments) -> Tensor:
    """Stored values where the mask has a bit, zeros elsewhere."""
    values, mask = given.tensor("nonzero_data"), given.tensor("mask")
    if "shape" in given:
        shape = given.integers("shape")
        mask = _unpacked(mask, 1, torch.Size(shape).numel()).reshape(shape)
    dense = torch.zeros(mask.shape, dtype=values.dtype)
    dense[mask.bool()] = values
    return dense


def _unpacked(packed: Tensor, bits: int, count: int) -> Tensor:
    """Whole numbers of so many bits out of bytes; the lowest bit of a byte comes first."""
    stream = (packed.reshape(-1, 1) >> torch.arange(8)) & 1
    numbers = stream.reshape(-1)[: bits * count].reshape(count, bits)
    return (numbers << torch.arange(bits)).sum(1)


def constant_cast(given: Arguments) -> Tensor:
    return given.tensor("source_val")


def quantize(given: Arguments) -> Tensor:
    """round(input / scale) + zero point, to the nearest even number at a half, kept in the range of the type."""
    x, axis, kind = given.tensor("input"), given.integer("axis", 0), given.text("output_dtype")
    if kind not in RANGES:
        raise given.refused(f"to {kind}")
    zero = given.optional("zero_point")
    rounded = torch.round(x / along(given.tensor("scale"), axis, x)).clamp(-1e6, 1e6).long()
    return (rounded if zero is None else rounded + along(zero, axis, x)).clamp(*RANGES[kind])


def dequantize(given: Arguments) -> Tensor:
    """scale * (input - zero point)."""
    x, axis = given.tensor("input"), given.integer("axis", 0)
    zero = given.optional("zero_point")
    return along(given.tensor("scale"), axis, x) * (x if zero is None else x - along(zero, axis, x))


RULES: dict[str, Rule] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_cast": constant_cast,
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_sparse_to_dense": sparse_to_dense,
    "dequantize": dequantize,
    "quantize": quantize,
}
