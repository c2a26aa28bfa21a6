"""Rules for compressed weights, and for quantization of values: from what the file stores to what is computed with.

Written from the operators' definitions, not with coremltools' own decompression: that made the file.
"""

import torch
from torch import Tensor

from edgekd.mil.given import Arguments, Rule, along

RANGES = {"int8": (-128, 127), "uint8": (0, 255)}
KINDS = {"int8": torch.int8, "uint8": torch.uint8}


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
    return _looked_up(given, indices, lut)


def _looked_up(given: Arguments, indices: Tensor, lut: Tensor) -> Tensor:
    """What a palette for each block has for each index; vectors of several values lie along an axis."""
    groups, (palette, size) = lut.shape[:-2], lut.shape[-2:]
    numbers = _spread(torch.arange(groups.numel()).reshape(groups), indices)
    found = lut.reshape(-1, palette, size)[numbers, indices]
    if size == 1:
        return found.squeeze(-1)
    axis = given.integer("vector_axis") % indices.dim()
    return found.movedim(-1, axis + 1).flatten(axis, axis + 1)


def lut_to_sparse(given: Arguments) -> tuple[Tensor, Tensor]:
    """Where the values of a palette are, and those values; both longer along the axis of vectors."""
    mask, indices, lut = given.tensor("indices_mask"), given.tensor("indices_nonzero_data"), given.tensor("lut")
    dense = _looked_up(given, _dense(indices, mask), lut)
    if lut.shape[-1] > 1:
        mask = mask.repeat_interleave(lut.shape[-1], given.integer("vector_axis"))
    return mask, dense[mask.bool()]


def sparse_blockwise_shift_scale(given: Arguments) -> tuple[Tensor, Tensor]:
    """scale * (data - offset) of the stored values, each with its block's; where they are stays the same."""
    mask, offset = given.tensor("data_mask"), given.optional("offset")
    data = _dense(given.tensor("nonzero_data"), mask)
    data = data if offset is None else data - _spread(offset, data)
    return mask, (_spread(given.tensor("scale"), data) * data)[mask.bool()]


def sparse_to_dense(given: Arguments) -> Tensor:
    """Stored values where the mask has a bit, zeros elsewhere."""
    values, mask = given.tensor("nonzero_data"), given.tensor("mask")
    if "shape" in given:
        shape = given.integers("shape")
        mask = _unpacked(mask, 1, torch.Size(shape).numel()).reshape(shape)
    return _dense(values, mask)


def _dense(values: Tensor, mask: Tensor) -> Tensor:
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
    rounded = torch.round(x / along(given.tensor("scale"), axis, x))
    moved = rounded if zero is None else rounded + along(zero, axis, x)
    return moved.clamp(*RANGES[kind]).to(KINDS[kind])


def dequantize(given: Arguments) -> Tensor:
    """scale * (input - zero point)."""
    x, axis = given.tensor("input").float(), given.integer("axis", 0)
    zero = given.optional("zero_point")
    return along(given.tensor("scale"), axis, x) * (x if zero is None else x - along(zero, axis, x))


RULES: dict[str, Rule] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "constexpr_cast": constant_cast,
    "constexpr_lut_to_dense": lut_to_dense,
    "constexpr_lut_to_sparse": lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": sparse_to_dense,
    "dequantize": dequantize,
    "quantize": quantize,
}
