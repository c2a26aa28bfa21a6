"""Rules for operators that move elements and compute nothing."""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.mil.given import Arguments, Rule


def reshape(given: Arguments) -> Tensor:
    """To a shape; a 0 there is the size of the same dimension counted from the right, or 1."""
    x, shape = given.tensor("x"), given.integers("shape")
    back = [*reversed(x.shape), *[1] * len(shape)]
    return x.reshape([size or back[len(shape) - 1 - i] for i, size in enumerate(shape)])


def expand_dims(given: Arguments) -> Tensor:
    x, axes = given.tensor("x"), given.integers("axes")
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(given: Arguments) -> Tensor:
    x = given.tensor("x")
    axes = given.integers("axes", [i for i, size in enumerate(x.shape) if size == 1])
    return x.squeeze(tuple(axes))


def concat(given: Arguments) -> Tensor:
    """One after the other along an axis, or their slices in turn."""
    values, axis = given.tensors("values"), given.integer("axis")
    if given.flag("interleave"):
        axis %= values[0].dim()
        return torch.stack(values, axis + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


def split(given: Arguments) -> list[Tensor]:
    x, axis = given.tensor("x"), given.integer("axis")
    if "split_sizes" in given:
        return list(torch.split_with_sizes(x, given.integers("split_sizes"), axis))
    return list(x.chunk(given.integer("num_splits"), axis))


def slice_by_index(given: Arguments) -> Tensor:
    """As x[begin:end:stride] does it, dimension by dimension; a masked end is left open, a squeezed one is an index."""
    x = given.tensor("x")
    count = x.dim()
    begin, end, stride = given.integers("begin"), given.integers("end"), given.integers("stride", [1] * count)
    no_begin, no_end = given.flags("begin_mask", count), given.flags("end_mask", count)
    squeezed = given.flags("squeeze_mask", count)
    for axis, size in enumerate(x.shape):
        first = None if no_begin[axis] else begin[axis]
        if squeezed[axis]:
            kept = [range(size)[first or 0]]
        else:
            kept = list(range(size)[slice(first, None if no_end[axis] else end[axis], stride[axis])])
        if kept != list(range(size)):
            x = x.index_select(axis, torch.tensor(kept, dtype=torch.long))
    return x.squeeze(tuple(axis for axis in range(count) if squeezed[axis])) if any(squeezed) else x


def crop(given: Arguments) -> Tensor:
    """Without the first and last rows and columns of pictures."""
    x = given.tensor("x")
    (top, bottom), (left, right) = given.integers("crop_height"), given.integers("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def reverse(given: Arguments) -> Tensor:
    x = given.tensor("x")
    return x.flip(given.integers("axes", range(x.dim())))


def slice_by_size(given: Arguments) -> Tensor:
    x = given.tensor("x")
    for axis, (begin, size) in enumerate(zip(given.integers("begin"), given.integers("size"), strict=True)):
        x = x.narrow(axis, begin, x.shape[axis] - begin if size == -1 else size)
    return x


def gather(given: Arguments) -> Tensor:
    """Whole slices of x at the indices of one axis."""
    x, indices, axis = given.tensor("x"), given.tensor("indices"), given.integer("axis", 0)
    if given.integer("batch_dims", 0):
        raise given.refused("with batch_dims")
    axis %= x.dim()
    found = x.index_select(axis, indices.reshape(-1))
    return found.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def gather_along_axis(given: Arguments) -> Tensor:
    return torch.gather(given.tensor("x"), given.integer("axis", 0), given.tensor("indices"))


def pad(given: Arguments) -> Tensor:
    """Before and after each of the last dimensions, given in their order."""
    x, sizes, mode = given.tensor("x"), given.integers("pad"), given.text("mode", "constant")
    while len(sizes) > 2 and sizes[:2] == [0, 0]:
        sizes = sizes[2:]
    flat = [size for i in range(len(sizes) - 2, -1, -2) for size in sizes[i : i + 2]]
    if mode == "constant":
        return F.pad(x, flat, value=given.number("constant_val", 0.0))
    return F.pad(x, flat, mode=mode)


def cumsum(given: Arguments) -> Tensor:
    """Sums up to each place, from the end if reversed, without itself if exclusive."""
    x, axis, back = given.tensor("x"), given.integer("axis", 0), given.flag("reverse")
    y = x.flip(axis).cumsum(axis).flip(axis) if back else x.cumsum(axis)
    return y - x if given.flag("exclusive") else y


def one_hot(given: Arguments) -> Tensor:
    indices, size = given.tensor("indices"), given.integer("one_hot_vector_size")
    if given.integer("axis", -1) not in (-1, indices.dim()):
        raise given.refused("along another axis than the last")
    hot = indices.unsqueeze(-1) == torch.arange(size)
    on, off = given.optional("on_value"), given.optional("off_value")
    one = torch.tensor(1) if on is None else on
    return torch.where(hot, one, torch.zeros_like(one) if off is None else off)


def fill(given: Arguments) -> Tensor:
    """One value everywhere."""
    return given.tensor("value").expand(given.integers("shape"))


def band_part(given: Arguments) -> Tensor:
    """Zero but for so many diagonals below and above the middle one; all of them where that is -1."""
    x, lower, upper = given.tensor("x"), given.integer("lower", -1), given.integer("upper", -1)
    x = x if lower < 0 else x.triu(-lower)
    return x if upper < 0 else x.tril(upper)


def topk(given: Arguments) -> list[Tensor]:
    """The largest (or smallest) along an axis in order, and their indices."""
    x, axis, smallest = given.tensor("x"), given.integer("axis", -1), given.flag("ascending")
    values, indices = x.topk(given.integer("k", 1), axis, largest=not smallest)
    return [values, indices][: 2 if given.flag("return_indices", True) else 1]


def gather_nd(given: Arguments) -> Tensor:
    """What stands at each vector of indices of the first axes."""
    x, indices = given.tensor("x"), given.tensor("indices")
    if given.integer("batch_dims", 0):
        raise given.refused("with batch_dims")
    count = indices.shape[-1]
    flat = torch.zeros_like(indices[..., 0])
    for axis in range(count):
        size = x.shape[axis]
        flat = flat * size + indices[..., axis] % size
    found = x.flatten(0, count - 1).index_select(0, flat.reshape(-1))
    return found.reshape([*flat.shape, *x.shape[count:]])


RULES: dict[str, Rule] = {
    "band_part": band_part,
    "cumsum": cumsum,
    "fill": fill,
    "gather_nd": gather_nd,
    "one_hot": one_hot,
    "pixel_shuffle": lambda given: F.pixel_shuffle(given.tensor("x"), given.integer("upscale_factor")),
    "topk": topk,
    "concat": concat,
    "crop": crop,
    "expand_dims": expand_dims,
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "identity": lambda given: given.tensor("x"),
    "pad": pad,
    "reshape": reshape,
    "reverse": reverse,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "split": split,
    "squeeze": squeeze,
    "stack": lambda given: torch.stack(given.tensors("values"), given.integer("axis")),
    "tile": lambda given: given.tensor("x").repeat(given.integers("reps")),
    "transpose": lambda given: given.tensor("x").permute(given.integers("perm")),
}
