"""Every mistake that applications make of pictures shows in golden ones, and the right way shows none."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.runtimes import preprocess
from edgekd.samples import faults, pictures


def how(canvas: int, channels: str, **changes: object) -> dict[str, object]:
    count = 1 if channels == "gray" else 3
    plain = {"canvas": canvas, "size": canvas, "channels": channels, "filter": "bilinear", "layout": "NCHW"}
    return plain | {"mean": [0.3] * count, "std": [0.2] * count} | changes


def samples(canvas: int, channels: int) -> np.ndarray:
    rows, columns = np.indices((canvas, canvas))
    plain = 200 * rows / canvas + 50 * (columns > canvas // 3)
    stack = [np.roll(np.repeat(plain[..., None], channels, 2), 3 * n, axis=1) for n in range(4)]
    return np.clip(stack, 0, 255).astype(np.uint8)


CASES = [
    (28, "gray", {}),
    (40, "rgb", {}),
    (40, "bgr", {"size": 32, "layout": "NHWC"}),
    (48, "gray", {"filter": "lanczos"}),
]


@pytest.mark.parametrize(("canvas", "channels", "changes"), CASES)
def test_a_golden_set_shows_every_mistake(
    tmp_path: Path, canvas: int, channels: str, changes: dict[str, object]
) -> None:
    here = how(canvas, channels, **changes)
    written, margins = pictures.write(tmp_path, samples(canvas, 1 if channels == "gray" else 3), here)
    assert set(margins) == {*faults.DECODED, *faults.PREPARED}
    assert min(margins.values()) > 2, margins
    assert [one.file for one in written] == ["odd-size.png", "turned.jpg", "alpha.png"]


def test_margins_are_those_of_the_least_form_of_a_mistake(tmp_path: Path) -> None:
    here = how(28, "gray")
    pictures.write(tmp_path, samples(28, 1), here)
    found = faults.decoded(tmp_path / "odd-size.png", here, exact=True)
    right = faults.canvas(tmp_path / "odd-size.png", here).astype(int)
    others = [name for name in preprocess.FILTERS if name != "bilinear"]
    gaps = [np.abs(faults.canvas(tmp_path / "odd-size.png", here | {"filter": name}) - right).max() for name in others]
    assert 0 < found["filter"] <= min(gaps)
    assert found["exif"] == 0 and found["alpha"] == 0, "that picture is upright and opaque"
    assert faults.decoded(tmp_path / "turned.jpg", here, exact=False)["exif"] > 1
    assert faults.decoded(tmp_path / "alpha.png", here, exact=True)["alpha"] > 20


def test_numbers_in_another_order_and_of_another_scale_show() -> None:
    stored = samples(28, 3)[0]
    for layout in ("NCHW", "NHWC"):
        found = faults.prepared(stored, how(28, "rgb", layout=layout))
        assert min(found.values()) > 100
    elsewhere = how(28, "rgb", mean=[0.5] * 3, std=[0.5] * 3)
    assert faults.prepared(stored, elsewhere)["mean"] > 100, "its own mean is no mistake"
