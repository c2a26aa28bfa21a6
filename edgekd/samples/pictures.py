"""Encoded images that go wrong in applications: of odd size, turned by EXIF, with alpha. Made from stored samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]

# EXIF tag of the orientation; 6 means: turn by 90 degrees clockwise to see it upright
ORIENTATION, TURNED = 0x0112, 6


@dataclass(frozen=True)
class Picture:
    """One encoded image: its file, what it shows, and whether every decoder must give exactly the same pixels."""

    file: str
    shows: str
    exact: bool


def write(folder: Path, samples: Pixels) -> tuple[Picture, ...]:
    """Write golden images of stored samples, uint8 (N, canvas, canvas, 1 or 3), larger than these on both sides."""
    first, last = enlarge(samples[0]), enlarge(samples[-1])
    Image.fromarray(first).save(folder / "odd-size.png")
    _save_turned(folder / "turned.jpg", Image.fromarray(first))
    Image.fromarray(_with_alpha(last)).save(folder / "alpha.png")
    height, width = first.shape[:2]
    return (
        Picture("odd-size.png", f"{width} x {height} pixels", exact=True),
        Picture("turned.jpg", "the same picture, stored turned, with EXIF orientation 6", exact=False),
        Picture("alpha.png", "a tinted picture with transparent parts, which belong on white", exact=True),
    )


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


def _save_turned(path: Path, picture: Image.Image) -> None:
    """Store a picture turned to the left, with the tag that has viewers turn it back; full colour resolution."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, subsampling=0, exif=exif)


def _with_alpha(pixels: Pixels) -> Pixels:
    """A picture (H, W, 3) in warm light, opaque on the right and ever more transparent to the left: (H, W, 4)."""
    tinted = pixels * np.array([1.0, 0.8, 0.6])
    alpha = np.broadcast_to(np.linspace(40, 255, pixels.shape[1]), pixels.shape[:2])
    return np.dstack((tinted, alpha)).astype(np.uint8)
