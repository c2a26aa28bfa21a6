"""Samples for the zoo's networks, the same each time. They differ from each other in more than noise.

Independent noise would not do: what a network averages over a picture of noise is nearly the same for every picture,
and a file whose output does not depend on its input would pass.
"""

from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.zoo.entries import Entry, Input

Array = NDArray[np.generic]
# waves of a field, and how much noise lies over them
WAVES, NOISE = 4, 0.3


def samples(entry: Entry, count: int, seed: int) -> dict[str, Array]:
    """So many samples of each input by name."""
    random = np.random.default_rng([seed, *entry.name.encode()])
    return {name: KINDS[one.of](random, one, count) for name, one in entry.inputs.items()}


def _field(random: np.random.Generator, one: Input, count: int) -> Array:
    """Each channel a level and a few waves of its own, and noise: (N, channels, ...) or (N, length)."""
    channels = 1 if len(one.shape) == 1 else one.shape[0]
    sizes = one.shape[-1:] if len(one.shape) == 1 else one.shape[1:]
    axes = np.meshgrid(*(np.linspace(0, 1, size) for size in sizes), indexing="ij")
    found = random.normal(size=(count, channels, *[1] * len(sizes))) * np.ones(sizes)
    for _ in range(WAVES):
        turns = random.uniform(-4, 4, size=(len(sizes), count, channels, *[1] * len(sizes)))
        angle = sum(turn * axis for turn, axis in zip(turns, axes, strict=True))
        start = random.uniform(0, 1, size=(count, channels, *[1] * len(sizes)))
        found = found + random.normal(size=start.shape) * np.sin(2 * np.pi * (angle + start))
    found = found + NOISE * random.normal(size=found.shape)
    return found.reshape(count, *one.shape).astype(np.float32)


def _noise(random: np.random.Generator, one: Input, count: int) -> Array:
    return random.normal(size=(count, *one.shape)).astype(np.float32)


def _photo(random: np.random.Generator, one: Input, count: int) -> Array:
    """Squares cut from the two photographs that scikit-learn carries, from -1 to 1."""
    folder = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/images")))
    photos = [Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]
    found = []
    for number in range(count):
        photo = photos[number % 2]
        side = int(random.integers(160, 400))
        left, top = (int(random.integers(0, size - side)) for size in photo.size)
        part = photo.resize(one.shape[:0:-1], Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        found.append(np.asarray(part, np.float32).transpose(2, 0, 1) / 127.5 - 1)
    return np.stack(found)


def _ids(random: np.random.Generator, one: Input, count: int) -> Array:
    return random.integers(0, one.below, (count, *one.shape))


def _mask(random: np.random.Generator, one: Input, count: int) -> Array:
    """One where there is a word: at least a quarter of the places, from the first on."""
    (length,) = one.shape
    return (np.arange(length) < random.integers(length // 4, length + 1, (count, 1))).astype(np.int64)


KINDS: dict[str, Callable[[np.random.Generator, Input, int], Array]] = {
    "field": _field,
    "noise": _noise,
    "photo": _photo,
    "ids": _ids,
    "mask": _mask,
}
