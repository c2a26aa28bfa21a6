"""From an encoded image to a network's input: the one implementation for training, calibration, devices and bundles.

decode, EXIF orientation, alpha on white, channels, shorter side to `canvas`, central cut; then channel order, resize to
`size`, (x / 255 - mean) / std, layout. Colour profiles are ignored and of an animation the first frame counts, as in
the usual training pipelines. Needs numpy; Pillow only to decode and to resize.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

try:
    from PIL import Image, ImageOps
except ModuleNotFoundError:  # a board that is fed raw tensors does without
    Image = ImageOps = None  # type: ignore[assignment]

MISSING = "Pillow is needed to decode or resize images. Run: pip install pillow"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
FILTERS = ("bilinear", "bicubic", "lanczos", "box")
# Longer strips are cut to this ratio first, or a file of a few kilobytes could ask for gigabytes.
LONGEST = 8
# What Pillow raises on files that are damaged in one way or another.
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error)


def decode(source: Path | str | bytes, canvas: int, channels: str, filter: str = "bilinear") -> np.ndarray[Any, Any]:
    """Decode a PNG, JPEG, WebP or BMP file to a central square: uint8 (canvas, canvas, 1 for "gray" or 3 for "rgb").

    Raises ValueError if the bytes are not such an image, OSError if the file cannot be read, ModuleNotFoundError
    without Pillow.
    """
    method = resampling(filter)
    if channels not in ("gray", "rgb"):
        raise ValueError(f"images are decoded to gray or rgb, not {channels!r}")
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            upright = _upright(image)
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        raise ValueError(f"not a readable {', '.join(FORMATS)} image ({type(error).__name__}: {error})") from error
    square = _central(_flat(upright).convert("L" if channels == "gray" else "RGB"), canvas, method)
    return np.asarray(square, np.uint8).reshape(canvas, canvas, -1)


def prepare(images: np.ndarray[Any, Any], preprocess: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Turn stored images, uint8 (N, canvas, canvas, C), into float32 input; each image alone or in any batch alike.

    `preprocess` has the fields of results.Preprocess. Raises ValueError where shapes or numbers of channels disagree.
    """
    return normalize(pixels(images, preprocess), preprocess)


def pixels(images: np.ndarray[Any, Any], preprocess: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The first half of `prepare`: channel order and size, still uint8 (N, size, size, channels)."""
    canvas = preprocess["canvas"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:3] != (canvas, canvas):
        raise ValueError(f"images must be uint8 (N, {canvas}, {canvas}, C), not {images.dtype} {images.shape}")
    return resize(ordered(images, preprocess["channels"]), preprocess["size"], preprocess["filter"])


def normalize(images: np.ndarray[Any, Any], preprocess: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The second half of `prepare`: uint8 (N, size, size, C) -> (x / 255 - mean) / std, float32 in the layout."""
    first = preprocess["layout"] == "NCHW"
    shape = (-1, 1, 1) if first else (-1,)
    mean = np.asarray(preprocess["mean"], np.float32)
    std = np.asarray(preprocess["std"], np.float32)
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, images.shape[3]):
            raise ValueError(f"{name} has {len(values)} values for {images.shape[3]} channels")
    values = np.ascontiguousarray(images.transpose(0, 3, 1, 2) if first else images).astype(np.float32)
    values /= np.float32(255)
    values -= mean.reshape(shape)
    values /= std.reshape(shape)
    return values


def resize(images: np.ndarray[Any, Any], size: int, filter: str) -> np.ndarray[Any, Any]:
    """Resize square images, uint8 (N, side, side, C) -> (N, size, size, C), by Pillow, one at a time."""
    if images.shape[1] == size:
        return images
    method = resampling(filter)
    result = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for i, image in enumerate(images):
        result[i] = np.asarray(picture(image).resize((size, size), method)).reshape(size, size, -1)
    return result


def picture(image: np.ndarray[Any, Any]) -> Any:
    """One image, uint8 (H, W, 1 or 3), as Pillow has it. Raises ModuleNotFoundError without Pillow."""
    if Image is None:
        raise ModuleNotFoundError(MISSING, name="PIL")
    return Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image))


def square(image: np.ndarray[Any, Any], canvas: int, filter: str) -> np.ndarray[Any, Any]:
    """Bring one image, uint8 (H, W, 1 or 3), to (canvas, canvas, same): shorter side to canvas, central cut."""
    if image.shape[:2] == (canvas, canvas):
        return image
    cut = _central(picture(image), canvas, resampling(filter))
    return np.asarray(cut, np.uint8).reshape(canvas, canvas, -1)


def resampling(filter: str) -> Any:
    """Pillow's constant for a filter's name."""
    if Image is None:
        raise ModuleNotFoundError(MISSING, name="PIL")
    if filter not in FILTERS:
        raise ValueError(f"there is no resize filter {filter!r}; choose from: {', '.join(FILTERS)}")
    return Image.Resampling[filter.upper()]


def _upright(image: Any) -> Any:
    """Load the pixels and turn them as the EXIF orientation says."""
    image.load()
    turned = ImageOps.exif_transpose(image)
    return image.copy() if turned is None else turned


def _flat(image: Any) -> Any:
    """An 8-bit image without alpha: transparent parts become white, 16-bit gray keeps its upper byte's meaning."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        gray = ((values + 128) // 257).astype(np.uint8)
        if "transparency" in image.info:
            gray[values == image.info["transparency"]] = 255
        return Image.fromarray(gray)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _central(image: Any, canvas: int, method: Any) -> Any:
    """Resize the shorter side to `canvas`, then cut the centre."""
    short = min(image.size)
    if max(image.size) > LONGEST * short:
        image = _cut(image, min(image.width, LONGEST * short), min(image.height, LONGEST * short))
    width, height = (canvas if side == short else round(side * canvas / short) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), method)
    return _cut(image, canvas, canvas)


def _cut(image: Any, width: int, height: int) -> Any:
    """The centre of an image; of an odd rest the smaller half is cut at the left and the top."""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def ordered(images: np.ndarray[Any, Any], channels: str) -> np.ndarray[Any, Any]:
    """Stored gray or rgb -> gray, rgb or bgr. Gray of colour is ITU-R 601 luma, rounded as Pillow does."""
    stored = images.shape[3]
    if stored not in (1, 3):
        raise ValueError(f"stored images have 1 or 3 channels, not {stored}")
    if channels == "gray":
        if stored == 1:
            return images
        luma = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
        return ((luma + 32768) >> 16).astype(np.uint8)[..., None]
    if channels not in ("rgb", "bgr"):
        raise ValueError(f"there is no channel order {channels!r}; choose from: gray, rgb, bgr")
    if stored == 1:
        return np.repeat(images, 3, axis=3)
    return images if channels == "rgb" else images[..., ::-1]
