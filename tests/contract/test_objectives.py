"""Every objective: a finite scalar whose gradient reaches the student, in every precision that training uses."""

import pytest
import torch

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.plugins import Batch

OBJECTIVES = plugins.names("objectives")
TAUGHT = [name for name in OBJECTIVES if plugins.declared("objectives", name).needs]
LABELS = torch.tensor([0, 2, -1, 1, -1])


def batch(labels: torch.Tensor = LABELS, dtype: torch.dtype = torch.float16) -> Batch:
    random = torch.Generator().manual_seed(1)
    return Batch(labels=labels, teacher=(torch.randn(len(labels), 3, generator=random) * 4).to(dtype))


def student(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    logits = (torch.randn(len(LABELS), 3, generator=random) * 4).to(dtype).requires_grad_()
    return {"logits": logits, "features": torch.zeros(len(LABELS), 4, requires_grad=True)}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_scalar_with_a_finite_gradient_for_the_student_only(name: str, dtype: torch.dtype) -> None:
    objective = plugins.find("objectives", name)
    outputs, given = student(dtype), batch()
    loss = objective.loss(objective.Settings(), outputs, given)
    loss.backward()
    assert loss.shape == () and loss.dtype == torch.float32 and torch.isfinite(loss)
    gradient = outputs["logits"].grad
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    assert given.teacher is not None and given.teacher.grad is None


@pytest.mark.parametrize("name", TAUGHT)
@pytest.mark.parametrize("labels", [LABELS, torch.full((5,), -1)])
def test_least_where_the_student_equals_the_teacher(name: str, labels: torch.Tensor) -> None:
    objective = plugins.find("objectives", name)
    given = batch(labels, torch.float32)
    equal = objective.loss(objective.Settings(), {"logits": given.teacher}, given).item()
    for seed in range(5):
        moved = given.teacher + 0.5 * torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
        assert objective.loss(objective.Settings(), {"logits": moved}, given).item() > equal
    assert equal == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", TAUGHT)
def test_reads_cached_float16_targets(name: str) -> None:
    objective = plugins.find("objectives", name)
    losses = [
        objective.loss(objective.Settings(), student(), batch(dtype=dtype)).item()
        for dtype in (torch.float32, torch.float16)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("size", [1, 5])
def test_finite_where_nothing_varies_and_nothing_is_labelled(name: str, size: int) -> None:
    objective = plugins.find("objectives", name)
    logits = torch.zeros(size, 3, requires_grad=True)
    given = Batch(labels=torch.full((size,), -1), teacher=torch.tensor([[30.0, -30, -60]]).repeat(size, 1))
    loss = objective.loss(objective.Settings(), {"logits": logits}, given)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_in_float32_under_autocast(name: str) -> None:
    objective = plugins.find("objectives", name)
    layer = torch.nn.Linear(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 30)
        assert logits.dtype == torch.bfloat16
        loss = objective.loss(objective.Settings(), {"logits": logits}, batch())
    plain = objective.loss(objective.Settings(), {"logits": logits.float()}, batch())
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(plain.item(), rel=1e-5)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_says_what_it_needs(name: str) -> None:
    objective = plugins.find("objectives", name)
    assert set(objective.NEEDS) <= {"logits"} and plugins.declared("objectives", name).needs == objective.NEEDS
    without = Batch(labels=LABELS, teacher=None)
    if objective.NEEDS:
        with pytest.raises(EdgekdError, match=f"{name} needs soft targets"):
            objective.loss(objective.Settings(), student(), without)
    else:
        assert torch.isfinite(objective.loss(objective.Settings(), student(), without))
