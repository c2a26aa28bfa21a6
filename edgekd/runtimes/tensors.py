"""From stored samples to a file's own tensors and back: one path for prediction, timing, memory and replays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import preprocess
from .fault import Fault

Array = np.ndarray[Any, Any]
Spec = dict[str, Any]
# Most bytes of stored samples that are prepared at once; prepared ones are up to four times as large.
CHUNK = 8 << 20


def tensor(name: str, shape: Sequence[object], dtype: str) -> Spec:
    """One tensor of a file alone; -1 for every dimension that is open."""
    return {"name": name, "shape": [n if isinstance(n, int) and n >= 0 else -1 for n in shape], "dtype": dtype}


class Samples:
    """Samples of a request: arrays in .npy files by input name ("inputs"), or encoded images ("files").

    Where the signature has a `preprocess`, arrays are stored images, unless the request says that they are `prepared`.
    """

    def __init__(self, request: dict[str, Any], folder: Path) -> None:
        self._specs: list[Spec] = request["signature"]["inputs"]
        self._prepared = bool(request.get("prepared", False))
        self._files = [folder / name for name in request.get("files", ())]
        named = request.get("inputs", {})
        if self._files:
            if len(self._specs) != 1 or not self._specs[0].get("preprocess"):
                raise Fault("encoded images can only be fed to a network with one input that is an image")
            self.count = len(self._files)
            return
        missing = [spec["name"] for spec in self._specs if spec["name"] not in named]
        if missing:
            raise Fault(f"there are no samples for the input {', '.join(missing)}; given: {', '.join(named) or 'none'}")
        self._arrays = [_open(folder / named[spec["name"]]) for spec in self._specs]
        counts = {len(array) for array in self._arrays}
        if len(counts) != 1 or not min(counts):
            raise Fault(f"inputs need the same number of samples, at least one: {sorted(counts)}")
        self.count = counts.pop()

    def chunk(self, batch: int) -> int:
        """How many samples to prepare at once so that memory stays bounded: a multiple of `batch`."""
        if self._files:
            canvas = self._specs[0]["preprocess"]["canvas"]
            bytes_each = 3 * int(canvas) ** 2
        else:
            bytes_each = sum(array.nbytes // len(array) for array in self._arrays)
        return max(1, CHUNK // max(1, bytes_each) // batch) * batch

    def prepare(self, start: int, stop: int) -> list[Array]:
        """Inputs of samples start..stop in the signature's order, shapes and types. Raises Fault."""
        if self._files:
            return [encode(_decoded(self._files[start:stop], self._specs[0]["preprocess"]), self._specs[0])]
        return [self._one(i, start, stop) for i in range(len(self._specs))]

    def _one(self, i: int, start: int, stop: int) -> Array:
        # a copy: runtimes want memory that is theirs to write, and the clock must not wait for pages of a file
        spec, values = self._specs[i], np.array(self._arrays[i][start:stop])
        if spec.get("preprocess") and not self._prepared:
            values = _prepared(values, spec["preprocess"])
        return encode(values, spec)


def encode(values: Array, spec: Spec) -> Array:
    """Values as an input wants them: its type, quantized where it has a scale. Raises Fault for another shape."""
    shape, scale = tuple(spec["shape"][1:]), spec.get("scale")
    dtype: np.dtype[Any] = np.dtype(spec["dtype"])
    if values.ndim != len(shape) + 1 or any(want not in (-1, values.shape[i + 1]) for i, want in enumerate(shape)):
        raise Fault(f"the input {spec['name']} has shape (N, {', '.join(map(str, shape))}), the samples {values.shape}")
    if scale is not None and values.dtype != dtype:
        limits = np.iinfo(dtype)
        steps = np.rint(values.astype(np.float32) / np.float32(scale)) + (spec.get("zero_point") or 0)
        return np.ascontiguousarray(np.clip(steps, limits.min, limits.max).astype(dtype))
    if dtype.kind in "iu" and values.dtype.kind == "f":
        raise Fault(f"the input {spec['name']} is {dtype}, without a scale, but the samples are {values.dtype}")
    return np.ascontiguousarray(values, dtype=dtype)


def decode(values: Array, spec: Spec) -> Array:
    """An output as float32, dequantized where it has a scale."""
    plain = np.asarray(values).astype(np.float32)
    scale = spec.get("scale")
    return plain if scale is None else (plain - np.float32(spec.get("zero_point") or 0)) * np.float32(scale)


def pad(arrays: Sequence[Array], batch: int) -> list[Array]:
    """Fill a last, smaller batch by repeating its last sample."""
    return [
        a if len(a) == batch else np.ascontiguousarray(np.concatenate((a, np.repeat(a[-1:], batch - len(a), axis=0))))
        for a in arrays
    ]


def match(wanted: Sequence[str], own: Sequence[str], what: str) -> list[int]:
    """Where each wanted name is among a file's own names; by position if it has none of them. Raises Fault."""
    if set(wanted) <= set(own):
        return [list(own).index(name) for name in wanted]
    if len(wanted) == len(own) and not set(wanted) & set(own):
        return list(range(len(own)))
    raise Fault(f"the signature's {what} ({', '.join(wanted)}) are not those of the file ({', '.join(own)})")


def names(signature: dict[str, Any], side: str) -> list[str]:
    """Names of a signature's "inputs" or "outputs"."""
    return [spec["name"] for spec in signature[side]]


def cast(values: Array, dtype: Any, name: str) -> Array:
    """A fed array in the file's own type; only widths may differ (64-bit ids in a 32-bit file). Raises Fault."""
    if values.dtype == dtype:
        return values
    if values.dtype.kind != np.dtype(dtype).kind:
        raise Fault(f"the input {name} of the file is {np.dtype(dtype)}, the signature says {values.dtype}")
    return values.astype(dtype)


def _open(path: Path) -> Array:
    """Memory-map an .npy file."""
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise Fault(f"{path.name} is not a readable .npy file: {error}") from error
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise Fault(f"{path.name} does not hold an array of samples")
    return array


def _prepared(images: Array, how: dict[str, Any]) -> Array:
    try:
        return preprocess.prepare(images, how)
    except (ValueError, ModuleNotFoundError) as error:
        raise Fault(str(error)) from error


def _decoded(files: Sequence[Path], how: dict[str, Any]) -> Array:
    """Decode image files and prepare them."""
    channels = "gray" if how["channels"] == "gray" else "rgb"
    images = []
    for file in files:
        try:
            images.append(preprocess.decode(file, how["canvas"], channels, how["filter"]))
        except (ValueError, ModuleNotFoundError) as error:
            raise Fault(f"{file.name}: {error}") from error
    return _prepared(np.stack(images), how)
