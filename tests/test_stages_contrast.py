"""The student beside the teacher, on outputs whose counts are known."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import EdgekdError
from edgekd.results import Predictions
from edgekd.stages import contrast
from edgekd.steps import Contrast
from tests import learnable


def run(folder: Path, splits, student: np.ndarray, teacher: np.ndarray, **more):
    entries = folder / "entries"
    said = Predictions(outputs=learnable.store(entries, "s.npy", student), part="test", basis="measured")
    step = Contrast(student=said, teacher=learnable.store(entries, "t.npy", teacher), splits=splits, **more)
    return contrast.run(step, learnable.workspace(folder))


def right(splits, folder: Path) -> np.ndarray:
    return np.array(learnable.workspace(folder).load(splits.parts["test"].labels))


def test_counts_samples_and_pictures(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    labels = right(splits, tmp_path)
    teacher = (8 * np.eye(3)[labels]).astype(np.float32)
    wrong = labels.copy()
    wrong[:3] = (wrong[:3] + 1) % 3
    student = (np.eye(3)[wrong]).astype(np.float32)
    found = run(tmp_path, splits, student, teacher)
    assert (found.samples, found.lost, found.won) == (16, 3, 0)
    assert found.same.value == 13 / 16 and found.same.low < 13 / 16 < found.same.high
    assert sum(one.student - one.teacher for one in found.moved) == 3
    assert found.teacher is not None and found.teacher.accuracy == 1.0 and found.teacher.error.value < 0.01
    assert found.student is not None and found.student.accuracy == 13 / 16
    shown = {one.number: one for one in found.parted}
    assert set(shown) == {0, 1, 2} and all(one.picture.startswith("data:image/png") for one in found.parted)
    assert shown[0].truth == shown[0].teacher == learnable.CLASSES[labels[0]] != shown[0].student
    assert shown[0].student_confidence == pytest.approx(np.e / (np.e + 2))
    assert run(tmp_path, splits, student, teacher, shown=0).parted == ()


def test_words_stand_where_samples_are_no_images_and_unlabelled_samples_have_no_calibration(tmp_path: Path) -> None:
    splits = learnable.tokens(tmp_path / "entries")
    nobody = learnable.store(tmp_path / "entries", "none.npy", np.full(16, -1))
    part = splits.parts["test"].model_copy(update={"labels": nobody, "labelled": 0})
    splits = splits.model_copy(update={"parts": {**splits.parts, "test": part}})
    teacher = np.tile([[1.0, 0.0, 0.0]], (16, 1)).astype(np.float32)
    found = run(tmp_path, splits, teacher[:, ::-1].copy(), teacher)
    assert found.teacher is None and found.student is None and found.same.value == 0.0
    assert found.parted and all(one.words and not one.picture and not one.truth for one in found.parted)
    first = found.parted[0]
    stored = {name: learnable.workspace(tmp_path).load(file)[first.number] for name, file in part.inputs.items()}
    assert first.words == tuple(str(x) for x in stored["ids"][stored["mask"] == 1])


def test_outputs_of_other_samples_are_refused(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    with pytest.raises(EdgekdError, match=r"\(15, 3\).*\(16, 3\).* are not \(16, 3\)"):
        run(tmp_path, splits, np.zeros((15, 3), np.float32), np.zeros((16, 3), np.float32))
