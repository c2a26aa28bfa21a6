"""Fashion-MNIST's own files: read, or named when they are missing or not the published ones."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgekd.datasets import fashion_mnist
from edgekd.errors import UsageError
from edgekd.plugins import Canvas, Source

CANVAS = Canvas(28, "gray", "bilinear")


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape)
    return header + values.tobytes()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files in the same form, whose digests are taken for the published ones."""
    random = np.random.default_rng(0)
    digests = {}
    for name in fashion_mnist.DIGESTS:
        count = 20 if name.startswith("train") else 10
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content = idx(images if "images" in name else np.arange(count, dtype=np.uint8) % 10)
        (tmp_path / name).write_bytes(gzip.compress(content))
        digests[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(fashion_mnist, "DIGESTS", digests)
    return tmp_path


def read(folder: Path) -> Source:
    return fashion_mnist.read(fashion_mnist.Settings(), {"folder": folder}, CANVAS, False)


def test_both_parts_are_read(files: Path) -> None:
    got = read(files)
    assert got.train.inputs["image"].shape == (20, 28, 28, 1) and got.train.labels.tolist() == [*range(10)] * 2
    assert got.test is not None and got.test.inputs["image"].shape == (10, 28, 28, 1)
    assert got.classes[9] == "Ankle boot" and len(got.classes) == 10


def test_another_compressor_makes_no_difference(files: Path) -> None:
    name = "train-images-idx3-ubyte.gz"
    (files / name).write_bytes(gzip.compress(gzip.decompress((files / name).read_bytes()), 1))
    assert len(read(files).train.labels) == 20


def test_missing_files_say_what_to_install(files: Path) -> None:
    (files / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UsageError, match=r"lacks t10k-labels-idx1-ubyte\.gz\. Run: sudo apt install dataset-fashion"):
        read(files)


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"something else", mtime=0)])
def test_damaged_files_are_named(files: Path, content: bytes) -> None:
    (files / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(UsageError, match=r"train-labels-idx1-ubyte\.gz is damaged or not Fashion-MNIST's"):
        read(files)
