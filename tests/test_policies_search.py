"""How large the student may be and should be, in a made-up world."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.policies import limits
from edgekd.policies.search import Tighter, search
from edgekd.policies.search import _binds as binds
from edgekd.results import Candidate, Measured, Size
from edgekd.steps import Export, Measure, Train
from tests.world import World, known, target


def width(candidate) -> int:
    return candidate.architecture.family.settings["width"]


def test_nothing_is_trained_where_no_student_keeps_the_exact_limits() -> None:
    world = World()
    sized = world.follow(search(known(target(max_params=50))))
    assert sized.chosen is None
    assert world.asked == []
    assert "parameters: 100 over 50" in sized.binds
    assert "100 parameters" in sized.nearest


@given(limit=st.integers(100, 5000))
@settings(max_examples=10, deadline=None)
def test_the_chosen_student_keeps_a_limit_on_parameters(limit: int) -> None:
    sized = World().follow(search(known(target(max_params=limit))))
    assert sized.chosen.size.params <= limit


@given(budget=st.floats(1.2e-5, 5e-4))
@settings(max_examples=10, deadline=None)
def test_the_chosen_student_was_timed_within_the_budget_and_few_were_priced(budget: float) -> None:
    world = World()
    sized = world.follow(search(known(target(max_latency=budget, precision="float32"))))
    assert sized.chosen.latency["tflite"] <= budget
    assert (
        all(c.fits for c in sized.candidates)
        or max(c.latency["tflite"] for c in sized.candidates if c.fits) >= 0.85 * budget - 1e-5
    )
    assert sum(isinstance(step, Export) for step in world.asked) <= 8


def test_a_budget_that_no_student_meets_names_the_fastest_before_any_training() -> None:
    world = World()
    sized = world.follow(search(known(target(max_latency=1e-9))))
    assert sized.chosen is None
    assert not any(isinstance(step, Train) for step in world.asked)
    assert "the nearest that tflite can keep is about latency 5 µs" in sized.nearest


@pytest.mark.parametrize(("threads", "advice"), [(2, True), (1, False)])
def test_where_nothing_is_fast_enough_more_threads_are_tried_and_told(threads: int, advice: bool) -> None:
    world, asked = World(), known(target(max_latency=4e-6))
    honest, cores = world.answer, asked.facts["this-computer"].model_copy(update={"cores": threads})

    def answer(step):
        found = honest(step)
        if not isinstance(step, Measure) or step.threads == 1:
            return found
        (one,) = found.measurements
        latency = one.latency.model_copy(update={"p90_high": one.latency.p90_high / step.threads})
        return Measured(measurements=(one.model_copy(update={"latency": latency}),))

    world.answer = answer
    sized = world.follow(search(asked.model_copy(update={"facts": {"this-computer": cores}})))
    assert sized.chosen is None
    said = "with 2 threads the fastest takes 2.5 µs on tflite: --threads 2 would keep the budget"
    assert (said in sized.nearest) == advice and ("threads" in sized.nearest) == advice


def test_the_smallest_within_one_standard_error_is_taken_not_the_largest() -> None:
    plateau = World(accuracy=lambda w, taught: 0.9 if w >= 10 else 0.6)
    sized = plateau.follow(search(known(target(max_latency=1.0))))
    assert 10 <= width(sized.chosen) < 40
    assert sized.binds.startswith("nothing: larger students fit")


def test_the_teachers_quarter_binds_where_nothing_else_does() -> None:
    sized = World().follow(search(known(target(), teacher=Size(params=4000, macs=10**9))))
    assert width(sized.chosen) <= 10
    assert "25 % of the teacher's parameters" in sized.binds


def test_the_time_for_a_build_leaves_out_students_by_estimate_and_cores_make_room() -> None:
    keen = World(accuracy=lambda width, taught: width / 50)
    alone = known(target(), max_time=30.0)
    two = alone.model_copy(update={"cores": 2})
    one, both = (keen.follow(search(outlook)) for outlook in (alone, two))
    for outlook, found in ((alone, one), (two, both)):
        samples = outlook.splits.parts["train"].count
        seconds = limits.all_training(outlook.plan, samples, found.chosen.size.macs) / outlook.cores
        assert seconds <= limits.TRAINING_SHARE * 30
        assert "training time of a build within --max-time 30 s" in found.binds
    assert width(one.chosen) < width(both.chosen) < 40


def test_stepping_down_looks_only_at_smaller_students() -> None:
    sized = World().follow(search(known(target()), Tighter(below=100_000)))
    assert sized.chosen.size.macs < 100_000


@pytest.mark.parametrize(
    ("learned", "said"), [(0.7, "were no better"), (None, "were not among those that were trained")]
)
def test_only_students_that_were_trained_are_said_to_be_no_better(learned: float | None, said: str) -> None:
    outlook = known(target())
    small, large = (Candidate(architecture=o.architecture, size=o.size) for o in outlook.options[:2])
    small = small.model_copy(update={"validation_accuracy": 0.7})
    large = large.model_copy(update={"validation_accuracy": learned})
    told = binds(outlook, outlook.options, [small, large], small)
    assert told.startswith("nothing: larger students fit") and said in told
