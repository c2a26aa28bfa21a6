"""Assistants between teacher and student, and generations after the first, in a made-up world."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import UsageError
from edgekd.policies.course import assistants, assisted, descended
from edgekd.policies.known import Known, distillation, schedule
from edgekd.results import Checkpoint, Size
from edgekd.spec import Architecture
from edgekd.steps import Label, Train
from tests.world import SOFT, World, file, known, option, target


def train(known: Known, network: Architecture, seed: int) -> Train:
    return Train(
        networks=(network,),
        objectives=distillation(1.0, 0.9),
        splits=known.splits,
        schedule=schedule(known.plan.schedule, 10),
        soft_targets=known.soft_targets,
        seed=seed,
    )


def wanting(**course: int) -> Known:
    return known(target()).model_copy(update={"course": course})


def widths(options: list) -> list[int]:
    return [one.architecture.family.settings["width"] for one in options]


@given(own=st.integers(1, 20), count=st.integers(1, 4), teacher=st.integers(2_500, 10**7))
def test_assistants_lie_between_each_closer_to_its_place_than_any_other_size(
    own: int, count: int, teacher: int
) -> None:
    world = known(target(), teacher=Size(params=teacher, macs=1))
    found = [one.size.params for one in assistants(world, option(own).architecture, count)]
    assert found == sorted(found, reverse=True) and len(set(found)) == count
    assert all(100 * own < params < teacher for params in found)
    place = math.exp(math.log(100 * own) + (math.log(teacher) - math.log(100 * own)) * count / (count + 1))
    sizes = [100 * width for width in range(own + 1, 41) if 100 * width < teacher]
    assert found[0] == min(sizes, key=lambda params: abs(math.log(params / place)))


def test_a_teacher_without_a_size_leaves_the_largest_student_as_the_top() -> None:
    world = known(target()).model_copy(update={"teacher": None, "no_teacher": "a black box"})
    assert widths(assistants(world, option(4).architecture, 1)) == [13]  # the square root of 4 times 40 is 12.6


def test_too_few_sizes_between_are_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="2 assistants were asked for, and convnet has sizes for 1 between"):
        assistants(known(target(), widths=range(39, 41)), option(39).architecture, 2)


def test_each_assistant_is_taught_by_the_one_before() -> None:
    world, student = World(), option(2).architecture
    found = world.follow(assisted(wanting(assistants=2), student, train))
    first, second = (step for step in world.asked if isinstance(step, Train))
    assert first.soft_targets == SOFT
    assert second.soft_targets is not None and second.soft_targets.train.name.startswith("answers of 40")
    assert found.known.soft_targets.train.name == f"answers of {second.networks[0].family.settings['width']} of w"
    assert [lesson.what for lesson in found.lessons] == ["assistant", "assistant"]
    assert found.lessons[0].params == 4_000


def test_without_assistants_nothing_is_asked_and_the_teacher_teaches() -> None:
    world = World()
    found = world.follow(assisted(wanting(), option(2).architecture, train))
    assert world.asked == [] and found.known.soft_targets == SOFT and found.lessons == ()


class Growing(World):
    """A world in which each generation has another validation accuracy than its parent's."""

    def __init__(self, *accuracies: float) -> None:
        super().__init__()
        self.accuracies = iter(accuracies)

    def _train(self, step: Train) -> object:
        trained = super()._train(step)
        (checkpoint,) = trained.checkpoints
        changes = {"validation_accuracy": next(self.accuracies), "seconds": 5.0, "steps": 7}
        return trained.model_copy(update={"checkpoints": (checkpoint.model_copy(update=changes),)})


def first(seed: int, accuracy: float) -> Checkpoint:
    network = option(3).architecture
    return Checkpoint(
        architecture=network, weights=file(f"w{seed}"), validation_accuracy=accuracy, seed=seed, seconds=5.0, steps=7
    )


def test_the_best_generation_is_taken_and_all_are_told() -> None:
    world = Growing(0.85, 0.87, 0.83, 0.84)
    found = world.follow(descended(wanting(generations=2), [first(0, 0.8), first(1, 0.8)], train))
    assert [c.validation_accuracy for c in found.checkpoints] == [0.85, 0.87]
    assert [lesson.ships for lesson in found.lessons] == [False, True, False]
    assert [lesson.validation for lesson in found.lessons] == [(0.8, 0.8), (0.85, 0.87), (0.83, 0.84)]
    labels = [step for step in world.asked if isinstance(step, Label)]
    assert [step.teacher.weights.name for step in labels] == ["w0", "w1", "w", "w"]
    assert {step.views for step in labels} == {SOFT.views}


def test_generations_that_add_nothing_leave_the_first_one() -> None:
    found = Growing(0.8).follow(descended(wanting(generations=1), [first(0, 0.8)], train))
    assert [c.weights.name for c in found.checkpoints] == ["w0"]
    assert [lesson.ships for lesson in found.lessons] == [True, False]


def test_without_generations_the_first_students_are_the_answer() -> None:
    world = World()
    found = world.follow(descended(wanting(), [first(0, 0.8)], train))
    assert world.asked == [] and found.lessons == ()
