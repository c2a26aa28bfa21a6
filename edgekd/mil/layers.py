"""Rules for operators that sum over elements: convolutions, products, pools, norms, reductions, attention."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.mil.given import Arguments, Rule

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
AVERAGES: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MAXIMA: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def _padding(given: Arguments, kernel: Sequence[int]) -> list[int]:
    """Elements before and after each spatial dimension, in their order, for a kernel of such sizes.

    Of padding "same" together with a stride the reference says two things, so that has no rule.
    """
    kind, ones = given.text("pad_type", "valid"), [1] * len(kernel)
    if kind == "valid":
        return [0, 0] * len(kernel)
    if kind == "custom":
        return given.integers("pad", [0, 0] * len(kernel))
    if kind not in ("same", "same_lower") or given.integers("strides", ones) != ones or given.flag("ceil_mode"):
        raise given.refused(f"with pad_type {kind} and strides {given.integers('strides', ones)}")
    more = [(size - 1) * step for size, step in zip(kernel, given.integers("dilations", ones), strict=True)]
    pairs = [(whole // 2, whole - whole // 2) for whole in more]
    return [size for pair in pairs for size in (pair if kind == "same" else pair[::-1])]


def _padded(x: Tensor, pad: list[int], value: float = 0.0) -> Tensor:
    """With elements before and after each of the last dimensions, given in their order."""
    pairs = [pad[i : i + 2] for i in range(0, len(pad), 2)]
    return F.pad(x, [size for pair in reversed(pairs) for size in pair], value=value) if any(pad) else x


def conv(given: Arguments) -> Tensor:
    x = given.tensor("x")
    dimensions = x.dim() - 2
    pad, ones = _padding(given, given.tensor("weight").shape[2:]), [1] * dimensions
    even = pad[::2] == pad[1::2]
    return CONVOLUTIONS[dimensions](
        x if even else _padded(x, pad),
        given.tensor("weight"),
        given.optional("bias"),
        given.integers("strides", ones),
        pad[::2] if even else [0] * dimensions,
        given.integers("dilations", ones),
        given.integer("groups", 1),
    )


def conv_transpose(given: Arguments) -> Tensor:
    """The whole transposed convolution, then without what `pad` takes off and filled up to `output_shape`."""
    x = given.tensor("x")
    dimensions = x.dim() - 2
    if given.text("pad_type", "valid").startswith("same"):
        raise given.refused(f"with pad_type {given.text('pad_type')}")
    pad, ones = _padding(given, given.tensor("weight").shape[2:]), [1] * dimensions
    strides, dilations = given.integers("strides", ones), given.integers("dilations", ones)
    kernel = given.tensor("weight").shape[2:]
    plain = [
        (x.shape[2 + i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - pad[2 * i] - pad[2 * i + 1]
        for i in range(dimensions)
    ]
    wanted = given.integers("output_shape", [0, 0, *plain])[2:]
    more = [size - base for size, base in zip(wanted, plain, strict=True)]
    if pad[::2] != pad[1::2] or min(more) < 0:
        raise given.refused(f"with pad {pad} and output_shape {wanted}")
    return TRANSPOSED[dimensions](
        x,
        given.tensor("weight"),
        given.optional("bias"),
        strides,
        pad[::2],
        more,
        given.integer("groups", 1),
        dilations,
    )


def avg_pool(given: Arguments) -> Tensor:
    """The mean of each window; what was padded counts, or not."""
    x, kernel = given.tensor("x"), given.integers("kernel_sizes")
    pad, strides = _padding(given, kernel), given.integers("strides", [1] * len(kernel))
    counted, ceil = not given.flag("exclude_padding_from_average"), given.flag("ceil_mode")
    average = AVERAGES[len(kernel)]
    if pad[::2] == pad[1::2]:
        return average(x, kernel, strides, pad[::2], ceil, counted)
    found = average(_padded(x, pad), kernel, strides)
    return found if counted else found / average(_padded(torch.ones_like(x), pad), kernel, strides)


def max_pool(given: Arguments) -> Tensor:
    """The largest of each window; what was padded is none."""
    x, kernel = given.tensor("x"), given.integers("kernel_sizes")
    pad, strides = _padding(given, kernel), given.integers("strides", [1] * len(kernel))
    if pad[::2] != pad[1::2]:
        return MAXIMA[len(kernel)](_padded(x, pad, -math.inf), kernel, strides)
    return MAXIMA[len(kernel)](x, kernel, strides, pad[::2], 1, given.flag("ceil_mode"))


def matmul(given: Arguments) -> Tensor:
    x, y = given.tensor("x"), given.tensor("y")
    x = x.transpose(-1, -2) if given.flag("transpose_x") else x
    return torch.matmul(x, y.transpose(-1, -2) if given.flag("transpose_y") else y)


def attention(given: Arguments) -> Tensor:
    """softmax(query key^T / sqrt(E) + mask) value; a mask of yes and no says who takes part."""
    query, key, mask = given.tensor("query"), given.tensor("key"), given.optional("attn_mask")
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    if mask is not None and mask.dtype == torch.bool:
        scores = torch.where(mask, scores, torch.full_like(scores, -math.inf))
    elif mask is not None:
        scores = scores + mask
    return torch.matmul(scores.softmax(-1), given.tensor("value"))


def batch_norm(given: Arguments) -> Tensor:
    x = given.tensor("x")
    shape = (-1, *[1] * (x.dim() - 2))
    mean, variance = given.tensor("mean").reshape(shape), given.tensor("variance").reshape(shape)
    y = (x - mean) * torch.rsqrt(variance + given.number("epsilon", 1e-5))
    return _scaled(given, y, shape)


def layer_norm(given: Arguments) -> Tensor:
    x = given.tensor("x")
    axes = sorted(axis % x.dim() for axis in given.integers("axes", range(x.dim())))
    if axes != list(range(axes[0], x.dim())):
        raise given.refused(f"over the axes {axes} of {x.dim()}")
    y = F.layer_norm(x, x.shape[axes[0] :], eps=given.number("epsilon", 1e-5))
    return _scaled(given, y, tuple(x.shape[axes[0] :]))


def instance_norm(given: Arguments) -> Tensor:
    x = given.tensor("x")
    axes = list(range(2, x.dim()))
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    y = (x - mean) * torch.rsqrt(variance + given.number("epsilon", 1e-5))
    return _scaled(given, y, (-1, *[1] * (x.dim() - 2)))


def _scaled(given: Arguments, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    gamma, beta = given.optional("gamma"), given.optional("beta")
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def _l2_norm(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    return x.square().sum(axes, keepdim).sqrt()


def _prod(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim)
    return x


def _best(how: Callable[..., Tensor]) -> Rule:
    """The index of the largest or smallest along one axis."""
    return lambda given: how(given.tensor("x"), given.integer("axis", -1), given.flag("keep_dims"))


def _over(how: Callable[..., Tensor]) -> Rule:
    """A reduction over axes, over all of them where the file names none."""

    def rule(given: Arguments) -> Tensor:
        x = given.tensor("x")
        return how(x, given.integers("axes", range(x.dim())), keepdim=given.flag("keep_dims"))

    return rule


RULES: dict[str, Rule] = {
    "avg_pool": avg_pool,
    "batch_norm": batch_norm,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "linear": lambda given: F.linear(given.tensor("x"), given.tensor("weight"), given.optional("bias")),
    "matmul": matmul,
    "max_pool": max_pool,
    "reduce_argmax": _best(torch.argmax),
    "reduce_argmin": _best(torch.argmin),
    "reduce_l1_norm": _over(lambda x, axes, keepdim: x.abs().sum(axes, keepdim)),
    "reduce_l2_norm": _over(_l2_norm),
    "reduce_log_sum_exp": _over(torch.logsumexp),
    "reduce_max": _over(torch.amax),
    "reduce_mean": _over(torch.mean),
    "reduce_min": _over(torch.amin),
    "reduce_prod": _over(_prod),
    "reduce_sum": _over(torch.sum),
    "reduce_sum_square": _over(lambda x, axes, keepdim: x.square().sum(axes, keepdim)),
    "scaled_dot_product_attention": attention,
    "softmax": lambda given: given.tensor("x").softmax(given.integer("axis", -1)),
}
