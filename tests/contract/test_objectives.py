"""Every objective: a finite scalar whose gradient reaches the student, in every precision that training uses."""

import pytest
import torch

from edgekd import plugins
from edgekd.plugins import Batch

OBJECTIVES = plugins.names("objectives")
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


@pytest.mark.parametrize("name", OBJECTIVES)
def test_finite_where_nothing_is_labelled(name: str) -> None:
    objective = plugins.find("objectives", name)
    outputs = student()
    loss = objective.loss(objective.Settings(), outputs, batch(torch.full((5,), -1)))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(outputs["logits"].grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_finite_under_autocast(name: str) -> None:
    objective = plugins.find("objectives", name)
    layer = torch.nn.Linear(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 30)
        assert logits.dtype == torch.bfloat16
        loss = objective.loss(objective.Settings(), {"logits": logits}, batch())
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_says_whether_it_needs_a_teacher(name: str) -> None:
    objective = plugins.find("objectives", name)
    assert isinstance(objective.NEEDS_TEACHER, bool)
    without = Batch(labels=LABELS, teacher=None)
    if not objective.NEEDS_TEACHER:
        assert torch.isfinite(objective.loss(objective.Settings(), student(), without))
