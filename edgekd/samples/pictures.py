"""Encoded images that go wrong in applications: of odd size, turned by EXIF, with alpha. Made from stored samples."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.samples import faults

Pixels = NDArray[Any]

# Samples that are looked through for those that show mistakes best.
MOST = 8
# EXIF tag of the orientation; 6 means: turn by 90 degrees clockwise to see it upright
ORIENTATION, TURNED = 0x0112, 6


@dataclass(frozen=True)
class Picture:
    """One encoded image: its file, what it shows, and whether every decoder must give exactly the same pixels."""

    file: str
    shows: str
    exact: bool


def write(folder: Path, samples: Pixels, how: faults.How) -> tuple[tuple[Picture, ...], dict[str, float]]:
    """Write golden images of stored samples, uint8 (N, canvas, canvas, 1 or 3), larger than these on both sides.

    Of each kind the sample is taken with which all together show every mistake of faults.py best. Returns them, and by
    how many times its limit each mistake goes beyond it.
    """
    shown: dict[str, list[dict[str, float]]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as work:
        for sample in samples[:MOST]:
            for name, (save, picture) in KINDS.items():
                save(Path(work) / name, enlarge(sample))
                shown[name].append(faults.decoded(Path(work) / name, how, picture.exact))
    every = product(range(min(MOST, len(samples))), repeat=len(KINDS))
    chosen = max(every, key=lambda rows: min(_margins(shown, rows).values()))
    for (name, (save, _)), row in zip(KINDS.items(), chosen, strict=True):
        save(folder / name, enlarge(samples[row]))
    margins = _margins(shown, chosen)
    canvases = [faults.canvas(folder / name, how) for name in KINDS]
    of_inputs = [faults.prepared(one, how) for one in canvases]
    margins |= {name: max(one[name] for one in of_inputs) for name in faults.PREPARED}
    return tuple(picture for _, picture in KINDS.values()), margins


def _margins(shown: dict[str, list[dict[str, float]]], rows: Sequence[int]) -> dict[str, float]:
    """How well one picture of each kind shows each mistake together."""
    found = [shown[name][row] for name, row in zip(KINDS, rows, strict=True)]
    return {fault: max(one[fault] for one in found) for fault in faults.DECODED}


def enlarge(sample: Pixels) -> Pixels:
    """A sample (canvas, canvas, 1 or 3) as a colour picture of odd height and width, 61 x 83 for a canvas of 28.

    A fine texture is laid over it, or all resize filters would give nearly the same.
    """
    canvas = sample.shape[0]
    height = canvas + min(canvas, 32) + 5
    height += 1 - height % 2
    width = height + 22
    image = Image.fromarray(sample[:, :, 0] if sample.shape[2] == 1 else sample).convert("RGB")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    rows, columns = np.indices((height, width))
    texture = (7 * rows + 13 * columns) % 17 * 3 - 24
    textured: Pixels = np.clip(pixels + texture[..., None], 0, 255)
    return textured.astype(np.uint8)


def _save_odd(path: Path, pixels: Pixels) -> None:
    """Store a picture in warm light."""
    Image.fromarray(_warm(pixels)).save(path)


def _save_turned(path: Path, pixels: Pixels) -> None:
    """Store a picture turned to the left, with the tag that has viewers turn it back; full colour resolution."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    turned.save(path, quality=95, subsampling=0, exif=exif)


def _save_clear(path: Path, pixels: Pixels) -> None:
    """Store a picture in warm light, opaque on the right and ever more transparent to the left."""
    alpha = np.broadcast_to(np.linspace(40, 255, pixels.shape[1]), pixels.shape[:2])
    Image.fromarray(np.dstack((_warm(pixels), alpha.astype(np.uint8)))).save(path)


def _warm(pixels: Pixels) -> Pixels:
    """In warm light, so that even a gray picture tells red from blue."""
    lit: Pixels = (pixels * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    return lit


Save = Callable[[Path, Pixels], None]
KINDS: dict[str, tuple[Save, Picture]] = {
    "odd-size.png": (_save_odd, Picture("odd-size.png", "a tinted picture of odd size", exact=True)),
    "turned.jpg": (
        _save_turned,
        Picture("turned.jpg", "a picture stored turned, with EXIF orientation 6", exact=False),
    ),
    "alpha.png": (
        _save_clear,
        Picture("alpha.png", "a tinted picture with transparent parts, which belong on white", exact=True),
    ),
}
