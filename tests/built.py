"""Core ML programs written operator by operator, and what torch or numpy makes of the same: see tests/packages.py.

Each is of one input x, in float32, and holds operators that networks seldom become.
"""

from collections.abc import Callable
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil import Builder as mb
from torch import Tensor, nn
from torch.nn import functional as F

Program = tuple[tuple[int, ...], Callable[[Any], Any], Callable[[Tensor], Tensor]]


def last(*values: Any) -> Any:
    """All of a program's values in a row."""
    rows = [mb.reshape(x=value, shape=[1, -1]) for value in values]
    return mb.concat(values=rows, axis=1, name="logits")


def row(*values: Tensor) -> Tensor:
    return torch.cat([value.float().flatten(1) for value in values], 1)


SIZES = ((7, 5), (9, 13), (3, 4))
MODES = ("STRICT_ALIGN_CORNERS", "UNALIGN_CORNERS", "DEFAULT")


def resized(x: Any) -> Any:
    """Pictures of (1, 2, 6, 8) to other sizes, in each way that has a rule."""
    found = [
        mb.resize_bilinear(x=x, target_size_height=high, target_size_width=wide, sampling_mode=mode)
        for high, wide in SIZES
        for mode in MODES
    ]
    found += [mb.resize_nearest_neighbor(x=x, target_size_height=high, target_size_width=wide) for high, wide in SIZES]
    found += [mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.5, scale_factor_width=2.0)]
    one = mb.resize_bilinear(x=x, target_size_height=1, target_size_width=1, sampling_mode="ALIGN_CORNERS")
    return last(*found, one)


def resized_expected(x: Tensor) -> Tensor:
    found = []
    for size in SIZES:
        found += [F.interpolate(x, size, mode="bilinear", align_corners=align) for align in (True, False)]
        found.append(default_bilinear(x, size))
    found += [F.interpolate(x, size, mode="nearest") for size in SIZES]
    found.append(F.interpolate(x, (9, 16), mode="nearest"))
    return row(*found, x[:, :, 2:4, 3:5].mean((2, 3)))


def default_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Core ML's own default, by numpy along each axis: places i * (n - n / m) / (m - 1), no further than the last."""
    values = x.numpy()
    for axis, wanted in zip((2, 3), size, strict=True):
        old = values.shape[axis]
        places = np.minimum(np.arange(wanted) * (old - old / wanted) / (wanted - 1), old - 1)
        values = np.apply_along_axis(lambda line, at=places, n=old: np.interp(at, np.arange(n), line), axis, values)
    return torch.from_numpy(values)


def reduced(x: Any) -> Any:
    """Sums of several kinds over (1, 4, 6), and functions of single elements."""
    over = [
        kind(x=x, axes=[1], keep_dims=True)
        for kind in (mb.reduce_l1_norm, mb.reduce_l2_norm, mb.reduce_log_sum_exp, mb.reduce_prod, mb.reduce_sum_square)
    ]
    best = [mb.cast(x=kind(x=x, axis=2), dtype="fp32") for kind in (mb.reduce_argmax, mb.reduce_argmin)]
    odd = mb.logical_xor(x=mb.greater(x=x, y=np.float32(0.5)), y=mb.greater(x=x, y=np.float32(-0.5)))
    each = [kind(x=x) for kind in (mb.atan, mb.ceil, mb.exp2, mb.sign, mb.softsign)]
    each += [
        mb.clamped_relu(x=x, alpha=0.2, beta=0.7),
        mb.linear_activation(x=x, alpha=1.5, beta=-0.25),
        mb.scaled_tanh(x=x, alpha=1.5, beta=0.5),
    ]
    return last(*over, *best, mb.cast(x=odd, dtype="fp32"), *each)


def reduced_expected(x: Tensor) -> Tensor:
    over = [x.norm(1, 1), x.norm(2, 1), x.logsumexp(1), x.prod(1), (x * x).sum(1)]
    each = [x.atan(), x.ceil(), torch.pow(2, x), x.sign(), x / (1 + x.abs())]
    each += [torch.where(x >= 0, x, 0.2 * x).clamp(max=0.7), 1.5 * x - 0.25, 1.5 * (0.5 * x).tanh()]
    return row(*over, x.argmax(2), x.argmin(2), (x > 0.5) != (x > -0.5), *each)


def moved(x: Any) -> Any:
    """Elements of (1, 4, 6) in other places."""
    values, where = mb.topk(x=x, k=3, axis=2)
    low, _ = mb.topk(x=x, k=2, axis=1, ascending=True)
    sums = [mb.cumsum(x=x, axis=2, exclusive=one, reverse=back) for one in (True, False) for back in (True, False)]
    hot = mb.one_hot(indices=where, one_hot_vector_size=6, axis=-1, on_value=2.0, off_value=-1.0)
    bands = [mb.band_part(x=x, lower=a, upper=b) for a, b in ((1, 0), (-1, 2), (0, -1))]
    picked = mb.gather_nd(x=x, indices=np.array([[0, 1], [0, -1], [0, 2]], np.int32))
    pixels = mb.pixel_shuffle(x=mb.reshape(x=x, shape=[1, 4, 2, 3]), upscale_factor=2)
    turns = mb.concat(values=[x, values], axis=2)
    mixed = mb.concat(values=[x, mb.add(x=x, y=mb.fill(shape=[1, 4, 6], value=0.5))], axis=1, interleave=True)
    return last(values, mb.cast(x=where, dtype="fp32"), low, *sums, hot, *bands, picked, pixels, turns, mixed)


def moved_expected(x: Tensor) -> Tensor:
    values, where = x.sort(2, descending=True)
    low = x.sort(1).values[:, :2]
    up, down = x.cumsum(2), x.sum(2, keepdim=True) - x.cumsum(2) + x
    bands = [
        torch.stack([one.tril(b).triu(a) if b is not None else one.triu(a) for one in x])
        for a, b in ((-1, 0), (-9, 2), (0, None))
    ]
    hot = F.one_hot(where[:, :, :3], 6) * 3 - 1
    pixels = F.pixel_shuffle(x.reshape(-1, 4, 2, 3), 2)
    mixed = torch.stack([x, x + 0.5], 2).flatten(1, 2)
    kept = values[:, :, :3]
    sums = (down - x, up - x, down, up)
    turns = torch.cat([x, kept], 2)
    return row(kept, where[:, :, :3], low, *sums, hot, *bands, x[:, [1, 3, 2]], pixels, turns, mixed)


def layers() -> tuple[nn.LSTM, nn.RNN]:
    torch.manual_seed(5)
    return nn.LSTM(3, 4, bidirectional=True), nn.RNN(3, 4)


def gates(weight: Tensor) -> np.ndarray:
    i, f, z, o = weight.detach().numpy().reshape(4, 4, -1)
    return np.concatenate([i, f, o, z]).squeeze()


def recurrent(x: Any) -> Any:
    """An LSTM in both directions, each of its directions alone, and a plain layer, over (1, 5, 3)."""
    net, plain = layers()
    x = mb.transpose(x=x, perm=[1, 0, 2])
    parts = {
        f"{name}{mine}": gates(getattr(net, f"weight_{name[-2:]}_l0{its}"))
        for mine, its in (("", ""), ("_back", "_reverse"))
        for name in ("weight_ih", "weight_hh")
    }
    biases = [gates(getattr(net, f"bias_ih_l0{its}") + getattr(net, f"bias_hh_l0{its}")) for its in ("", "_reverse")]
    none, both = np.zeros((1, 4), np.float32), np.zeros((1, 8), np.float32)
    start = {"initial_h": both, "initial_c": both}
    whole = mb.lstm(
        x=x, **start, **parts, bias=biases[0], bias_back=biases[1], direction="bidirectional", output_sequence=True
    )
    start, own = {"initial_h": none, "initial_c": none}, {k: v for k, v in parts.items() if "back" not in k}
    ahead = mb.lstm(x=x, **start, **own, bias=biases[0])
    other = {"weight_ih": parts["weight_ih_back"], "weight_hh": parts["weight_hh_back"]}
    back = mb.lstm(x=x, **start, **other, bias=biases[1], direction="reverse", output_sequence=True)
    inward, across = (getattr(plain, f"weight_{side}_l0").detach().numpy() for side in ("ih", "hh"))
    bias = (plain.bias_ih_l0 + plain.bias_hh_l0).detach().numpy()
    simple = mb.rnn(x=x, initial_h=none, weight_ih=inward, weight_hh=across, bias=bias, output_sequence=True)
    return last(*whole, *ahead, *back, *simple)


def recurrent_expected(x: Tensor) -> Tensor:
    net, plain = layers()
    with torch.no_grad():
        (steps, (h, c)), (simple, end) = (one(x.transpose(0, 1)) for one in (net, plain))
    steps, h, c, simple, end = (value.transpose(0, 1) for value in (steps, h, c, simple, end))
    ahead = [h[:, 0], h[:, 0], c[:, 0]]
    return row(steps, h, c, *ahead, steps[..., 4:], h[:, 1], c[:, 1], simple, end)


def same(x: Any) -> Any:
    """Convolutions and pools that keep the size of (1, 2, 6, 7), with kernels of even and odd sizes."""
    weight = np.random.default_rng(7).normal(size=(3, 2, 3, 4)).astype(np.float32)
    found = [mb.conv(x=x, weight=weight, pad_type=kind) for kind in ("same", "same_lower")]
    found += [mb.conv(x=x, weight=weight, pad_type="same", dilations=[2, 1])]
    for pool in (mb.max_pool, mb.avg_pool):
        found.append(pool(x=x, kernel_sizes=[2, 3], strides=[1, 1], pad_type="same"))
    found.append(
        mb.avg_pool(x=x, kernel_sizes=[2, 3], strides=[1, 1], pad_type="same_lower", exclude_padding_from_average=True)
    )
    return last(*found)


def same_expected(x: Tensor) -> Tensor:
    weight = torch.from_numpy(np.random.default_rng(7).normal(size=(3, 2, 3, 4)).astype(np.float32))
    found = [F.conv2d(F.pad(x, pad), weight) for pad in ((1, 2, 1, 1), (2, 1, 1, 1))]
    found.append(F.conv2d(F.pad(x, (1, 2, 2, 2)), weight, dilation=(2, 1)))
    found.append(F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=-torch.inf), (2, 3), 1))
    found.append(F.avg_pool2d(F.pad(x, (1, 1, 0, 1)), (2, 3), 1))
    ones = F.avg_pool2d(F.pad(torch.ones_like(x), (1, 1, 1, 0)), (2, 3), 1)
    return row(*found, F.avg_pool2d(F.pad(x, (1, 1, 1, 0)), (2, 3), 1) / ones)


PROGRAMS: dict[str, Program] = {
    "resized": ((2, 6, 8), resized, resized_expected),
    "reduced": ((4, 6), reduced, reduced_expected),
    "moved": ((4, 6), moved, moved_expected),
    "recurrent": ((5, 3), recurrent, recurrent_expected),
    "same": ((2, 6, 7), same, same_expected),
}


def made(name: str, count: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """The program, its samples, and what it must give for them."""
    shape, build, expected = PROGRAMS[name]
    x = np.random.default_rng(4).normal(size=(count, *shape)).astype(np.float32)
    program = mb.program(input_specs=[mb.TensorSpec(shape=(1, *shape))], opset_version=ct.target.iOS17)(build)
    return program, x, expected(torch.from_numpy(x)).numpy().astype(np.float32)
