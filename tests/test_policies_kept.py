"""What is looked at once all is chosen, in a made-up world: nothing is chosen by it, and nothing fails by it."""

from functools import cache

import pytest

from edgekd.errors import WorkerKilled
from edgekd.policies.kept import keep, shipped
from edgekd.policies.stepdown import Outcome, choose
from edgekd.results import Size
from edgekd.spec import Choice, Device, UserFile
from edgekd.steps import Ask, Contrast, Convert, Corrupt, Endure, Explain, Measure, Predict, Resemble, Train
from tests.world import EFFORT, World, known, target


@cache
def chosen() -> Outcome:
    return World().follow(choose(known(target())))


def looked(world: World, *targets, outcome: Outcome | None = None, **changes):
    here = known(*(targets or (target(),)), **changes)
    outcome = outcome or world.follow(choose(here))
    world.asked.clear()
    return world.follow(keep(here, outcome, ("pixels",))), outcome, world.asked


@cache
def usual():
    return looked(World())


def of(asked, kind):
    return [step for step in asked if isinstance(step, kind)]


def test_the_file_that_ships_is_what_is_looked_at() -> None:
    found, outcome, asked = usual()
    row = next(row for row in outcome.rows if row.ships)
    assert found.kept.contrasted.basis == "measured" and found.validation.part == "validation"
    assert [(step.student.part, step.shown) for step in of(asked, Contrast)] == [("test", 12), ("validation", 0)]
    assert {step.artifact.precision for step in of(asked, Predict)} == {row.precision}
    assert of(asked, Explain)[0].samples == (7, 3) and of(asked, Explain)[0].student == shipped(outcome)
    assert of(asked, Resemble)[0].part == "validation"
    assert not any(getattr(found.kept, name) for name in type(found.kept).model_fields if name.startswith("why_"))


def test_nothing_is_trained_converted_or_measured_for_it() -> None:
    assert not of(usual()[2], Train | Convert | Measure)


def test_teacher_control_and_student_meet_the_same_corrupted_samples() -> None:
    found, _, asked = usual()
    (corrupt,), (endure,) = of(asked, Corrupt), of(asked, Endure)
    assert corrupt.samples == 256 and corrupt.severities == (2, 4) and corrupt.among == ("pixels",)
    assert endure.control is not None and endure.teacher.basis == "reference" and endure.student.basis == "measured"
    parts = {step.splits.parts["test"].count for step in asked if isinstance(step, Predict | Ask)}
    assert parts == {2000, 9 * 256} and found.kept.endured is not None


def test_more_effort_looks_at_more_samples() -> None:
    thorough = EFFORT.model_copy(update={"name": "thorough"})
    (corrupt,) = of(looked(World(), effort=thorough)[2], Corrupt)
    assert corrupt.samples == 2000 and corrupt.severities == (1, 2, 3, 4, 5)


def test_a_large_teacher_is_asked_of_fewer_samples() -> None:
    outcome, large = chosen(), Size(params=1_000_000, macs=1_000_000_000)
    for teacher, samples in ((large, 33), (large.model_copy(update={"macs": 10**12}), 32)):
        (corrupt,) = of(looked(World(), outcome=outcome, teacher=teacher)[2], Corrupt)
        assert corrupt.samples == samples
    here = known(target()).model_copy(update={"teacher": None})
    world = World()
    world.follow(keep(here, outcome, ("pixels",)))
    assert of(world.asked, Corrupt)[0].samples == 256


def test_a_board_far_away_is_not_asked_of_corrupted_samples() -> None:
    there = target().model_copy(update={"device": Device(reach=Choice(name="ssh"))})
    found, outcome, asked = looked(World(), there)
    (endure,) = of(asked, Endure)
    assert endure.student.basis == "reference" and {s.part for s in of(asked, Predict)} == {"test", "validation"}
    assert shipped(outcome) in [step.source for step in of(asked, Ask)] and found.kept.contrasted.basis == "measured"


def test_where_no_runtime_and_no_definition_answers_torch_does() -> None:
    found, _, asked = looked(World(unknown="an operator has no rule"), target("coreml"), references=("coreml",))
    assert found.kept.contrasted.basis == "reference" and len(of(asked, Ask)) >= 3


@pytest.mark.parametrize(
    ("stage", "field", "why"),
    [
        ("resemble", "resemblance", "why_no_resemblance"),
        ("explain", "explained", "why_not_explained"),
        ("appraise", "transfer", "why_no_transfer"),
        ("corrupt", "endured", "why_not_endured"),
        ("ask", "endured", "why_not_endured"),
        ("endure", "endured", "why_not_endured"),
    ],
)
def test_what_cannot_be_had_is_missing_with_the_reason(stage: str, field: str, why: str) -> None:
    found, _, _ = looked(World(withheld=(stage,)), outcome=chosen())
    assert getattr(found.kept, field) is None and getattr(found.kept, why) == f"{stage} has no answer"
    assert found.kept.contrasted


def test_without_a_comparison_there_is_no_section() -> None:
    assert looked(World(withheld=("contrast",)), outcome=chosen())[0] is None
    world, here = World(), known()
    assert world.follow(keep(here, Outcome(sized=world.follow(choose(here)).sized), ())) is None


def test_a_worker_that_was_killed_says_nothing_of_the_samples() -> None:
    class Killing(World):
        def answer(self, step):
            if isinstance(step, Corrupt):
                raise WorkerKilled("corrupt", "killed", "log", "again")
            return super().answer(step)

    with pytest.raises(WorkerKilled):
        looked(Killing(), outcome=chosen())


def test_the_control_is_not_told_twice_where_it_ships() -> None:
    world = World(accuracy=lambda width, taught: 0.8 - 0.05 * taught)
    found, outcome, asked = looked(world)
    assert outcome.winner == "control" and shipped(outcome) in outcome.raced.control
    assert of(asked, Endure)[0].control is None and found.kept.endured is not None


def test_weights_of_the_users_are_held_against_random_ones() -> None:
    world, here = World(), known(target())
    outcome = chosen()
    start = UserFile(path="start.pt", sha256="5" * 64)
    best = shipped(outcome)
    settings = {**best.architecture.family.settings, "weights": "start.pt", "sha256": "5"}
    family = best.architecture.family.model_copy(update={"settings": settings, "files": {"weights": start}})
    seeds = (best.model_copy(update={"architecture": best.architecture.model_copy(update={"family": family})}),)
    raced = outcome.raced.model_copy(update={"distilled": seeds})
    found = world.follow(keep(here, outcome.model_copy(update={"raced": raced}), ("pixels",)))
    (train,) = of(world.asked, Train)
    assert train.networks == (best.architecture,) and train.seed == best.seed and train.soft_targets is not None
    assert train.schedule.epochs == EFFORT.epochs and found.kept.scratch is not None
    assert found.kept.scratch.difference.value == 0.03 and usual()[0].kept.scratch is None
