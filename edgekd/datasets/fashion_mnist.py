"""The whole of Fashion-MNIST, 60,000 training and 10,000 test images, from the files of Debian's package or a copy.

Source: Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747. Licence: MIT.
"""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Array, Canvas, Source
from edgekd.samples import pools
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy", "pillow")
EXTRA = "train"
FILES = ("folder",)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# sha256 of the uncompressed files: the answer must not depend on which copy, or which compressor, somebody has.
DIGESTS = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
LARGEST = 100 * 1024**2


class Settings(Value):
    """The folder of the four gzipped IDX files."""

    folder: str = "/usr/share/datasets/fashion-mnist"


def read(settings: Settings, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source:
    """Read the four files and check that they are the published ones; raises UsageError naming those that are not."""
    folder = files.get("folder", Path(settings.folder))
    missing = [name for name in DIGESTS if not (folder / name).is_file()]
    if missing:
        hint = "Run: sudo apt install dataset-fashion-mnist (Debian, Ubuntu), or name a folder with the four files"
        raise UsageError(Problem("data.folder", f"{folder} lacks {', '.join(missing)}", hint))
    contents = {name: _unpacked(folder / name) for name in DIGESTS}
    hint = "Fetch it again from https://github.com/zalandoresearch/fashion-mnist"
    problems = [
        Problem("data.folder", f"{folder / name} is damaged or not Fashion-MNIST's", hint)
        for name, content in contents.items()
        if hashlib.sha256(content).hexdigest() != DIGESTS[name]
    ]
    if problems:
        raise UsageError(*problems)
    parts = {
        part: {
            "image": _array(contents[f"{prefix}-images-idx3-ubyte.gz"]),
            "y": _array(contents[f"{prefix}-labels-idx1-ubyte.gz"]),
        }
        for part, prefix in (("train", "train"), ("test", "t10k"))
    }
    return pools.source(parts, dict.fromkeys(parts, f"data.folder ({folder})"), CLASSES, canvas)


def _unpacked(file: Path) -> bytes:
    """The bytes of a gzipped file; nothing where it is damaged, so that its digest is found wrong."""
    try:
        with gzip.open(file) as stream:
            return stream.read(LARGEST)
    except (OSError, EOFError, zlib.error):
        return b""


def _array(content: bytes) -> Array:
    """IDX bytes as an array of the shape in their header."""
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)
