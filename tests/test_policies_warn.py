"""Each warning comes where its numbers are, says them and what to do; where all is well there is none."""

from functools import cache
from typing import Any

import pytest

from edgekd.kept import OfClass
from edgekd.policies.kept import Looked, keep
from edgekd.policies.known import Known
from edgekd.policies.stepdown import Outcome, choose
from edgekd.policies.warn import concerns
from edgekd.results import Size, Trial
from tests.world import APPRAISED, CONTRASTED, SPLITS, World, calibrated, interval, known, part, target


@cache
def looked(world: World | None = None, teacher: Size | None = None) -> tuple[Known, Outcome, Looked]:
    world, here = world or World(), known(target(), teacher=teacher)
    outcome = world.follow(choose(here))
    found = world.follow(keep(here, outcome, ("pixels",)))
    assert found is not None
    return here, outcome, found


def seen(found: Looked, **changes: Any) -> Looked:
    """With other answers on the test and the validation part."""
    contrasted = {name: value for name, value in changes.items() if name not in ("transfer", "endured")}
    others = {name: value for name, value in changes.items() if name not in contrasted}
    kept = found.kept.model_copy(update={"contrasted": found.kept.contrasted.model_copy(update=contrasted), **others})
    return found.model_copy(update={"kept": kept, "validation": found.validation.model_copy(update=contrasted)})


def told(here: Known, outcome: Outcome, found: Looked) -> dict[str, str]:
    """Warnings by what they are about, as printed; each says what to do."""
    every = concerns(here, outcome, found)
    assert all(one.fix and not one.fix.endswith(".") and not one.message.endswith(".") for one in every)
    return {one.about: f"{one.message}. {one.fix}" for one in every}


def test_where_all_is_well_nothing_is_said() -> None:
    assert told(*looked()) == {}


def test_a_teacher_that_is_hardly_better_than_none() -> None:
    here, outcome, found = looked()
    alone = outcome.raced.control[0].validation_accuracy
    words = told(here, outcome, seen(found, teacher=calibrated(alone + 0.005)))
    assert (
        f"{100 * alone + 0.5:.1f} % against {100 * alone:.1f} %" in words["teacher"]
        and "edgekd init" in words["teacher"]
    )
    assert "teacher" not in told(here, outcome, seen(found, teacher=calibrated(alone + 0.02)))


def test_a_task_that_is_solved_needs_no_better_teacher() -> None:
    world = World(accuracy=lambda width, taught: 0.992 + 0.001 * taught)
    assert "teacher" not in told(*_with(looked(world), teacher=calibrated(0.993), student=calibrated(0.993)))


def test_a_teacher_that_is_surer_than_it_is_right() -> None:
    words = told(*_with(looked(), teacher=calibrated(0.95, 0.88)))
    assert "teacher" not in words, "less sure than right is no danger"
    words = told(*_with(looked(), teacher=calibrated(0.9, 0.99)))
    assert "99.0 % sure, 90.0 % right" in words["teacher"] and "9.0 %, at least 8.0 %" in words["teacher"]


def _with(found: tuple[Known, Outcome, Looked], **changes: Any) -> tuple[Known, Outcome, Looked]:
    return found[0], found[1], seen(found[2], **changes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entropy": 0.97}, "97.0 % of the largest. Try lower temperatures"),
        ({"peak": 0.998}, "99.8 % in the mean. Try higher temperatures"),
    ],
)
def test_targets_that_say_nothing(change: dict[str, float], says: str) -> None:
    words = told(*_with(looked(), transfer=APPRAISED.model_copy(update=change)))
    assert says in words["temperature"] and "at temperature 4" in words["temperature"]


@pytest.mark.parametrize(
    ("accuracies", "says"),
    [
        ((0.90, 0.85, 0.84), "the best of those tried is the lowest: 1 with 90.0 % on the validation part, 2 next"),
        ((0.80, 0.85, 0.90), "the best of those tried is the highest: 4 with 90.0 % on the validation part, 2 next"),
        ((0.80, 0.90, 0.85), ""),
        ((0.80, 0.898, 0.90), ""),
        ((0.90,), ""),
    ],
)
def test_a_temperature_at_the_end_of_those_tried(accuracies: tuple[float, ...], says: str) -> None:
    here, outcome, found = looked()
    tried = tuple(
        Trial.model_validate(
            {
                "kind": "distilled",
                "method": "KD",
                "settings": {"temperature": t, "teacher_weight": 0.9},
                "epochs": 6,
                "validation_accuracy": a,
                "seconds": 1,
            }
        )
        for t, a in zip((1.0, 2.0, 4.0), accuracies, strict=False)
    )
    raced = outcome.raced.model_copy(update={"trials": tried})
    words = told(here, outcome.model_copy(update={"raced": raced}), found)
    assert says in words.get("temperature", "") and ("temperature" in words) == bool(says)


def test_a_gap_that_the_teachers_help_did_not_close() -> None:
    here, outcome, found = looked(teacher=Size(params=900_000, macs=100_000_000))
    size = next(row.size for row in outcome.rows if row.ships)
    assert size is not None and size.params == 4000
    far = seen(found, teacher=calibrated(0.95), student=calibrated(0.85))
    little = outcome.model_copy(update={"gain": outcome.gain.model_copy(update={"difference": interval(0.01)})})
    words = told(here, little, far)
    assert "225 times" in words["capacity gap"] and "10.0 points better" in words["capacity gap"]
    assert "its help added 1.0" in words["capacity gap"] and "60 k parameters first" in words["capacity gap"]
    assert "capacity gap" not in told(here, outcome, far), "where it closes a third of the gap it is worth it"
    near = here.model_copy(update={"teacher": Size(params=30_000, macs=1)})
    assert "capacity gap" not in told(near, little, far)
    assert "capacity gap" not in told(here.model_copy(update={"teacher": None}), little, far)


def test_transfer_data_unlike_the_test_data() -> None:
    words = told(*_with(looked(), transfer=APPRAISED.model_copy(update={"coverage": 0.31})))
    assert "31.0 % of the test samples" in words["transfer data"] and "97.0 %" in words["transfer data"]
    assert told(*_with(looked(), transfer=None)) == {}


def test_a_student_that_says_one_class_for_everything_and_forgets_another() -> None:
    one = OfClass(name="a", labelled=1000, teacher=1010, student=1950, both=990)
    two = OfClass(name="b", labelled=1000, teacher=990, student=50, both=50)
    here, outcome, found = _with(looked(), classes=(one, two))
    every = [f"{c.message}" for c in concerns(here, outcome, found) if c.about == "student"]
    assert every[0].startswith(
        "it says 'a' for 97.5 % of the test samples, where 50.0 % are; the teacher does for 50.5 %"
    )
    assert every[1] == "it says 'b' for 50 test samples, where 1000 are; the teacher does for 990"
    rare = two.model_copy(update={"labelled": 5, "student": 0})
    assert "student" not in told(*_with(looked(), classes=(one.model_copy(update={"student": 1000}), rare)))
    nobody = tuple(c.model_copy(update={"labelled": 0}) for c in (one, two))
    assert "student" not in told(*_with(looked(), classes=nobody))


def test_a_student_that_loses_more_to_corruptions() -> None:
    _, _, found = looked()
    rows = found.kept.endured.rows
    worse = tuple(row.model_copy(update={"behind": interval(0.3 if row.corruption == "blur" else 0.1)}) for row in rows)
    words = told(*_with(looked(), endured=found.kept.endured.model_copy(update={"rows": worse})))
    assert "10.0 points more" in words["corruptions"] and "most to blur: 30.0 more" in words["corruptions"]
    assert "at least 8.0" in words["corruptions"] and told(*_with(looked(), endured=None)) == {}


WORSE = World(accuracy=lambda width, taught: 0.8 - 0.05 * taught)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"teacher": calibrated(0.8)}, "the teacher is weak or surer than it is right"),
        ({"transfer": APPRAISED.model_copy(update={"peak": 0.999})}, "the teacher's targets hold no more than labels"),
        ({"transfer": APPRAISED.model_copy(update={"coverage": 0.1})}, "the transfer data are unlike the rest"),
        ({"student": calibrated(0.94)}, "labels are plenty: all 8000 training samples have one"),
    ],
)
def test_why_the_control_may_have_won(change: dict[str, Any], reason: str) -> None:
    near = Size(params=30_000, macs=100_000_000)
    words = told(*_with(looked(WORSE, near), **change))
    assert f"(80.0 % against 75.0 %) and is what ships; likely because {reason}" in words["control"]


def test_a_control_that_solves_the_task_needs_no_reason() -> None:
    solved = World(accuracy=lambda width, taught: 0.995)
    words = told(*_with(looked(solved), teacher=calibrated(0.995), student=calibrated(0.995)))
    assert "was as good on the validation part (99.5 % against 99.5 %)" in words["control"]
    assert "hardly anything left to learn. Leave the teacher away" in words["control"]


def test_a_gap_may_be_why_and_where_nothing_tells_it_says_so() -> None:
    here, outcome, found = _with(looked(WORSE), student=calibrated(0.8))
    none = outcome.model_copy(update={"gain": None})
    assert "too small to follow this teacher" in told(here, none, found)["control"]
    few = {**SPLITS.parts, "train": part(8000).model_copy(update={"labelled": 100})}
    splits = here.splits.model_copy(update={"parts": few})
    near = here.model_copy(update={"splits": splits, "teacher": None})
    assert "nothing that was looked at tells why" in told(near, none, found)["control"]
    assert "control" not in told(*looked())
    assert CONTRASTED.lost > CONTRASTED.won
