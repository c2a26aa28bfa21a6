"""Offline distillation: the sum of the terms of one network."""

import pytest
import torch

from edgekd.errors import UsageError
from edgekd.plugins import Batch
from edgekd.schemes import offline

BATCH = Batch(labels=torch.tensor([0]), teacher=None)


def test_offline_sums_its_terms() -> None:
    terms = [lambda outputs, batch: outputs["logits"].sum(), lambda outputs, batch: batch.labels.sum() + 2.5]
    assert offline.loss(offline.Settings(), [{"logits": torch.ones(1, 3)}], BATCH, terms).item() == 5.5


def test_offline_refuses_several_networks() -> None:
    outputs = [{"logits": torch.ones(1, 3)}] * 2
    with pytest.raises(UsageError, match="offline trains one network, and 2 were given"):
        offline.loss(offline.Settings(), outputs, BATCH, [])
