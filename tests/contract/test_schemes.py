"""Every scheme: a finite scalar that is linear in its terms and teaches the network."""

from functools import partial

import pytest
import torch

from edgekd import plugins
from edgekd.plugins import Batch

SCHEMES = plugins.names("schemes")
BATCH = Batch(labels=torch.tensor([0, 1]), teacher=torch.zeros(2, 3))


def _squares(weight, outputs, batch):
    return weight * outputs["logits"].square().mean()


@pytest.mark.parametrize("name", SCHEMES)
def test_the_loss_teaches_and_grows_with_its_terms(name: str) -> None:
    scheme = plugins.find("schemes", name)
    logits = torch.ones(2, 3, requires_grad=True)
    one = scheme.loss(scheme.Settings(), [{"logits": logits}], BATCH, [partial(_squares, 1.0)])
    more = scheme.loss(scheme.Settings(), [{"logits": logits}], BATCH, [partial(_squares, 1.0), partial(_squares, 2.0)])
    more.backward()
    assert one.shape == () and more.item() == pytest.approx(3 * one.item())
    assert logits.grad.abs().sum() > 0
