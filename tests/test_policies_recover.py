"""Rung by rung, in a made-up world where one thing alone helps."""

from collections.abc import Callable

import pytest

from edgekd.errors import Problem, Unsuited
from edgekd.policies.convey import convey
from edgekd.policies.recover import MORE
from edgekd.policies.stepdown import choose
from edgekd.steps import Convert, Diff, Equalize, Train
from tests.world import Setting, World, known, target

BAD = 0.02


def only(good: Callable[[Setting], bool]) -> World:
    return World(lossy=lambda setting: 0.001 if good(setting) else BAD)


def rungs(outcome):
    return [(rung.name, rung.kept) for rung in outcome.rungs]


def shipped(outcome):
    (row,) = (row for row in outcome.rows if row.ships)
    return row


RUNGS = {
    "percentile ranges": lambda s: s.ranges == "percentile",
    "ranges over 1,024 more samples, of each class as many": lambda s: s.more == MORE,
    "equalized layers": lambda s: s.program == "equalized.pt2",
    "the most sensitive layer in float": lambda s: s.in_float >= 1,
    "the 5 most sensitive layers in float": lambda s: s.in_float >= 5,
    "1 epochs under fake quantization with the teacher": lambda s: s.program == "trained.pt2",
}


@pytest.mark.parametrize("name", RUNGS)
def test_each_rung_succeeds_alone_and_is_the_last_that_is_tried(name: str) -> None:
    outcome = only(RUNGS[name]).follow(choose(known(target())))
    names = [rung for rung, _ in rungs(outcome)]
    assert names[0] == "as calibrated"
    kept = [rung for rung in outcome.rungs if rung.kept]
    assert kept and kept[-1].name == name
    row = shipped(outcome)
    assert row.precision == "int8" and f"recovered by {name}" in row.notes
    assert sum(r.role == "student" and r.precision == "int8" for r in outcome.rows) == 1
    assert kept[-1].loss == pytest.approx(0.001) and kept[-1].latency is not None and kept[-1].drop is not None


def test_of_layers_in_float_the_fewest_that_suffice_are_kept() -> None:
    world = only(RUNGS["the 5 most sensitive layers in float"])
    outcome = world.follow(choose(known(target())))
    tried = [r.name for r in outcome.rungs if r.name.endswith("in float")]
    assert tried[-1] == "the 5 most sensitive layers in float"
    assert {len(s.in_float) for s in world.asked if isinstance(s, Convert)} == {0, 1, 2, 4, 8, 6, 5}
    most = max((s.in_float for s in world.asked if isinstance(s, Convert)), key=len)
    assert most[:3] == ("relu", "conv11", "conv10"), "those that lose most first"


def test_a_rung_that_helped_a_little_is_what_the_next_starts_from() -> None:
    world = World(lossy=lambda s: 0.02 - 0.008 * (s.ranges == "percentile") - 0.01 * (s.more > 0))
    outcome = world.follow(choose(known(target())))
    assert [r.loss for r in outcome.rungs] == pytest.approx([0.02, 0.012, 0.002])
    assert shipped(outcome).precision == "int8"


def test_nothing_is_tried_where_little_was_lost_or_nothing_would_be_won() -> None:
    assert World(int8_loss=0.004).follow(choose(known(target()))).rungs == ()
    slow = World(int8_loss=BAD, seconds=lambda macs, precision: macs * (1e-9 if precision == "float32" else 3e-9))
    outcome = slow.follow(choose(known(target())))
    assert outcome.rungs == () and shipped(outcome).precision == "float32"


def test_where_no_rung_helps_float_ships_and_all_is_told() -> None:
    world = World(int8_loss=BAD)
    outcome = world.follow(choose(known(target())))
    assert shipped(outcome).precision == "float32"
    assert not any(kept for _, kept in rungs(outcome))
    assert len(outcome.rungs) == 9 and all(rung.why for rung in outcome.rungs)
    assert any(isinstance(s, Train) and s.fake_quant for s in world.asked)


def test_training_goes_on_from_the_winner_gently_and_with_its_teacher() -> None:
    world = World(int8_loss=BAD)
    world.follow(choose(known(target())))
    (step,) = [s for s in world.asked if isinstance(s, Train) and s.fake_quant]
    full = next(s for s in world.asked if isinstance(s, Train) and s.schedule.epochs == 10 and s.soft_targets)
    assert step.soft_targets == full.soft_targets and step.objectives == full.objectives and len(step.init) == 1
    assert step.schedule.epochs == 1 and step.schedule.learning_rate == pytest.approx(full.schedule.learning_rate / 10)


def test_a_network_that_is_not_ours_is_not_trained_and_that_is_said() -> None:
    world = World(int8_loss=BAD)
    found = world.follow(convey(known(target(precision="int8"), student=None)))
    assert not any(isinstance(s, Train) for s in world.asked)
    assert found.rungs[-1].why == "the network is not edgekd's to train: it came as it is"


def test_a_recovered_file_that_is_too_slow_does_not_count() -> None:
    world = World(
        lossy=lambda s: 0.001 if s.program != "student.pt2" else BAD,
        seconds=lambda macs, precision: macs * (1e-9 if precision == "float32" else 5e-10),
    )
    honest = world._measure

    def measure(artifact):
        measured = honest(artifact)
        if "equalized" not in artifact.graph:
            return measured
        slow = dict.fromkeys(("p50", "p90", "p90_high", "p99", "quiet"), 1.0)
        return measured.model_copy(update={"latency": measured.latency.model_copy(update=slow)})

    world._measure = measure
    outcome = world.follow(choose(known(target())))
    equalized = next(rung for rung in outcome.rungs if rung.name == "equalized layers")
    assert not equalized.kept and equalized.why == "no faster than float: p90 1 s"
    assert "fake quantization" in outcome.rungs[-1].name and outcome.rungs[-1].kept


def test_a_rung_that_cannot_be_is_told_and_the_next_is_tried() -> None:
    world = only(RUNGS["the most sensitive layer in float"])
    honest = world.answer

    def answer(step):
        if isinstance(step, Equalize):
            raise Unsuited(Problem("", "no two layers in a row"))
        return honest(step)

    world.answer = answer
    outcome = world.follow(choose(known(target())))
    assert ("equalized layers", False) in rungs(outcome) and outcome.rungs[-1].kept
    assert next(r for r in outcome.rungs if r.name == "equalized layers").why == "no two layers in a row"


def test_the_precision_asked_for_is_recovered_whatever_its_speed() -> None:
    world = World(
        lossy=lambda s: 0.001 if s.ranges == "percentile" else BAD,
        seconds=lambda macs, precision: macs * (1e-9 if precision == "float32" else 3e-9),
    )
    outcome = world.follow(choose(known(target(precision="int8"))))
    assert rungs(outcome) == [("as calibrated", False), ("percentile ranges", True)]
    assert any(isinstance(s, Diff) for s in world.asked) is False


def larger(accuracy, **budget):
    """A world where int8 of the student of least width loses much whatever is done, and wider ones lose nothing."""
    world = World(accuracy=accuracy)

    def evaluate(step, honest=world._evaluate):
        width = step.predictions.outputs.name.split(":")[1:2]
        world.int8_loss = BAD if width == ["1"] else 0.0
        return honest(step)

    world._evaluate = evaluate
    return world.follow(
        choose(known(target(precision="int8", max_quantization_loss=0.005, **budget), widths=range(1, 4)))
    )


def test_the_last_rung_is_a_larger_student_where_one_fits() -> None:
    outcome = larger(lambda width, taught: 0.8)
    assert outcome.rungs[-1].name == "a larger student" and outcome.rungs[-1].kept
    row = shipped(outcome)
    assert row.fits is True and row.size.params == 200
    assert outcome.sized.chosen.size.params == 200


def test_without_room_for_a_larger_student_the_miss_stands() -> None:
    outcome = larger(lambda width, taught: 0.8, max_params=150)
    assert not any(rung.kept for rung in outcome.rungs) and shipped(outcome).fits is False
    assert shipped(outcome).size.params == 100
