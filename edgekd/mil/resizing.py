"""Rules for operators that resize pictures: where each new row and column looks in the old picture."""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.mil.given import Arguments, Rule

SIDES = ((-2, "height"), (-1, "width"))


def upsample_nearest(given: Arguments) -> Tensor:
    """Each pixel as many times as the factors say; for factors that are not whole, that of the place it comes from."""
    x = given.tensor("x")
    return _nearest(x, [int(x.shape[axis] * given.number(f"scale_factor_{side}", 1.0)) for axis, side in SIDES])


def resize_nearest(given: Arguments) -> Tensor:
    return _nearest(given.tensor("x"), [given.integer(f"target_size_{side}") for _, side in SIDES])


def _nearest(x: Tensor, sizes: list[int]) -> Tensor:
    for (axis, _), size in zip(SIDES, sizes, strict=True):
        x = x.index_select(axis, torch.arange(size) * x.shape[axis] // size)
    return x


def upsample_bilinear(given: Arguments) -> Tensor:
    x, align = given.tensor("x"), given.flag("align_corners", True)
    if not given.flag("half_pixel_centers", not align) and not align:
        raise given.refused("without half_pixel_centers")
    sizes = [int(x.shape[axis] * given.number(f"scale_factor_{side}", 1.0)) for axis, side in SIDES]
    return F.interpolate(x, size=sizes, mode="bilinear", align_corners=align)


def resize_bilinear(given: Arguments) -> Tensor:
    """A mean of the two rows (and columns) beside each place that the sampling mode names."""
    x, mode = given.tensor("x"), given.text("sampling_mode", "DEFAULT")
    for axis, side in SIDES:
        old, size = x.shape[axis], given.integer(f"target_size_{side}", 1)
        at = _places(given, mode, old, size).clamp(0, old - 1)
        low = at.floor().long()
        high = (low + 1).clamp(max=old - 1)
        share = (at - low).float()
        share = share.unsqueeze(-1) if axis == -2 else share
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x


def _places(given: Arguments, mode: str, old: int, size: int) -> Tensor:
    """Where each of `size` new places lies among the old ones."""
    numbers = torch.arange(size, dtype=torch.float64)
    match mode:
        case "STRICT_ALIGN_CORNERS" | "ALIGN_CORNERS" if size > 1:
            return numbers * (old - 1) / (size - 1)
        case "ALIGN_CORNERS":
            return numbers + (old - 1) / 2
        case "DEFAULT" if size > 1:
            return numbers * (old - old / size) / (size - 1)
        case "UNALIGN_CORNERS":
            return (numbers + 0.5) * old / size - 0.5
    raise given.refused(f"with sampling_mode {mode} to {size}")


RULES: dict[str, Rule] = {
    "resize_bilinear": resize_bilinear,
    "resize_nearest_neighbor": resize_nearest,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest,
}
