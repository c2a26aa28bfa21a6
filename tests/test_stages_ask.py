"""What a network itself answers is what it answers anywhere."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import EdgekdError
from edgekd.nets import networks, pair
from edgekd.stages import ask
from edgekd.steps import Ask
from tests import learnable, pairs


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask.os, "cpu_count", lambda: 1)


def test_a_student_and_a_teacher_answer_each_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits, out = learnable.images(tmp_path / "entries"), learnable.workspace(tmp_path)
    monkeypatch.setattr(ask, "CHUNK", 5)
    labels = np.array(out.load(splits.parts["test"].labels))
    for source, scale in ((pairs.student(tmp_path, splits), 2.0), (pairs.teacher(tmp_path), 20.0)):
        found = ask.run(Ask(source=source, splits=splits), out)
        said = np.load(out.path(found.outputs.name))
        assert said.shape == (16, 3) and (said.argmax(1) == labels).mean() > 0.9
        assert found.basis == "reference" and found.part == "test" and found.why
        pixels = np.array(out.load(splits.parts["test"].inputs["image"]))[0, :, :, 0] / 255
        rows = ((pixels - 0.2) / 0.2 + 3).clip(0).mean(1)
        stripes = [rows[0:5].mean(), rows[5:10].mean(), rows[10:16].mean()]
        assert said[0] == pytest.approx(scale * np.array(stripes), rel=1e-4)


def test_a_teacher_of_saved_answers_cannot_be_asked_of_other_samples(tmp_path: Path) -> None:
    splits, out = learnable.images(tmp_path / "entries"), learnable.workspace(tmp_path)
    saved = tmp_path / "saved.npz"
    np.savez(saved, train=np.zeros((200, 3), np.float32))
    own = pairs.own(tmp_path)["make"].model_copy(update={"path": str(saved)})
    who = pairs.teacher(tmp_path)
    source = who.source.model_copy(update={"name": "saved", "settings": {"file": str(saved)}, "files": {"file": own}})
    with pytest.raises(EdgekdError, match="answers were saved"):
        ask.run(Ask(source=who.model_copy(update={"source": source}), splits=splits), out)


def test_both_are_opened_alike(tmp_path: Path) -> None:
    splits, out = learnable.images(tmp_path / "entries"), learnable.workspace(tmp_path)
    network, signature = pair.teaching(pairs.teacher(tmp_path), splits, out)
    assert type(pair.inner(network)).__name__ == "Bars" and not network.training
    assert networks.signature(splits, learnable.IMAGE, out) == signature
