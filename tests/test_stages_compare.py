from pathlib import Path

import numpy as np
import pytest

from edgekd import files
from edgekd.errors import EdgekdError
from edgekd.results import Compared, File, PartFiles, Predictions, Splits
from edgekd.stages import compare
from edgekd.steps import Compare
from edgekd.workspace import Workspace

LABELS = np.tile([0, 1, 2], 100)


def save(folder: Path, name: str, array: np.ndarray) -> File:
    """Write one file of a store entry by hand."""
    path = folder / "entries/00" / ("0" * 64) / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return File(entry="0" * 64, name=path.name, sha256=files.digest(path), size=path.stat().st_size)


def predicted(folder: Path, errors: list[int], salt: int, part: str) -> tuple[Predictions, ...]:
    """Predictions of one network a number in `errors`: wrong on that many of 300 samples."""
    found = []
    for number, count in enumerate(errors):
        wrong = np.random.default_rng(salt + number).permutation(300) < count
        outputs = np.eye(3, dtype=np.float32)[(LABELS + wrong) % 3]
        found.append(Predictions(outputs=save(folder, f"{salt + number}", outputs), part=part, basis="measured"))
    return tuple(found)


def compared(folder: Path, distilled: list[int], control: list[int], part: str = "test") -> Compared:
    labels = save(folder, "labels", LABELS)
    files_of_part = PartFiles(inputs={}, labels=labels, count=300, labelled=300, digest="0" * 64)
    splits = Splits(parts={"test": files_of_part, "validation": files_of_part}, classes=("bag", "coat", "shirt"))
    step = Compare(
        distilled=predicted(folder, distilled, 0, "test"), control=predicted(folder, control, 50, part), splits=splits
    )
    return compare.run(step, Workspace(folder / "work", folder / "entries", "f" * 64))


def test_gain_over_seeds(tmp_path: Path) -> None:
    gain = compared(tmp_path, [30, 33, 36], [60, 63, 66]).gain
    assert gain.seeds == 3 and gain.difference.value == pytest.approx(0.1)
    assert 0 < gain.difference.low < 0.1 < gain.difference.high
    assert gain.distilled == pytest.approx((0.9, 0.89, 0.88)) and gain.control == pytest.approx((0.8, 0.79, 0.78))


def test_gain_may_be_negative_with_one_seed(tmp_path: Path) -> None:
    gain = compared(tmp_path, [90], [30]).gain
    assert gain.difference.value == pytest.approx(-0.2) and gain.difference.high < 0 and gain.seeds == 1


def test_the_same_question_has_the_same_answer(tmp_path: Path) -> None:
    assert compared(tmp_path, [30, 40], [50, 60]) == compared(tmp_path, [30, 40], [50, 60])


def test_unfair_comparisons_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="equally many seeds"):
        compared(tmp_path, [30, 33], [60])
    with pytest.raises(EdgekdError, match="different parts"):
        compared(tmp_path, [30], [60], part="validation")
