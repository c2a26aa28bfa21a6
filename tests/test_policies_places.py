"""What a budget for fallback does to the choice, in a made-up world."""

import pytest

from edgekd.errors import DeviceError
from edgekd.policies import limits
from edgekd.policies.convey import convey
from edgekd.policies.stepdown import choose
from edgekd.spec import Budget
from edgekd.steps import Measure, Profile
from tests.world import World, known, profiled, target

FALLS = "fallback: 10 % of operators over 5 %"


def ships(outcome):
    return next(row for row in outcome.rows if row.ships)


def test_every_file_of_the_winner_is_looked_into_after_it_was_timed() -> None:
    world = World(placed=lambda artifact: profiled(2, 0.3))
    outcome = world.follow(choose(known(target())))
    asked = [step for step in world.asked if isinstance(step, Profile)]
    assert [(step.artifact.precision, step.threads, step.runtime) for step in asked] == [
        ("float32", 1, "1"), ("int8", 1, "1"),
    ]  # fmt: skip
    timed = max(i for i, step in enumerate(world.asked) if isinstance(step, Measure))
    assert world.asked.index(asked[0]) > timed
    rows = {(row.role, row.precision): row.placement for row in outcome.rows}
    assert rows["student", "int8"] == rows["student", "float32"] == profiled(2, 0.3)
    assert rows["control", "int8"] is None and rows["teacher", "float32"] is None
    assert ships(outcome).fits is True, "no budget asked for it"


@pytest.mark.parametrize(
    ("off", "time", "missed"),
    [
        (2, None, (FALLS,)),
        (2, 0.01, (FALLS,)),
        (1, 0.05, ()),
        (1, 0.4, ("fallback: 40 % of their time over 5 %",)),
        (0, 0.0, ()),
    ],
)
def test_operators_and_their_time_are_held_to_the_budget(off: int, time: float | None, missed: tuple[str, ...]) -> None:
    world = World(placed=lambda artifact: profiled(off, time))
    row = ships(world.follow(choose(known(target(precision="int8", max_fallback=0.05)))))
    assert (row.missed, row.fits) == (missed, not missed)


def test_a_precision_that_keeps_the_budget_ships_in_place_of_a_faster_one() -> None:
    world = World(placed=lambda artifact: profiled(2 if artifact.precision == "int8" else 0))
    outcome = world.follow(choose(known(target(max_fallback=0.05))))
    assert (ships(outcome).precision, ships(outcome).fits) == ("float32", True)
    int8 = next(row for row in outcome.rows if (row.role, row.precision) == ("student", "int8"))
    assert (int8.fits, int8.missed) == (False, (FALLS,))
    assert ships(world.follow(choose(known(target())))).precision == "int8"


def test_with_such_a_budget_every_row_is_judged() -> None:
    outcome = World().follow(choose(known(target(max_fallback=0.05))))
    assert {row.fits for row in outcome.rows} == {True} and all(row.placement for row in outcome.rows)


def test_what_cannot_be_known_is_inconclusive_never_kept() -> None:
    world = World(placed=lambda artifact: profiled(0, basis="reference"))
    assert ships(world.follow(choose(known(target(max_fallback=0.05))))).fits is None
    worse = World(placed=lambda artifact: profiled(2, basis="reference"))
    row = ships(worse.follow(choose(known(target(max_fallback=0.05)))))
    assert (row.fits, row.missed) == (False, (FALLS,)), "documentation can break it"


def test_a_file_that_cannot_be_looked_into_is_no_end() -> None:
    def fail(artifact):
        raise DeviceError("its watch is broken\nand more")

    row = ships(World(placed=fail).follow(choose(known(target()))))
    assert (row.placement.basis, row.placement.why, row.fits) == ("not measured", "its watch is broken", True)
    row = ships(World(placed=fail).follow(choose(known(target(max_fallback=0.05)))))
    assert (row.fits, row.missed) == (None, ())


def test_a_target_that_does_not_run_here_is_asked_without_a_runtime() -> None:
    world = World(placed=lambda artifact: profiled(0, basis="reference"))
    world.follow(choose(known(target("coreml"), references=("coreml",))))
    assert {step.runtime for step in world.asked if isinstance(step, Profile)} == {""}


def test_a_model_as_it_is_is_looked_into_in_every_precision() -> None:
    world = World(placed=lambda artifact: profiled(1))
    judged = world.follow(convey(known(target(), student=None)))
    assert {row.precision for row in judged.rows if row.placement} == {"float32", "int8"}


def test_limits_say_nothing_where_nothing_is_known_or_asked() -> None:
    budget = Budget(max_fallback="5%")
    assert limits.fallback(budget, None) == limits.fallback(Budget(), profiled(9)) == ()
    assert limits.fallback(budget, profiled(0).model_copy(update={"fallback": None})) == ()
    assert not limits.unplaced(Budget(), None) and limits.unplaced(budget, None)
    assert not limits.unplaced(budget, profiled(20))
