"""Prepared batches of a split's part, and the augmented views of its images that (seed, sample, view) determine.

The teacher labels view v of a sample once; a student that later trains on view v of it must see the very same pixels,
whatever batch it is in. So the augmentation is a pure function of seed, sample number and view, and views are made here
and nowhere else.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.results import Signature, Splits, TensorSpec
from edgekd.runtimes import preprocess, tensors
from edgekd.spec import Part
from edgekd.workspace import Workspace

Array = NDArray[Any]

# A Feed keeps resized views up to this many bytes; views beyond it are resized again whenever they are asked for.
CACHE_BYTES = 512 * 1024**2
SHIFT = 14


def augment(images: NDArray[np.uint8], rows: Array, view: int, seed: int, mirror: bool = True) -> NDArray[np.uint8]:
    """Shift each image by up to 1/14 of its side and, with `mirror`, mirror half of them; view 0 is them as they are.

    `images` is uint8 (N, side, side, C), `rows` the N sample numbers in their part. Edges are repeated where an image
    moves in. What happens to an image depends on (seed, row, view) and `mirror` alone.
    """
    if view == 0 or not len(images):
        return images
    side = images.shape[1]
    reach = side // SHIFT
    bits = _random(np.asarray(rows), view, seed)
    flipped = _mirrored(bits) & mirror
    steps = np.arange(side, dtype=np.int64)
    vertical = np.clip(steps + _field(bits, 8, 2 * reach + 1)[:, None] - reach, 0, side - 1)
    horizontal = np.clip(steps + _field(bits, 32, 2 * reach + 1)[:, None] - reach, 0, side - 1)
    horizontal = np.where(flipped[:, None], side - 1 - horizontal, horizontal)
    first = np.arange(len(images), dtype=np.int64)[:, None, None] * side * side
    pixel = first + vertical[:, :, None] * side + horizontal[:, None, :]
    moved: NDArray[np.uint8] = np.take(images.reshape(len(images) * side * side, -1), pixel.ravel(), axis=0)
    return moved.reshape(images.shape)


def mirrored(rows: Array, view: int, seed: int) -> NDArray[np.bool_]:
    """Which of these samples a view shows mirrored, unless mirroring is switched off."""
    chosen = _mirrored(_random(np.asarray(rows), view, seed))
    return chosen if view else np.zeros_like(chosen)


def _mirrored(bits: NDArray[np.uint64]) -> NDArray[np.bool_]:
    flips: NDArray[np.bool_] = _field(bits, 0, 2) == 1
    return flips


def _field(bits: NDArray[np.uint64], start: int, choices: int) -> NDArray[np.int64]:
    """24 of the bits, from `start` upwards, as a number in 0..choices-1."""
    number = (bits >> np.uint64(start)) & np.uint64(0xFFFFFF)
    return (number % np.uint64(choices)).astype(np.int64)


def _random(rows: Array, view: int, seed: int) -> NDArray[np.uint64]:
    """64 random bits a row, by the finalizer of SplitMix64 over seed, view and row.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    state = np.zeros(len(rows), np.uint64)
    with np.errstate(over="ignore"):
        for word in (np.uint64(seed & 0xFFFFFFFFFFFFFFFF), np.uint64(view), rows.astype(np.uint64)):
            state = (state ^ word) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


class Feed:
    """Prepared inputs of one part, for one network.

    `signature` says which inputs and how images become them. `count` is the number of samples, `labels` int64 (-1:
    unlabelled), `targets` float64 (N, columns) the numbers to be told, if any, `heads` int64 (N, heads) the labels of
    several heads. With `augment` False, and for inputs
    that are not images, every view is view 0. Without `mirror` no view is mirrored.
    """

    def __init__(
        self,
        workspace: Workspace,
        splits: Splits,
        part: Part,
        signature: Signature,
        augment: bool,
        seed: int,
        mirror: bool = True,
    ) -> None:
        files = splits.parts[part]
        self.count = files.count
        self.labels: NDArray[np.int64] = np.array(workspace.load(files.labels), np.int64)
        self.targets = None if files.targets is None else np.array(workspace.load(files.targets), np.float64)
        self.heads = None if files.heads is None else np.array(workspace.load(files.heads), np.int64)
        self.groups = None if files.groups is None else np.array(workspace.load(files.groups), np.int64)
        self._specs = signature.inputs
        # asarray keeps the memory map but drops np.memmap, whose indexing is slower
        self._stored: Mapping[str, Array] = {
            spec.name: np.asarray(workspace.load(files.inputs[spec.name])) for spec in signature.inputs
        }
        self._preprocess = {s.name: s.preprocess.model_dump() for s in signature.inputs if s.preprocess is not None}
        self._augment, self._seed, self._mirror = augment, seed, mirror
        self._cache: dict[tuple[str, int], tuple[Array, NDArray[np.bool_]]] = {}
        self._room = CACHE_BYTES

    def batch(self, rows: Array, view: int = 0) -> dict[str, Array]:
        """Inputs by name for these sample numbers: prepared images and floats as float32, ids and masks as they are."""
        rows = np.asarray(rows, np.int64)
        return {spec.name: self._input(spec, rows, view if self._augment else 0) for spec in self._specs}

    def _input(self, spec: TensorSpec, rows: NDArray[np.int64], view: int) -> Array:
        if spec.name not in self._preprocess:
            return _typed(self._stored[spec.name][rows], spec)
        settings = self._preprocess[spec.name]
        if settings["size"] == settings["canvas"]:
            return preprocess.prepare(self._view(spec.name, rows, view), settings)
        return preprocess.normalize(self._resized(spec.name, rows, view), settings)

    def _view(self, name: str, rows: NDArray[np.int64], view: int) -> Array:
        return augment(self._stored[name][rows], rows, view, self._seed, self._mirror)

    def _resized(self, name: str, rows: NDArray[np.int64], view: int) -> Array:
        """A view's pixels after resizing, from memory where they were made before and views still fit."""
        settings = self._preprocess[name]
        if (name, view) not in self._cache:
            channels = 1 if settings["channels"] == "gray" else 3
            shape = (self.count, settings["size"], settings["size"], channels)
            if np.prod(shape) > self._room:
                return preprocess.pixels(self._view(name, rows, view), settings)
            self._room -= int(np.prod(shape))
            self._cache[name, view] = np.empty(shape, np.uint8), np.zeros(self.count, np.bool_)
        kept, known = self._cache[name, view]
        missing = np.unique(rows[~known[rows]])
        if len(missing):
            kept[missing] = preprocess.pixels(self._view(name, missing, view), settings)
            known[missing] = True
        chosen: Array = kept[rows]
        return chosen


def _typed(values: Array, spec: TensorSpec) -> Array:
    """Floats as float32; ids and masks in the dtype that the network declares, unless that is a quantized one.

    Audio for a network with raw input as a microphone gives it.
    """
    if spec.is_raw:
        return tensors.encode(values, spec.model_dump())
    if values.dtype.kind == "f" or spec.scale is not None:
        return values.astype(np.float32, copy=False)
    return values.astype(spec.dtype, copy=False)
