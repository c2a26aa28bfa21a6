"""What untrained students cost, in a made-up world where some files cannot be timed, or do not settle."""

from collections.abc import Callable

import pytest

from edgekd.errors import DeviceError
from edgekd.policies.pricing import price
from edgekd.policies.search import survey
from edgekd.results import Artifact
from edgekd.steps import Measure
from tests.world import FACTS, World, known, target


def trouble(kind: str, *attempts: int, width: int = 3) -> Callable[[Artifact, int], str]:
    """One student's files are in trouble at these attempts."""
    return lambda artifact, attempt: kind if artifact.graph.startswith(f"0:{width}:") and attempt in attempts else ""


def attempts(world: World) -> list[int]:
    return [step.attempt for step in world.asked if isinstance(step, Measure)]


def test_a_student_that_is_refused_twice_does_not_count_as_fitting_a_latency_budget() -> None:
    asked, world = known(target(max_latency=1.0, precision="float32")), World(trouble=trouble("refused", 0, 1))
    found = world.follow(price(asked, asked.options[:5], {}))
    assert [one.fits for one in found] == [True, True, False, True, True]
    assert found[2].fault.startswith("not measured: the float32 file for tflite: every session was refused")
    assert found[2].why == found[2].fault and attempts(world) == [0] * 5 + [1]


def test_without_a_latency_budget_a_refusal_is_no_fault() -> None:
    asked = known(target(max_size=10**9, precision="float32"))
    found = World(trouble=trouble("refused", 0, 1)).follow(price(asked, asked.options[:5], {}))
    assert all(one.fits and not one.fault for one in found) and "tflite" not in found[2].latency


@pytest.mark.parametrize("kind", ["refused", "unstable"])
def test_what_went_wrong_once_is_timed_once_more(kind: str) -> None:
    asked, world = known(target(max_latency=1.0, precision="float32")), World(trouble=trouble(kind, 0))
    found = world.follow(price(asked, asked.options[:5], {}))
    assert all(one.fits and one.latency and not one.costs[0].unstable for one in found)
    assert attempts(world) == [0] * 5 + [1]


def test_what_is_unstable_twice_is_marked() -> None:
    asked, world = known(target(max_latency=1.0, precision="float32")), World(trouble=trouble("unstable", 0, 1))
    found = world.follow(price(asked, asked.options[:5], {}))
    assert [one.costs[0].unstable for one in found] == [False, False, True, False, False]


def test_one_that_is_refused_does_not_take_the_law_of_latency_along() -> None:
    asked, world = (
        known(target(max_latency=1e-4, precision="float32")),
        World(trouble=trouble("refused", 0, 1, width=40)),
    )
    found = world.follow(survey(asked))
    (latency,) = [one for one in found.predictors if one.cost == "latency"]
    assert latency.students == len(found.candidates) - 1


def test_where_no_student_could_be_timed_nothing_is_said_to_miss_its_budget() -> None:
    world = World(trouble=lambda artifact, attempt: "refused")
    with pytest.raises(DeviceError, match=r"no student could be timed; not measured: .* it was too hot"):
        world.follow(survey(known(target(max_latency=1.0))))


def test_an_emulated_device_is_not_asked_for_seconds() -> None:
    asked, world = known(target(max_latency=1.0)), World()
    facts = {"this-computer": FACTS.model_copy(update={"emulated": "it says so"})}
    found = world.follow(price(asked.model_copy(update={"facts": facts}), asked.options[:2], {}))
    assert not attempts(world) and all(one.fits and not one.fault and not one.latency for one in found)
