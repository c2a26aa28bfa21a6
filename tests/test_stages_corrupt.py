"""Corrupted copies: of the same samples, with their labels, the clean ones first."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.results import Predictions
from edgekd.stages import corrupt, endure
from edgekd.steps import Corrupt, Endure
from tests import learnable

AMONG = plugins.names("corruptions")


def made(folder: Path, splits, **more):
    fields = {"splits": splits, "among": AMONG, "samples": 10, "severities": (1, 5)} | more
    return corrupt.run(Corrupt(**fields), learnable.workspace(folder))


def test_copies_are_of_one_and_the_same_samples(tmp_path: Path) -> None:
    splits, out = learnable.images(tmp_path / "entries"), learnable.workspace(tmp_path)
    found = made(tmp_path, splits)
    assert found.by == "pixels" and found.samples == 10 and found.kinds[0] == ("", 0)
    assert found.kinds[1:] == tuple((kind, s) for kind in ("noise", "blur", "contrast", "shift") for s in (1, 5))
    images, labels = (np.load(out.path(name)) for name in ("test.image.npy", "test-labels.npy"))
    assert images.shape == (90, 16, 16, 1) and found.part.count == len(labels) == 90
    test = {name: np.array(out.load(file)) for name, file in splits.parts["test"].inputs.items()}["image"]
    rows = [int(np.flatnonzero((test == image).all(axis=(1, 2, 3)))[0]) for image in images[:10]]
    assert rows == sorted(rows) and (labels == np.tile(np.array(out.load(splits.parts["test"].labels))[rows], 9)).all()
    away = [np.abs(images[i : i + 10].astype(int) - images[:10]).mean() for i in range(10, 90, 10)]
    assert all(severe > mild > 0 for mild, severe in zip(away[::2], away[1::2], strict=True))
    again = made(tmp_path, splits)
    assert again.part.digest == found.part.digest != made(tmp_path, splits, seed=1).part.digest


def test_copies_have_only_so_much_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrupt, "ROOM", 9 * 16 * 16 * 4)
    assert made(tmp_path, learnable.images(tmp_path / "entries")).samples == 4


def test_what_suits_is_chosen_by_the_input(tmp_path: Path) -> None:
    assert made(tmp_path, learnable.tokens(tmp_path / "entries")).by == "tokens"


def test_a_package_of_the_users_comes_before_edgekds_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared, find = plugins.declared, plugins.find
    own = SimpleNamespace(file=tmp_path / "zebra.py")
    plugin = SimpleNamespace(KINDS=("stripes",), suits=lambda few, canvas: True, corrupt=lambda few, *_: few)
    monkeypatch.setattr(plugins, "declared", lambda kind, name: own if name == "zebra" else declared(kind, name))
    monkeypatch.setattr(plugins, "find", lambda kind, name: plugin if name == "zebra" else find(kind, name))
    found = made(tmp_path, learnable.images(tmp_path / "entries"), among=(*AMONG, "zebra"))
    assert found.by == "zebra" and found.kinds == (("", 0), ("stripes", 1), ("stripes", 5))


def test_where_nothing_suits_it_says_what_the_inputs_are(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match=r"image \(uint8 \(16, 16, 1\)\)"):
        made(tmp_path, learnable.images(tmp_path / "entries"), among=("tokens",))


def test_who_loses_more_is_told_with_its_interval(tmp_path: Path) -> None:
    """The teacher is always right, the student only on clean samples and half of the noisy ones."""
    splits, out = learnable.images(tmp_path / "entries"), learnable.workspace(tmp_path)
    found = made(tmp_path, splits, samples=16, severities=(3,))
    (out.entries / out.key[:2]).mkdir(exist_ok=True)
    (out.entries / out.key[:2] / out.key).symlink_to(out.folder)
    labels = np.load(out.path("test-labels.npy"))
    teacher = (5 * np.eye(3)[labels]).astype(np.float32)
    student = teacher.copy()
    student[16:] = np.roll(student[16:], 1, axis=1)
    student[16:24] = teacher[16:24]  # the first half of what has noise
    said = [
        Predictions(outputs=learnable.store(out.entries, f"{i}.npy", values), part="test", basis="measured")
        for i, values in enumerate((teacher, student))
    ]
    step = Endure(corrupted=found, teacher=said[0], student=said[1])
    rows = {(row.corruption, row.severity): row for row in endure.run(step, out).rows}
    assert rows["", 0].student.value == 1.0 and rows["", 0].behind is None and rows["", 0].control is None
    noise, every = rows["noise", 0], rows["mean", 0]
    assert noise.teacher.value == 1.0 and noise.student.value == 0.5
    assert noise.behind is not None and noise.behind.value == 0.5 and 0.2 < noise.behind.low < noise.behind.high < 0.8
    assert rows["blur", 3].behind is not None and rows["blur", 3].behind.value == 1.0
    assert every.behind is not None and every.behind.value == pytest.approx((0.5 + 3) / 4)
    short = said[0].model_copy(update={"outputs": learnable.store(out.entries, "s.npy", teacher[:5])})
    with pytest.raises(EdgekdError, match="5 predictions were given for 80 corrupted samples"):
        endure.run(step.model_copy(update={"teacher": short}), out)
