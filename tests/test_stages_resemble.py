"""Layers of two networks side by side: what is found, what is not, and what it says of equal ones."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.nets import networks, pair
from edgekd.stages import resemble
from edgekd.steps import Resemble
from tests import learnable, pairs


def test_the_same_network_sees_the_same_in_each_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = learnable.images(tmp_path / "entries")
    step = Resemble(student=pairs.student(tmp_path, splits), teacher=pairs.teacher(tmp_path), splits=splits)
    found = resemble.run(step, learnable.workspace(tmp_path))
    assert found.student == found.teacher == ("blocks", "head"), (
        "of one tensor the outermost module, and no ReLU beside"
    )
    assert np.diag(found.values) == pytest.approx([1, 1], abs=1e-4) and found.samples == 48
    assert 0 < found.values[0][1] < 1
    monkeypatch.setattr(resemble, "NUMBERS", 100)
    some = resemble.run(step, learnable.workspace(tmp_path))
    assert np.diag(some.values) == pytest.approx([1, 1], abs=1e-4)
    assert some.values[0][1] == pytest.approx(found.values[0][1], abs=0.3)


def test_long_networks_are_thinned_evenly() -> None:
    names = [str(i) for i in range(100)]
    found = resemble.thinned(names)
    assert len(found) == resemble.LAYERS and found[0] == "0" and found[-1] == "99"
    assert max(int(b) - int(a) for a, b in itertools.pairwise(found)) <= 10
    assert resemble.thinned(names[:3]) == names[:3]


def test_ids_and_a_mask_too(tmp_path: Path) -> None:
    splits = learnable.tokens(tmp_path / "entries")
    student = pairs.checkpoint(tmp_path, splits, learnable.reader(tmp_path))
    step = Resemble(student=student, teacher=pairs.reading(tmp_path), splits=splits)
    found = resemble.run(step, learnable.workspace(tmp_path))
    assert found.student[0] == "words" and found.student[-1] == "head" and found.teacher[-1] == "head"
    assert np.array(found.values).shape == (len(found.student), len(found.teacher))


def test_a_network_without_modules_says_so(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    who = pairs.teacher(tmp_path, "my_bars:plain")
    step = Resemble(student=pairs.student(tmp_path, splits), teacher=who, splits=splits)
    with pytest.raises(EdgekdError, match="the teacher's network calls no modules"):
        resemble.run(step, learnable.workspace(tmp_path))


def test_saved_outputs_are_no_network(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    saved = tmp_path / "saved.npz"
    np.savez(saved, train=np.zeros((200, 3), np.float32))
    files = {"file": pairs.own(tmp_path)["make"].model_copy(update={"path": str(saved)})}
    who = pairs.teacher(tmp_path)
    source = who.source.model_copy(update={"name": "saved", "settings": {"file": str(saved)}, "files": files})
    step = Resemble(
        student=pairs.student(tmp_path, splits), teacher=who.model_copy(update={"source": source}), splits=splits
    )
    with pytest.raises(EdgekdError, match="saved outputs are not a network"):
        resemble.run(step, learnable.workspace(tmp_path))


def test_a_trained_student_is_opened_with_its_weights(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    network, signature = pair.trained(pairs.student(tmp_path, splits), splits, learnable.workspace(tmp_path))
    image = torch.zeros(1, 1, 16, 16)
    image[:, :, 7] = 5.0
    logits = networks.forward(network, {"image": image}, signature)["logits"]
    assert logits.argmax() == 1 and not network.training
