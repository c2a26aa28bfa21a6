"""Schemes: the sum of the terms of one network, and peers that learn from each other."""

import numpy as np
import pytest
import torch

from edgekd.errors import UsageError
from edgekd.plugins import Batch
from edgekd.schemes import mutual, offline

BATCH = Batch(labels=torch.tensor([0]), teacher=None)


def test_offline_sums_its_terms() -> None:
    terms = [lambda outputs, batch: outputs["logits"].sum(), lambda outputs, batch: batch.labels.sum() + 2.5]
    assert offline.loss(offline.Settings(), [{"logits": torch.ones(1, 3)}], BATCH, terms).item() == 5.5


def test_offline_refuses_several_networks() -> None:
    outputs = [{"logits": torch.ones(1, 3)}] * 2
    with pytest.raises(UsageError, match="offline trains one network, and 2 were given"):
        offline.loss(offline.Settings(), outputs, BATCH, [])


def test_mutual_is_the_equation_of_the_paper() -> None:
    random = np.random.default_rng(0)
    answers = random.normal(0, 2, (3, 5, 4)).astype(np.float32)
    labels = random.integers(0, 4, 5)

    def log_softmax(values: np.ndarray) -> np.ndarray:
        return values - np.log(np.exp(values).sum(1, keepdims=True))

    expected = 0.0
    for own in range(3):
        expected -= log_softmax(answers[own].astype(float))[np.arange(5), labels].mean()
        for peer in {0, 1, 2} - {own}:
            p, q = log_softmax(answers[peer] / 2.0), log_softmax(answers[own] / 2.0)
            expected += 0.5 * 4 * (np.exp(p) * (p - q)).sum(1).mean() / 2

    def cross_entropy(outputs: dict, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(outputs["logits"], batch.labels)

    batch = Batch(labels=torch.from_numpy(labels), teacher=None)
    outputs = [{"logits": torch.from_numpy(one).requires_grad_()} for one in answers]
    settings = mutual.Settings(peers=3, weight=0.5, temperature=2.0)
    loss = mutual.loss(settings, outputs, batch, [cross_entropy])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_peer_learns_from_the_others_and_does_not_teach_itself_through_them() -> None:
    first, second = torch.zeros(1, 2, requires_grad=True), torch.tensor([[2.0, 0.0]], requires_grad=True)
    mutual.loss(mutual.Settings(), [{"logits": first}, {"logits": second}], BATCH, []).backward()
    p, q = torch.softmax(second.detach(), 1), torch.softmax(first.detach(), 1)
    torch.testing.assert_close(first.grad, q - p)  # the gradient of KL(p || q) in the logits of q, p held fixed
    torch.testing.assert_close(second.grad, p - q)


def test_mutual_refuses_one_network_alone() -> None:
    with pytest.raises(UsageError, match="two networks or more together, and one was given"):
        mutual.loss(mutual.Settings(), [{"logits": torch.ones(1, 3)}], BATCH, [])
