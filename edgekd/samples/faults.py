"""How applications get a golden picture wrong, and by how many times the allowed difference each mistake shows.

A golden set is worth something only if it tells these mistakes from the right way, so its pictures are chosen by them.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgekd.runtimes import preprocess, replay

Array = NDArray[Any]
How = Mapping[str, Any]

# What other pipelines take for mean and std.
ELSEWHERE = ((0.0, 1.0), (0.5, 0.5), (0.456, 0.225), (0.485, 0.229))
DECODED = ("bgr", "filter", "crop", "exif", "alpha")
PREPARED = ("mean", "layout", "dtype")


def canvas(path: Path, how: How) -> Array:
    """What a picture has to be decoded to, uint8 (canvas, canvas, 1 or 3)."""
    return preprocess.decode(path, how["canvas"], replay.channels(how), how["filter"])


def decoded(path: Path, how: How, exact: bool) -> dict[str, float]:
    """For each mistake of decoding the times by which the least form of it goes beyond what is allowed."""
    right = canvas(path, how).astype(np.int16)
    return {
        name: min(_levels(np.abs(wrong.astype(np.int16) - right), exact) for wrong in WRONG[name](path, how))
        for name in DECODED
    }


def prepared(stored: Array, how: How) -> dict[str, float]:
    """The same of the steps from a canvas, uint8 (canvas, canvas, 1 or 3), to the network's input."""
    right = preprocess.prepare(stored[None], how)
    limit = replay.PREPARED * max(1.0, float(np.abs(right).max()))
    found = {
        "mean": _other_means(stored, how),
        "layout": [_moved(right, how)],
        "dtype": _other_types(stored, right, how),
    }
    return {name: min(float(np.abs(wrong - right).max()) / limit for wrong in found[name]) for name in PREPARED}


def _levels(gaps: Array, exact: bool) -> float:
    """Times the allowed difference; where no difference is allowed, levels."""
    largest, mean = float(gaps.max()), float(gaps.mean())
    return largest if exact else max(largest / replay.JPEG_LARGEST, mean / replay.JPEG_MEAN)


def _picture(path: Path) -> Image.Image:
    """A golden picture as it is shown, RGB or RGBA."""
    with Image.open(path) as image:
        return _colour(ImageOps.exif_transpose(image))


def _colour(image: Image.Image) -> Image.Image:
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _from(picture: Image.Image, how: How, filter: str = "") -> Array:
    """The canvas of a picture that is in memory."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return preprocess.decode(file.getvalue(), how["canvas"], replay.channels(how), filter or how["filter"])


def _bgr(path: Path, how: How) -> Iterator[Array]:
    red, green, blue, *alpha = _picture(path).split()
    yield _from(Image.merge("RGBA" if alpha else "RGB", (blue, green, red, *alpha)), how)


def _filter(path: Path, how: How) -> Iterator[Array]:
    picture = _picture(path)
    for name in preprocess.FILTERS:
        if name != how["filter"]:
            yield _from(picture, how, name)
    side, short = how["canvas"], min(picture.size)
    nearest = picture.resize(tuple(round(n * side / short) for n in picture.size), Image.Resampling.NEAREST)
    yield _from(nearest, how)


def _crop(path: Path, how: How) -> Iterator[Array]:
    side = (how["canvas"], how["canvas"])
    yield _from(_picture(path).resize(side, preprocess.resampling(how["filter"])), how)


def _exif(path: Path, how: How) -> Iterator[Array]:
    with Image.open(path) as image:
        yield _from(_colour(image), how)


def _alpha(path: Path, how: How) -> Iterator[Array]:
    yield _from(_picture(path).convert("RGB"), how)


WRONG: dict[str, Callable[[Path, How], Iterator[Array]]] = {
    "bgr": _bgr,
    "filter": _filter,
    "crop": _crop,
    "exif": _exif,
    "alpha": _alpha,
}


def _other_means(stored: Array, how: How) -> list[Array]:
    """Inputs by means and deviations of other pipelines."""
    count = len(how["mean"])
    others = [((mean,) * count, (std,) * count) for mean, std in ELSEWHERE]
    changed = [dict(how) | {"mean": mean, "std": std} for mean, std in others]
    own = (tuple(how["mean"]), tuple(how["std"]))
    return [preprocess.prepare(stored[None], one) for one in changed if (one["mean"], one["std"]) != own]


def _moved(right: Array, how: How) -> Array:
    """The same numbers with channels first where they belong last, or last where first; of one channel, transposed."""
    first = how["layout"] == "NCHW"
    if right.shape[1 if first else 3] == 1:
        turned: Array = right.swapaxes(2, 3) if first else right.swapaxes(1, 2)
        return turned
    other: Array = np.ascontiguousarray(right.transpose(0, 2, 3, 1) if first else right.transpose(0, 3, 1, 2))
    return other.reshape(right.shape)


def _other_types(stored: Array, right: Array, how: How) -> list[Array]:
    """Levels that were not divided by 255, and values cut to whole numbers."""
    levels = preprocess.prepare(stored[None], dict(how) | {"mean": [m / 255 for m in how["mean"]]}) * np.float32(255)
    return [levels, np.trunc(right)]
