"""Attributions lie where the answer comes from, and add up to what it is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.nets import networks, pair
from edgekd.samples.views import Feed
from edgekd.stages import explain
from edgekd.steps import Explain
from tests import learnable, pairs


def test_gradients_add_up_to_the_answer_over_that_of_nothing(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    network, signature = pair.teaching(pairs.teacher(tmp_path), splits, learnable.workspace(tmp_path))
    batch = Feed(learnable.workspace(tmp_path), splits, "test", signature, False, 0).batch(np.arange(5))
    found = explain.attributions(network, signature, batch, "image")
    assert found.shape == (5, 1, 16, 16)
    with torch.no_grad():
        said = networks.forward(network, batch, signature)["logits"]
        nothing = networks.forward(network, {"image": torch.zeros(1, 1, 16, 16)}, signature)["logits"]
    best = said.argmax(1)
    wanted = said[torch.arange(5), best] - nothing[0, best]
    assert found.sum(axis=(1, 2, 3)) == pytest.approx(wanted.numpy(), rel=1e-2, abs=1e-2)
    rows = np.abs(found[:, 0]).sum(axis=2)
    stripes = np.stack([rows[:, 0:5].sum(1), rows[:, 5:10].sum(1), rows[:, 10:16].sum(1)], 1)
    assert (stripes.argmax(1) == best.numpy()).all(), "each answer comes from its own stripe"


def test_pictures_of_both_and_how_alike_they_are(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    step = Explain(
        student=pairs.student(tmp_path, splits), teacher=pairs.teacher(tmp_path), splits=splits, samples=(3, 1)
    )
    found = explain.run(step, learnable.workspace(tmp_path))
    assert [one.number for one in found.samples] == [3, 1] and found.of == "image"
    assert found.method == "integrated gradients"
    assert all(one.likeness == pytest.approx(1.0, abs=1e-3) for one in found.samples), "the student is a small teacher"
    assert all(one.student_picture == one.teacher_picture != "" for one in found.samples)


def test_ids_have_a_weight_for_each_word_that_the_mask_shows(tmp_path: Path) -> None:
    splits = learnable.tokens(tmp_path / "entries")
    student = pairs.checkpoint(tmp_path, splits, learnable.reader(tmp_path), seed=1)
    step = Explain(student=student, teacher=pairs.reading(tmp_path), splits=splits, samples=(0, 5))
    found = explain.run(step, learnable.workspace(tmp_path))
    out = learnable.workspace(tmp_path)
    mask = np.array(out.load(splits.parts["test"].inputs["mask"]))
    assert found.method == "gradient times embedding" and found.of == "ids"
    assert [len(one.student) for one in found.samples] == [mask[0].sum(), mask[5].sum()]
    assert all(any(one.teacher) and -1 <= one.likeness <= 1 for one in found.samples)
    network, signature = pair.trained(student, splits, out)
    batch = Feed(out, splits, "test", signature, False, 0).batch(np.array([0]))
    plain = {name: torch.tensor(values) for name, values in batch.items()}
    kept: list[torch.Tensor] = []
    handle = network.words.register_forward_hook(lambda module, given, output: kept.append(output.requires_grad_()))
    logits = networks.forward(network, plain, signature)["logits"]
    handle.remove()
    (slope,) = torch.autograd.grad(logits[0, logits.argmax()], kept[0])
    wanted = (slope * kept[0]).sum(-1)[0].detach().numpy()[mask[0] == 1]
    assert found.samples[0].student == pytest.approx(wanted, abs=1e-5)


def test_series_are_painted_where_the_answer_comes_from_also_by_a_spectrogram() -> None:
    late, early = np.zeros((30, 2)), np.zeros((30, 2))
    late[20:], early[:5] = 1.0, -1.0
    wave = {"x": np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)}
    found = explain._shown(4, wave, "x", late, early)
    assert found.likeness == 0.0 and found.student_picture != found.teacher_picture != ""
    assert explain._shown(4, wave, "x", -late, late).likeness == pytest.approx(1.0), "what counts, for or against"
    unlike = explain._shown(4, wave, "x", late, np.ones((7, 13)))
    assert np.isnan(unlike.likeness) and unlike.teacher_picture
    with pytest.raises(EdgekdError, match=r"\(3, 2\) and \(4,\) numbers of x, \(4,\) are stored"):
        explain._shown(4, {"x": np.arange(4.0)}, "x", np.ones((3, 2)), np.ones(4))


def test_ids_without_an_embedding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match=r"torch\.nn\.Embedding"):
        explain._embedding(torch.nn.Linear(2, 2))
