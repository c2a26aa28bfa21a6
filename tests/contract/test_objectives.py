"""Every objective: a finite scalar whose gradient reaches the student, in every precision that training uses."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from edgekd import plugins
from edgekd.errors import EdgekdError, UsageError
from edgekd.nets.inner import Shape
from edgekd.nets.terms import Matched
from edgekd.plugins import Batch
from edgekd.spec import Choice, Objective

EVERY = plugins.names("objectives")
INNER = [name for name in EVERY if "inner" in plugins.declared("objectives", name).needs]
OWN = [name for name in EVERY if plugins.declared("objectives", name).inner and name not in INNER]
OBJECTIVES = [name for name in EVERY if name not in (*INNER, *OWN)]
TAUGHT = [name for name in OBJECTIVES if plugins.declared("objectives", name).needs]
LABELS = torch.tensor([0, 2, -1, 1, -1])


# Those whose teacher is a bound, so that a student may be better than where it equals the teacher.
BOUNDS = ("bounded",)


def batch(labels: torch.Tensor = LABELS, dtype: torch.dtype = torch.float16) -> Batch:
    random = torch.Generator().manual_seed(1)
    teacher = (torch.randn(len(labels), 3, generator=random) * 4).to(dtype)
    return Batch(labels=labels, teacher=teacher, **numbers(labels))


def numbers(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Numbers to be told beside the labels, for objectives of these."""
    targets = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(3)) * 4
    targets[labels < 0] = torch.nan
    return {"targets": targets, "deviation": torch.tensor([4.0, 3.0, 5.0])}


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
        there = objective.loss(objective.Settings(), {"logits": moved}, given).item()
        assert there > equal or (name in BOUNDS and there == equal)
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
    labels = torch.full((size,), -1)
    given = Batch(labels=labels, teacher=torch.tensor([[30.0, -30, -60]]).repeat(size, 1), **numbers(labels))
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
    assert not plugins.live(Objective(use=Choice(name=name)))
    without = Batch(labels=LABELS, teacher=None, **numbers(LABELS))
    if objective.NEEDS:
        with pytest.raises(EdgekdError, match=f"{name} needs soft targets"):
            objective.loss(objective.Settings(), student(), without)
    else:
        assert torch.isfinite(objective.loss(objective.Settings(), student(), without))


# -- those that compare inner values --

COUNT = 24
# Shapes of the student and of a wider teacher, by the kind that an objective takes where none is named.
SHAPES = {
    "map": ([(COUNT, 6, 4, 4)], [(COUNT, 8, 7, 7)]),
    "maps": ([(COUNT, 4, 8, 8), (COUNT, 6, 4, 4)], [(COUNT, 6, 14, 14), (COUNT, 8, 7, 7)]),
    "vector": ([(COUNT, 6)], [(COUNT, 8)]),
    "sequences": ([(COUNT, 5, 6), (COUNT, 5, 6)], [(COUNT, 5, 8), (COUNT, 5, 8)]),
    "attentions": ([(COUNT, 2, 5, 5), (COUNT, 5, 6)], [(COUNT, 2, 5, 5), (COUNT, 5, 8)]),
}
UNLIKE = [(COUNT,), (COUNT, 2, 3, 4, 5), (COUNT, 1, 2)]


def values(shapes: Sequence[Shape], seed: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=random) for shape in shapes]
    # attentions are probabilities
    return [one.softmax(3) if one.ndim == 4 and one.shape[2] == one.shape[3] == 5 else one for one in made]


def given(count: int = COUNT, labelled: bool = True) -> Batch:
    labels = torch.arange(count) % 5 - 1 if labelled else torch.full((count,), -1)
    return Batch(labels=labels, teacher=None)


def term(name: str, student: Sequence[Shape], teacher: Sequence[Shape]) -> nn.Module:
    torch.manual_seed(0)
    objective = plugins.find("objectives", name)
    made = objective.term(objective.Settings(), student, teacher)
    assert isinstance(made, nn.Module)
    return made


def kind(name: str) -> str:
    found = plugins.find("objectives", name).INNER
    assert found in SHAPES
    return str(found)


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("labelled", [True, False])
def test_inner_values_of_other_widths_and_resolutions_are_learnt_from(name: str, labelled: bool) -> None:
    mine, shapes = SHAPES[kind(name)]
    matcher = term(name, mine, shapes)
    student = [one.requires_grad_() for one in values(mine, 1)]
    teacher = values(shapes, 2)
    loss = matcher(student, teacher, given(labelled=labelled))
    loss.backward()
    assert loss.shape == () and loss.dtype == torch.float32 and torch.isfinite(loss)
    for one in [*student, *matcher.parameters()]:
        assert torch.isfinite(one.grad).all() and one.grad.abs().sum() > 0
    assert all(one.grad is None for one in teacher)


def learnt(name: str, student: list[Tensor], teacher: list[Tensor]) -> float:
    """The term once its own parts have learnt, student and teacher staying as they are."""
    matcher = term(name, [tuple(one.shape) for one in student], [tuple(one.shape) for one in teacher])
    batch = given()
    if parts := list(matcher.parameters()):
        optimizer = torch.optim.Adam(parts, lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            matcher(student, teacher, batch).backward()
            optimizer.step()
    return matcher(student, teacher, batch).item()


@pytest.mark.parametrize("name", INNER)
def test_least_where_inner_values_equal_the_teachers(name: str) -> None:
    shapes = SHAPES[kind(name)][1]
    teacher = values(shapes, 3)
    equal, unlike = learnt(name, teacher, teacher), learnt(name, values(shapes, 4), teacher)
    assert equal < 0.5 * unlike
    matcher = term(name, shapes, shapes)
    if not list(matcher.parameters()):
        assert equal == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", INNER)
def test_inner_values_that_do_not_vary_are_no_trouble(name: str) -> None:
    mine, shapes = ([(4, *shape[1:]) for shape in side] for side in SHAPES[kind(name)])
    student = [torch.zeros(shape, requires_grad=True) for shape in mine]
    loss = term(name, mine, shapes)(student, [torch.zeros(shape) for shape in shapes], given(4, labelled=False))
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(one.grad).all() for one in student if one.grad is not None)


@pytest.mark.parametrize("name", INNER)
def test_inner_values_in_half_precision_are_compared_in_float32_under_autocast(name: str) -> None:
    mine, shapes = SHAPES[kind(name)]
    matched = Matched(1.0, term(name, mine, shapes), list("ab")[: len(mine)], list("ab")[: len(mine)])
    student = {key: value.bfloat16() for key, value in zip("ab", values(mine, 1), strict=False)}
    teacher = {key: value.half() for key, value in zip("ab", values(shapes, 2), strict=False)}
    labels = torch.arange(COUNT) % 5 - 1
    with torch.autocast("cpu", torch.bfloat16):
        half = matched(student, Batch(labels=labels, teacher=None, inner=teacher))
    plain = matched(
        {key: value.float() for key, value in student.items()},
        Batch(labels=labels, teacher=None, inner={key: value.float() for key, value in teacher.items()}),
    )
    assert half.dtype == torch.float32 and half.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize("name", INNER)
def test_other_shapes_are_refused_before_anything_is_trained(name: str) -> None:
    for shape in UNLIKE[:2]:
        with pytest.raises(UsageError):
            term(name, [shape], [shape])


@pytest.mark.parametrize("name", INNER)
def test_says_what_it_takes_where_nothing_is_named(name: str) -> None:
    objective = plugins.find("objectives", name)
    assert plugins.declared("objectives", name).needs == objective.NEEDS
    assert {"inner"} <= set(objective.NEEDS) <= {"inner", "logits"}
    settings = objective.Settings()
    assert settings.student == settings.teacher == ()
    assert objective.Settings(student="a", teacher=["b", "c"]).student == ("a",)
    assert plugins.live(Objective(use=Choice(name=name))) == ("logits" not in objective.NEEDS)
    assert plugins.live(Objective(use=Choice(name=name, settings={"teacher": "features"})))
    assert not plugins.live(Objective(use=Choice(name=name, settings={"teacher": "logits"})))


# -- those that look at the student's inner values alone --


def own_values(seed: int, count: int = COUNT, kind: str = "maps") -> list[Tensor]:
    return [one.requires_grad_() for one in values([(count, *shape[1:]) for shape in SHAPES[kind][1]], seed)]


def logits(seed: int, count: int = COUNT) -> Tensor:
    return values([(count, 5)], seed)[0].requires_grad_()


def shapes_of(made: Sequence[Tensor]) -> list[Shape]:
    return [tuple(one.shape) for one in made]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("labelled", [True, False])
def test_a_student_learns_from_itself_and_what_teaches_in_it_does_not(name: str, labelled: bool) -> None:
    student, outputs = own_values(1, kind=kind(name)), logits(2)
    matcher = term(name, shapes_of(student), [tuple(outputs.shape)])
    loss = matcher(student, [outputs], given(labelled=labelled))
    loss.backward()
    assert loss.shape == () and loss.dtype == torch.float32 and torch.isfinite(loss)
    for one in [*student[:-1], *matcher.parameters()]:
        assert torch.isfinite(one.grad).all() and one.grad.abs().sum() > 0
    assert student[-1].grad is None and outputs.grad is None


@pytest.mark.parametrize("name", OWN)
def test_values_of_its_own_that_do_not_vary_are_no_trouble(name: str) -> None:
    student, outputs = own_values(1, 4, kind(name)), logits(2, 4)
    with torch.no_grad():
        for one in [*student, outputs]:
            one.zero_()
    matcher = term(name, shapes_of(student), [tuple(outputs.shape)])
    loss = matcher(student, [outputs], given(4, labelled=False))
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(one.grad).all() for one in student[:-1])


@pytest.mark.parametrize("name", OWN)
def test_its_own_values_in_half_precision_are_compared_in_float32_under_autocast(name: str) -> None:
    student, outputs = own_values(1, kind=kind(name)), logits(2)
    matched = Matched(1.0, term(name, shapes_of(student), [tuple(outputs.shape)]), list("ab")[: len(student)])
    named = dict(zip("ab", student, strict=False)) | {"logits": outputs}
    batch = given()
    with torch.autocast("cpu", torch.bfloat16):
        half = matched({key: value.bfloat16() for key, value in named.items()}, batch)
    plain = matched({key: value.bfloat16().float() for key, value in named.items()}, batch)
    assert half.dtype == torch.float32 and half.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_other_shapes_of_its_own_are_refused_before_anything_is_trained(name: str) -> None:
    for shape in UNLIKE[:2]:
        with pytest.raises(UsageError):
            term(name, [shape, shape], [(COUNT, 5)])


@pytest.mark.parametrize("name", OWN)
def test_needs_nothing_of_a_teacher(name: str) -> None:
    objective = plugins.find("objectives", name)
    assert plugins.declared("objectives", name).needs == objective.NEEDS == ()
    settings = objective.Settings()
    assert settings.student == () and not hasattr(settings, "teacher")
    assert not plugins.live(Objective(use=Choice(name=name)))
