"""What is timed, from bundles that are whole and from those that are not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekd.commands.subjects import subject
from edgekd.errors import UsageError
from tests import tiny as tiny_files


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "golden").mkdir(parents=True)
    (folder / "signature.json").write_text(json.dumps(tiny_files.signature("image")))
    (folder / "golden/golden.json").write_text(json.dumps({"format": "onnx", "model": {"name": "student.onnx"}}))
    np.savez(folder / "golden/golden.npz", **{"raw:image": tiny_files.samples()["image"]})
    return folder


def test_a_bundle_is_fed_its_golden_samples(bundle: Path) -> None:
    found = subject(bundle)
    assert (found.format, found.model) == ("onnx", bundle / "student.onnx")
    assert (found.samples["image"] == tiny_files.samples()["image"]).all()


def cut(left: Callable[[int], int]) -> Callable[[Path], object]:
    def act(file: Path) -> None:
        whole = file.read_bytes()
        file.write_bytes(whole[: left(len(whole))])

    return act


def one_array(file: Path) -> None:
    with file.open("wb") as opened:
        np.save(opened, np.zeros(3))


def compressed_badly(file: Path) -> None:
    np.savez_compressed(file, **{"raw:image": np.zeros((1000, 8), np.float32)})
    whole = bytearray(file.read_bytes())
    start = whole.index(b"raw:image.npy") + 40
    whole[start : start + 40] = b"\xff" * 40
    file.write_bytes(whole)


@pytest.mark.parametrize(
    "spoil",
    [
        cut(lambda size: size // 2),
        cut(lambda size: size - 1),
        cut(lambda size: 3),
        cut(lambda size: 0),
        compressed_badly,
        lambda file: file.unlink(),
        one_array,
        lambda file: np.savez(file, other=np.zeros(3)),
        lambda file: file.with_name("golden.json").write_text("[]"),
        lambda file: file.with_name("golden.json").write_text('{"format": "onnx", "model": {"name": 3}}'),
    ],
)
def test_a_bundle_that_is_not_whole_is_told_of_in_one_sentence(bundle: Path, spoil: Callable[[Path], object]) -> None:
    spoil(bundle / "golden/golden.npz")
    with pytest.raises(UsageError, match=r"is not a whole bundle: .*\. Run: edgekd verify ") as caught:
        subject(bundle)
    assert len(caught.value.problems) == 1
