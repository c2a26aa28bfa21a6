"""Samples as a page can show them: a small PNG inside the page (images as they are, series as curves), or words."""

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgekd.runtimes import preprocess

Array = NDArray[Any]

# Longest side of a picture in pixels, and most words of a sample that is none.
SIDE, WORDS = 96, 32
# Width and height of the picture of a series, and how many numbers in a row make one.
CURVE, LONG = (264, 72), 16
# Colours of channels, each to be read on light and on dark paper.
LINES = ((94, 141, 196), (201, 128, 54), (96, 158, 96), (178, 92, 150), (140, 140, 140), (186, 158, 60))
# What attribution paints: nothing, and most of it.
PAINT = np.array([238.0, 84.0, 52.0])
# The share of an attribution's values that stay below full paint.
FULL = 0.99


def is_picture(values: Array) -> bool:
    """Whether one stored sample is an image: (side, side, 1 or 3) of uint8."""
    return values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] in (1, 3)


def is_series(values: Array) -> bool:
    """Whether one stored sample is a series: numbers over time, (time,) or (time, channels)."""
    numbers = values.dtype.kind == "f" or values.dtype in (np.int8, np.int16)
    return numbers and values.ndim in (1, 2) and len(values) >= LONG


def curves(values: Array, weights: NDArray[np.float64] | None = None) -> str:
    """A series as a transparent PNG in a data URI, a line for each channel, over weights of its moments if given.

    Weights, none below zero, may be of fewer moments than the series has, such as those of a spectrogram.
    """
    wide, high = CURVE
    image = Image.new("RGBA", CURVE, (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if weights is not None and weights.max() > 0:
        strength = np.interp(np.linspace(0, 1, wide), np.linspace(0, 1, len(weights)), weights / weights.max())
        for x, share in enumerate(strength):
            draw.line(((x, 0), (x, high)), fill=(*(int(level) for level in PAINT), int(150 * share)))
    channels = values.reshape(len(values), -1).astype(np.float64)
    low, span = channels.min(), max(float(np.ptp(channels)), 1e-12)
    places = np.linspace(0, len(channels) - 1, min(len(channels), 2 * wide)).astype(int)
    for i, channel in enumerate(channels.T[: len(LINES)]):
        heights = (high - 5) * (1 - (channel[places] - low) / span) + 2
        points = [(float(x), float(y)) for x, y in zip(places * (wide - 1) / (len(channels) - 1), heights, strict=True)]
        draw.line(points, fill=(*LINES[i], 255))
    return _encoded(image)


def picture(values: Array) -> str:
    """An image as a PNG in a data URI, no larger than SIDE."""
    small = preprocess.resize(values[None], min(values.shape[0], SIDE), "box")[0]
    return _uri(small)


def painted(values: Array, weights: NDArray[np.float64]) -> str:
    """An image, pale, under the weights (height, width) of its pixels, none below zero, as a PNG in a data URI."""
    side = min(values.shape[0], SIDE)
    small = preprocess.resize(values[None], side, "box")
    gray = preprocess.ordered(small, "gray")[0].astype(np.float64)
    full = max(float(np.quantile(weights, FULL)), float(weights.max()) * 0.2)
    strength = np.clip(weights / full if full > 0 else weights, 0, 1)
    levels = np.round(255 * strength).astype(np.uint8)[None, :, :, None]
    strength = preprocess.resize(levels, side, "bilinear")[0].astype(np.float64) / 255
    pale = 0.55 * gray + 0.45 * 128
    mixed = pale * (1 - strength) + PAINT * strength
    return _uri(np.round(mixed).astype(np.uint8))


def _uri(pixels: NDArray[np.uint8]) -> str:
    return _encoded(preprocess.picture(pixels))


def _encoded(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def shown(
    sample: Mapping[str, Array], words: Mapping[str, Callable[[int], str]] | None = None
) -> tuple[str, tuple[str, ...]]:
    """One stored sample by input name: its picture, or else its words. Of several inputs the first one that is not a
    mask tells; what a mask of zeros and ones hides is left out. `words` tells, by input name, what an id stands for.
    """
    first = telling_input(sample)
    values = sample[first]
    if is_picture(values):
        return picture(values), ()
    if is_series(values):
        return curves(values), ()
    flat = values[kept(sample, first)].reshape(-1)
    word = (words or {}).get(first, str)
    texts = [f"{value:.3g}" if flat.dtype.kind == "f" else word(value) for value in flat[: WORDS + 1].tolist()]
    return "", (*texts[:WORDS], *(("…",) if len(texts) > WORDS else ()))


def telling_input(sample: Mapping[str, Array]) -> str:
    """The name of the first input that holds more than zeros and ones, else of the first."""
    names = list(sample)
    return next((name for name in names if not _is_mask(sample[name])), names[0])


def kept(sample: Mapping[str, Array], name: str) -> NDArray[np.bool_]:
    """Which places of an input no mask of the same length hides, along its first axis."""
    values = sample[name]
    visible = np.ones(values.shape[:1], np.bool_)
    for other, mask in sample.items():
        if other != name and mask.ndim == 1 and mask.shape == values.shape[:1] and _is_mask(mask):
            visible &= mask.astype(np.bool_)
    return visible


def _is_mask(values: Array) -> bool:
    return bool(np.isin(values, (0, 1)).all())
