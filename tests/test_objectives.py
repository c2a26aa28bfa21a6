"""The losses against their equations, written once more in numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.errors import EdgekdError
from edgekd.objectives import cross_entropy, dist, dkd, kd, multi_level
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
    with pytest.raises(EdgekdError, match="kd needs soft targets, and there are none; label the data first"):
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
    with pytest.raises(ValidationError, match="above zero"):
        multi_level.Settings(temperatures=(2.0, temperature))


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.mean(np.sum(p * (np.log(p) - np.log(q)), axis=1)))


@given(seed=st.integers(0, 2**16), temperature=TEMPERATURES)
def test_standardized_kd_is_the_equation_of_the_paper(seed: int, temperature: float) -> None:
    student, teacher = logits(seed).astype(float), logits(seed + 1).astype(float)
    scores = [(z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True) / temperature for z in (teacher, student)]
    expected = temperature**2 * divergence(*map(softmax, scores))
    settings = kd.Settings(temperature=temperature, standardize=True)
    assert loss(kd, settings, student, teacher) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(seed=st.integers(0, 2**16), factor=st.floats(0.05, 20), shift=st.floats(-5, 5))
def test_standardized_kd_does_not_see_size_or_shift(seed: int, factor: float, shift: float) -> None:
    teacher = logits(seed)
    settings = kd.Settings(temperature=2.0, standardize=True)
    assert loss(kd, settings, teacher * factor + shift, teacher) == pytest.approx(0, abs=1e-4)


def loss(kind, settings, student: np.ndarray, teacher: np.ndarray, labels: np.ndarray | None = None) -> float:
    given = np.full(len(student), -1) if labels is None else labels
    batch = Batch(labels=torch.from_numpy(given), teacher=torch.from_numpy(teacher.astype(np.float32)))
    return kind.loss(settings, {"logits": torch.from_numpy(student.astype(np.float32))}, batch).item()


def decoupled(student: np.ndarray, teacher: np.ndarray, target: np.ndarray, temperature: float) -> tuple[float, float]:
    """TCKD and NCKD of the paper's section 3.1, from the definitions of its probabilities."""
    binary, rest = [], []
    for z in (teacher, student):
        p = softmax(z.astype(float) / temperature)
        right = p[np.arange(len(p)), target]
        binary.append(np.stack([right, 1 - right], 1))
        others = np.array([np.delete(row, t) for row, t in zip(p, target, strict=True)])
        rest.append(others / others.sum(1, keepdims=True))
    return divergence(*binary), divergence(*rest)


@given(seed=st.integers(0, 2**16), temperature=st.floats(1, 20), alpha=st.floats(0, 3), beta=st.floats(0, 10))
def test_dkd_is_the_equation_of_the_paper(seed: int, temperature: float, alpha: float, beta: float) -> None:
    student, teacher = logits(seed), logits(seed + 1)
    labels = np.random.default_rng(seed).integers(-1, 4, 6)
    target = np.where(labels >= 0, labels, teacher.argmax(1))
    tckd, nckd = decoupled(student, teacher, target, temperature)
    expected = temperature**2 * (alpha * tckd + beta * nckd)
    settings = dkd.Settings(alpha=alpha, beta=beta, temperature=temperature)
    assert loss(dkd, settings, student, teacher, labels) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@given(seed=st.integers(0, 2**16), temperature=st.floats(1, 20))
def test_kd_is_tckd_and_nckd_by_what_the_teacher_leaves_to_the_others(seed: int, temperature: float) -> None:
    # equation 6 of the paper, sample by sample
    student, teacher = logits(seed, rows=1), logits(seed + 1, rows=1)
    target = teacher.argmax(1)
    tckd, nckd = decoupled(student, teacher, target, temperature)
    left = 1 - softmax(teacher.astype(float) / temperature)[0, target[0]]
    settings = dkd.Settings(alpha=1, beta=left, temperature=temperature)
    assert distilled(student, teacher, temperature) == pytest.approx(
        temperature**2 * (tckd + left * nckd), rel=1e-3, abs=1e-5
    )
    assert loss(dkd, settings, student, teacher) == pytest.approx(
        distilled(student, teacher, temperature), rel=1e-3, abs=1e-5
    )


def test_dkd_of_two_classes_has_no_others() -> None:
    student, teacher = logits(1, classes=2), logits(2, classes=2)
    settings = dkd.Settings(temperature=2.0)
    assert loss(dkd, settings, student, teacher) == pytest.approx(distilled(student, teacher, 2.0), rel=1e-4)


@given(seed=st.integers(0, 2**16), temperature=st.floats(1, 10), inter=st.floats(0, 3), intra=st.floats(0, 3))
def test_dist_is_the_equation_of_the_paper(seed: int, temperature: float, inter: float, intra: float) -> None:
    student, teacher = logits(seed), logits(seed + 1)
    p, q = (softmax(z.astype(float) / temperature) for z in (teacher, student))
    rows = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    columns = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    settings = dist.Settings(inter=inter, intra=intra, temperature=temperature)
    expected = temperature**2 * (inter * rows + intra * columns)
    assert loss(dist, settings, student, teacher) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(seed=st.integers(0, 2**16), weights=st.tuples(*[st.floats(0, 3)] * 3))
def test_multi_level_is_the_equation_of_the_paper(seed: int, weights: tuple[float, float, float]) -> None:
    student, teacher = logits(seed), logits(seed + 1)
    expected, temperatures = 0.0, (1.0, 2.5, 6.0)
    for temperature in temperatures:
        p, q = (softmax(z.astype(float) / temperature) for z in (teacher, student))
        instance = temperature**2 * divergence(p, q)
        batch = np.square(np.einsum("nk,mk->nm", p, p) - np.einsum("nk,mk->nm", q, q)).sum() / len(p)
        classes = np.square(np.einsum("nk,nl->kl", p, p) - np.einsum("nk,nl->kl", q, q)).sum() / p.shape[1]
        expected += float(np.dot(weights, (instance, batch, classes)))
    instance, batch, classes = weights
    settings = multi_level.Settings(instance=instance, batch=batch, classes=classes, temperatures=temperatures)
    assert loss(multi_level, settings, student, teacher) == pytest.approx(expected, rel=1e-3, abs=1e-4)
