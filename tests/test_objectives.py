"""The losses against their equations, written once more in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.errors import EdgekdError
from edgekd.objectives import cross_entropy, kd
from edgekd.plugins import Batch

TEMPERATURES = st.floats(0.5, 20)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def logits(seed: int, rows: int = 6, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (rows, classes)).astype(np.float32)


def distilled(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    batch = Batch(labels=torch.full((len(student),), -1), teacher=torch.from_numpy(teacher))
    return kd.loss(kd.Settings(temperature=temperature), {"logits": torch.from_numpy(student)}, batch).item()


@given(seed=st.integers(0, 2**16), temperature=TEMPERATURES)
def test_kd_is_the_equation_of_the_paper(seed: int, temperature: float) -> None:
    student, teacher = logits(seed), logits(seed + 1)
    p, q = softmax(teacher.astype(float) / temperature), softmax(student.astype(float) / temperature)
    expected = temperature**2 * np.mean(np.sum(p * (np.log(p) - np.log(q)), axis=1))
    assert distilled(student, teacher, temperature) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(seed=st.integers(0, 2**16), temperature=TEMPERATURES, shift=st.floats(-5, 5))
def test_kd_is_zero_for_equal_networks_and_never_negative(seed: int, temperature: float, shift: float) -> None:
    teacher = logits(seed)
    # a softmax does not see a constant that is added to all logits
    assert distilled(teacher + np.float32(shift), teacher, temperature) == pytest.approx(0, abs=1e-3)
    assert distilled(logits(seed + 1), teacher, temperature) > 0


def test_kd_keeps_the_size_of_its_gradient_as_temperature_grows() -> None:
    # at high temperature it tends to the gradient of matching centred logits, without a factor of 1 / T^2
    student, teacher = torch.from_numpy(logits(3)).requires_grad_(), torch.from_numpy(logits(4))
    batch = Batch(labels=torch.full((6,), -1), teacher=teacher)
    kd.loss(kd.Settings(temperature=1000.0), {"logits": student}, batch).backward()
    difference = student.detach() - teacher
    expected = (difference - difference.mean(1, keepdim=True)) / (6 * 4)
    torch.testing.assert_close(student.grad, expected, rtol=2e-2, atol=2e-3)


def test_kd_reads_cached_float16_targets() -> None:
    student, teacher = logits(5), logits(6)
    cached = distilled(student, teacher.astype(np.float16), 2.0)
    assert cached == pytest.approx(distilled(student, teacher, 2.0), rel=2e-3)


def test_kd_without_soft_targets_says_what_to_do() -> None:
    with pytest.raises(EdgekdError, match="label the training data first"):
        kd.loss(kd.Settings(), {"logits": torch.zeros(2, 3)}, Batch(labels=torch.zeros(2).long(), teacher=None))


@given(seed=st.integers(0, 2**16), smoothing=st.sampled_from([0.0, 0.1, 0.5]))
def test_cross_entropy_is_the_mean_over_labelled_samples(seed: int, smoothing: float) -> None:
    student, labels = logits(seed), np.random.default_rng(seed).integers(-1, 4, 6)
    targets = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    each = -np.sum(targets * np.log(softmax(student.astype(float))), axis=1)
    expected = each[labels >= 0].mean() if (labels >= 0).any() else 0.0
    batch = Batch(labels=torch.from_numpy(labels), teacher=None)
    settings = cross_entropy.Settings(label_smoothing=smoothing)
    loss = cross_entropy.loss(settings, {"logits": torch.from_numpy(student)}, batch)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_cross_entropy_is_zero_where_nothing_is_labelled() -> None:
    student = torch.randn(3, 4, requires_grad=True)
    loss = cross_entropy.loss(
        cross_entropy.Settings(), {"logits": student}, Batch(labels=torch.full((3,), -1), teacher=None)
    )
    loss.backward()
    assert loss.item() == 0 and torch.equal(student.grad, torch.zeros(3, 4))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        kd.Settings(temperature=temperature)
