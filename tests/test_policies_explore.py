"""Which students are measured, in a made-up world whose latency is a law of what they compute, with noise."""

import math
from itertools import product
from statistics import mean
from typing import Any

import numpy as np
import pytest

from edgekd import keys
from edgekd.errors import NotConverted, Problem
from edgekd.policies import limits
from edgekd.policies.explore import AT_ONCE, explore, fill, used
from edgekd.policies.halving import entrants, halve
from edgekd.policies.search import Tighter, search, survey
from edgekd.policies.stepdown import ROUNDS, choose
from edgekd.results import Candidate, Option, Size, Work
from edgekd.spec import Architecture, Choice
from edgekd.steps import Export, Foretell, Measure, Train
from tests.world import EFFORT, World, known, target

STANDARD = EFFORT.model_copy(update={"candidates": 15, "trial_epochs": 12})
HIGH = 1.12  # p90's upper bound over the quiet latency


def works() -> list[Work]:
    """A space of networks like a small convolutional family at three resolutions."""
    found = []
    for width, depth, expansion, side in product((4, 8, 12, 16, 24, 32, 48), (1, 2, 3), (1, 3), (96, 128, 160)):
        pixels = (side // 4) ** 2
        found.append(
            Work(
                dense=pixels * width * width * 9,
                pointwise=pixels * width * width * expansion * depth,
                depthwise=pixels * width * 9 * expansion * depth,
                moved=16 * pixels * width * (1 + expansion * depth),
                peak=8 * pixels * width * expansion,
                operators={"dense": 2, "depthwise": 2 * depth, "other": 2, "pointwise": 4 * depth},
                params=40 * width * width * depth * expansion,
                resolution=side,
            )
        )
    return sorted(found, key=macs)


def macs(work: Work) -> int:
    return work.dense + work.pointwise + work.depthwise


WORKS = works()
OPTIONS = tuple(
    Option(
        architecture=Architecture(family=Choice(name="convnet", settings={"width": i})),
        size=Size(params=work.params, macs=macs(work)),
        work=work,
    )
    for i, work in enumerate(WORKS)
)


def seconds(work: Work) -> float:
    """Kinds of work have speeds of their own, so that MACs alone say little."""
    operators = 3e-6 * sum(work.operators.values())
    return operators + work.dense / 2e10 + work.pointwise / 8e9 + work.depthwise / 1.5e9 + work.moved / 1e10


def world(noise: float = 0.0, seed: int = 0, **laws: Any) -> World:
    draws = np.random.default_rng(seed).normal(0, noise, len(WORKS)) if noise else np.zeros(len(WORKS))

    def law(told: int, precision: str) -> float:
        # the made-up world's name for option number so and so; the teacher has a larger one than any
        one = min(told // 10_000, len(WORKS) - 1)
        return seconds(WORKS[one]) * math.exp(draws[one]) * (1.0 if precision == "float32" else 0.5)

    made = World(seconds=law, **laws)
    honest = made._measure

    def measure(artifact: Any) -> Any:
        measured = honest(artifact)
        latency = measured.latency.model_copy(update={"p90_high": HIGH * measured.latency.quiet})
        return measured.model_copy(update={"latency": latency})

    made._measure = measure  # type: ignore[method-assign]
    return made


def outlook(**changes: Any) -> Any:
    limits_ = target(precision="float32", **changes)
    return known(limits_, effort=STANDARD, teacher=Size(params=10**9, macs=10**12)).model_copy(
        update={"options": OPTIONS}
    )


COSTS = sorted(HIGH * seconds(work) for work in WORKS)


def used_of(place: float, noise: float, seed: int) -> tuple[float, float]:
    """The largest share of a budget that a measured student uses, and the largest that any would."""
    budget = math.exp(math.log(COSTS[0]) + place * math.log(COSTS[-1] / COSTS[0]))
    asked, made = outlook(max_latency=budget), world(noise, seed)
    found = made.follow(explore(asked, OPTIONS, {}))
    assert sum(isinstance(step, Export) for step in made.asked) == len(found.priced) <= 15
    possible = max(cost for cost in COSTS if cost <= budget) / budget
    return max(limits.used(asked.plan, one) for one in found.priced if one.fits), possible


def test_budgets_are_used_after_at_most_fifteen_measurements() -> None:
    # a search that predicts may miss the one student that uses a budget, but rarely, and never by much
    places = np.linspace(0.1, 0.9, 9)
    found = [used_of(place, noise, seed) for seed, noise in enumerate((0.0, 0.01, 0.03)) for place in places]
    shares = [used for used, possible in found if possible >= 0.9]
    assert len(shares) > 20 and min(shares) > 0.75
    assert np.mean([share >= 0.85 for share in shares]) >= 0.9, sorted(shares)[:5]


def test_what_a_student_costs_is_foretold_from_few_others_and_the_error_is_told() -> None:
    found = world(0.01).follow(explore(outlook(max_latency=COSTS[60]), OPTIONS, {}))
    (latency,) = [one for one in found.predictors if one.cost == "latency"]
    assert latency.students == len(found.priced) and 0 < latency.mean_error < 0.1
    assert latency.mean_error <= latency.worst_error and 0 <= latency.within <= 1


def test_the_first_wave_fills_the_space_rather_than_a_line_of_it() -> None:
    wave = fill(OPTIONS, 8)
    assert OPTIONS[-1] in wave and OPTIONS[0] in wave and len({id(one) for one in wave}) == 8
    assert len({one.work.resolution for one in wave if one.work}) >= 2
    ratios = [one.work.depthwise / one.size.macs for one in wave if one.work]
    assert max(ratios) > 3 * min(ratios), "not only along MACs"


@pytest.mark.parametrize("count", [1, 2, 5, 500])
def test_a_wave_is_never_larger_than_asked(count: int) -> None:
    assert len(fill(OPTIONS, count)) == min(count, len(OPTIONS))


def test_an_impossible_budget_ends_before_training_with_the_leanest_student_measured() -> None:
    made = world()
    told = made.follow(survey(outlook(max_latency=COSTS[0] / 2)))
    assert told.binds and not any(isinstance(step, Train) for step in made.asked)
    assert len(told.candidates) <= 15
    fastest = min(one.latency["tflite"] for one in told.candidates)
    assert fastest == pytest.approx(COSTS[0]), "the nearest budget is that of the fastest of all"


def test_no_measurement_is_spent_where_no_budget_is_set() -> None:
    made = world()
    found = made.follow(explore(outlook(), OPTIONS, {}))
    assert len(found.priced) == 8, "the first wave alone"


def test_a_student_that_has_no_file_is_told_and_the_others_are_not_hurt() -> None:
    made = world()
    honest = made._convert

    def fails(step: Any) -> Any:
        if step.program.digest == f"0:{len(OPTIONS) - 1}":
            raise NotConverted(Problem("tflite", "no such operator"))
        return honest(step)

    made._convert = fails  # type: ignore[method-assign]
    found = made.follow(explore(outlook(max_latency=COSTS[60]), OPTIONS, {}))
    (without,) = [one for one in found.priced if one.fault]
    assert without.size == OPTIONS[-1].size and not without.fits and "no such operator" in without.why
    assert {one.students for one in found.predictors} == {len(found.priced) - 1}


def failing(made: World, *faults: tuple[str, int]) -> World:
    """No file of these formats for these options."""
    honest = made._convert

    def fails(step: Any) -> Any:
        if any((step.format, step.program.digest) == (name, f"0:{number}") for name, number in faults):
            raise NotConverted(Problem(step.format, "no such operator"))
        return honest(step)

    made._convert = fails  # type: ignore[method-assign]
    return made


def test_where_each_student_fails_on_another_target_nothing_is_foretold() -> None:
    both = (target("tflite", "float32", max_latency=1.0), target("onnx", "float32", max_latency=1.0))
    asked = known(*both, effort=EFFORT.model_copy(update={"candidates": 3})).model_copy(update={"options": OPTIONS[:4]})
    made = failing(world(), ("tflite", 0), ("onnx", 3))
    told = made.follow(survey(asked))
    assert told.chosen is None and "no such operator" in told.binds and len(told.candidates) == 2


def test_a_student_without_a_file_is_not_taken_for_one_that_costs_nothing() -> None:
    lean = min(range(len(WORKS)), key=lambda i: seconds(WORKS[i]))
    others = tuple(option for i, option in enumerate(OPTIONS) if i >= 40 or i == lean)
    first = [OPTIONS.index(one) for one in fill(others, 8)]
    asked = outlook(max_latency=COSTS[0] / 100).model_copy(update={"options": others})
    found = failing(world(), ("tflite", first[-1]), ("tflite", lean)).follow(explore(asked, others, {}))
    fastest = min(HIGH * seconds(WORKS[OPTIONS.index(one)]) for one in others if OPTIONS.index(one) != lean)
    assert min(one.latency["tflite"] for one in found.priced if not one.fault) == pytest.approx(fastest)


def test_a_price_that_others_contradict_is_asked_again_once() -> None:
    """Something had the device meanwhile: one student seems to take twice as long. The lower latency counts."""
    made, wrong = world(0.01), []
    honest = made._measure

    def measure(artifact: Any) -> Any:
        measured = honest(artifact)
        if not wrong and seconds(WORKS[4]) < measured.latency.quiet:
            wrong.append(artifact)
            slow = {key: 2 * getattr(measured.latency, key) for key in ("quiet", "p50", "p90", "p90_high", "p99")}
            return measured.model_copy(update={"latency": measured.latency.model_copy(update=slow)})
        return measured

    made._measure = measure  # type: ignore[method-assign]
    found = made.follow(explore(outlook(max_latency=COSTS[-1] / 0.19), OPTIONS, {}))
    again = [step for step in made.asked if isinstance(step, Measure) and step.attempt]
    assert wrong and {step.attempt for step in again} == {2}
    assert len(again) <= 2, "one that the wrong price led astray may be asked as well"
    true = {seconds(WORKS[OPTIONS.index(option)]) for option in OPTIONS}
    for one in found.priced:
        assert min(abs(one.costs[0].quiet / value - 1) for value in true) < 0.1


def test_where_even_the_largest_is_far_from_every_budget_the_first_wave_is_all() -> None:
    made = world(0.01)
    found = made.follow(explore(outlook(max_latency=COSTS[-1] / 0.19), OPTIONS, {}))
    assert len(found.priced) == 8 and all(one.students == 8 for one in found.predictors) and found.predictors
    assert {step.others for step in made.asked if isinstance(step, Foretell)} == {()}
    few = world().follow(explore(outlook(max_latency=COSTS[-1] / 0.19), OPTIONS[-3:], {}))
    assert few.predictors == (), "three say nothing of a law"


def prices(made: World) -> set[str]:
    return {keys.key(step) for step in made.asked if isinstance(step, Measure) and step.by_graph}


@pytest.mark.parametrize(("place", "over"), [(45, 1.4), (75, 1.4), (60, 1.15)])
def test_stepping_down_does_not_buy_a_new_first_wave(place: int, over: float) -> None:
    made = world(accuracy=lambda number, taught: 0.5 + number / 1000)
    honest = made._timed

    def timed(artifact: Any, step: Any) -> Any:
        told = honest(artifact, step)
        longer = {name: getattr(told.latency, name) * (1 if step.by_graph else over) for name in ("p90", "p90_high")}
        return told.model_copy(update={"latency": told.latency.model_copy(update=longer)})

    made._timed = timed  # type: ignore[method-assign]
    asked = outlook(max_latency=COSTS[place])
    first = world()
    first.follow(survey(asked))
    outcome = made.follow(choose(asked))
    assert outcome.rounds > 1 and not any(row.missed for row in outcome.rows if row.ships)
    assert len(prices(made)) <= STANDARD.candidates + (ROUNDS - 1) * AT_ONCE
    assert len(prices(made) - prices(first)) <= (outcome.rounds - 1) * max(AT_ONCE, (15 - len(prices(first))) // 2)


def test_a_later_round_counts_what_was_priced_and_judges_it_anew() -> None:
    asked, made = outlook(max_latency=COSTS[60]), world()
    before = made.follow(explore(asked, OPTIONS, {})).priced
    gone = {one.architecture.model_dump_json() for one in before if one.fits and limits.used(asked.plan, one) >= 0.85}
    within = [option for option in OPTIONS if option.architecture.model_dump_json() not in gone]
    later = world()
    found = later.follow(explore(asked, within, {"tflite": 1.2}, before))
    assert not gone & {one.architecture.model_dump_json() for one in found.priced} and prices(later) <= prices(
        made
    ) | prices(later)
    assert len(prices(later)) <= max(AT_ONCE, (15 - len(before)) // 2)
    assert all(one.fits == (1.2 * one.latency["tflite"] <= COSTS[60]) for one in found.priced)
    shares = [used(asked, one, {"tflite": 1.2}) for one in found.priced if one.fits]
    assert max(shares) >= 0.8, "with what is known of others the edge is found at once"


def test_where_nothing_that_was_priced_is_allowed_any_more_the_law_of_it_still_helps() -> None:
    asked, made = outlook(max_latency=COSTS[60]), world()
    before = made.follow(explore(asked, OPTIONS, {})).priced
    seen = {one.architecture.model_dump_json() for one in before}
    within = [option for option in OPTIONS if option.architecture.model_dump_json() not in seen]
    found = world().follow(explore(asked, within, {}, before))
    assert 1 <= len(found.priced) <= max(AT_ONCE, 15 - len(before))
    assert max(limits.used(asked.plan, one) for one in found.priced if one.fits) >= 0.8
    unbounded = world().follow(explore(outlook(), within, {}, before))
    assert len(unbounded.priced) == AT_ONCE, "without a budget nothing is foretold, but something must be priced"


def test_a_round_that_learnt_a_margin_starts_from_the_first_rounds_prices() -> None:
    asked, made = outlook(max_latency=COSTS[60]), world()
    first = world()
    priced = {one.architecture.model_dump_json() for one in first.follow(survey(asked)).candidates}
    found = made.follow(survey(asked, Tighter(margin={"tflite": 1.1})))
    assert priced <= {one.architecture.model_dump_json() for one in found.candidates}


def test_those_that_use_most_of_the_budget_race_by_what_latencies_turned_out_to_be() -> None:
    both = (target("tflite", "float32", max_latency=1.0), target("onnx", "float32", max_latency=1.0))
    asked = known(*both).model_copy(update={"options": OPTIONS})
    some = [
        Candidate(architecture=o.architecture, size=o.size, latency={"tflite": 0.30 + i / 100, "onnx": 0.5 - i / 100})
        for i, o in enumerate(OPTIONS[:12])
    ]
    assert some[0] in entrants(asked, some) and some[11] in entrants(asked, some, {"tflite": 2.0})
    assert some[10] in entrants(asked, some, {"tflite": 2.0}) and some[10] not in entrants(asked, some)


def racing(count: int) -> list[Candidate]:
    return [
        Candidate(architecture=o.architecture, size=o.size, latency={"tflite": 0.1 * (i + 1)})
        for i, o in enumerate(OPTIONS[:count])
    ]


def test_halving_picks_the_best_and_trains_few_for_long() -> None:
    accuracies = {3: 0.9}
    made = World(accuracy=lambda number, taught: accuracies.get(number, 0.6 + number / 1000))
    asked = outlook(max_latency=1.0)
    found = made.follow(halve(asked, racing(8)))
    trained = [step.schedule.epochs for step in made.asked if isinstance(step, Train)]
    assert trained == [4] * 8 + [12] * 4
    best = max(found, key=lambda one: one.validation_accuracy or 0)
    assert best.architecture.family.settings["width"] == 3 and best.epochs == 12
    assert [one.size.macs for one in found] == sorted(one.size.macs for one in found) and len(found) == 8


def test_the_smallest_that_is_as_good_as_the_best_stays_in_the_race() -> None:
    made = World(accuracy=lambda number, taught: 0.9 + number / 10_000)
    found = made.follow(halve(outlook(max_latency=1.0), racing(8)))
    assert found[0].epochs == 12, "it is within one standard error"


def test_a_front_wants_all_to_learn_for_equally_long() -> None:
    asked = outlook(max_latency=COSTS[60])
    asked = asked.model_copy(update={"plan": asked.plan.model_copy(update={"pareto": True})})
    sized = world(accuracy=lambda number, taught: 0.5 + number / 1000).follow(search(asked))
    assert {one.epochs for one in sized.candidates} <= {0, 12}
    assert sum(one.front for one in sized.candidates) >= 3


def test_a_price_is_of_a_graph_and_a_certificate_of_a_file() -> None:
    made = world()
    made.follow(explore(outlook(max_latency=1.0), OPTIONS[:1], {}))
    (price,) = [step for step in made.asked if isinstance(step, Measure)]
    (artifact,) = price.artifacts
    weights = artifact.model_copy(update={"file": artifact.file.model_copy(update={"sha256": "1" * 64})})
    graph = artifact.model_copy(update={"graph": "another"})
    same, other = (price.model_copy(update={"artifacts": (one,)}) for one in (weights, graph))
    assert keys.key(price) == keys.key(same) != keys.key(other)
    certificate = price.model_copy(update={"by_graph": False})
    assert keys.key(certificate) != keys.key(same.model_copy(update={"by_graph": False}))
    for change in ({"fingerprint": "g"}, {"runtime": "2"}, {"threads": 2}):
        assert keys.key(price.model_copy(update=change)) != keys.key(price)


def test_a_second_budget_asks_for_hardly_anything_new() -> None:
    first, second = world(), world()
    first.follow(explore(outlook(max_latency=COSTS[60]), OPTIONS, {}))
    second.follow(explore(outlook(max_latency=COSTS[62]), OPTIONS, {}))
    asked, again = ({keys.key(s) for s in one.asked if isinstance(s, Measure)} for one in (first, second))
    assert len(again - asked) <= len(again) / 2
    assert mean(len(one) for one in (asked, again)) <= 15
