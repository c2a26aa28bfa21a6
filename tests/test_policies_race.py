"""Which recipe wins, in a made-up world, and what it is told to have cost."""

from dataclasses import replace

import pytest

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.gauge import Gauge
from edgekd.policies.contenders import METHODS, TITLES, contenders
from edgekd.policies.race import race, under_fake_quantization
from edgekd.recipes.effort import CONTROL
from edgekd.results import Column, Lesson, Size
from edgekd.spec import Choice, Objective, Teacher
from edgekd.steps import Compare, Label, Train
from tests.world import EFFORT, World, known, option, target

WIDE = EFFORT.model_copy(
    update={"methods": ("kd", "standardized", "dkd", "dist"), "control": CONTROL[:5], "trial_epochs": 6}
)
STUDENT = option(8).architecture


def uses(step: Train) -> set[str]:
    return {one.use.name for one in step.objectives}


def favouring(name: str):
    return lambda step: 0.02 if name in uses(step) else 0.0


def test_the_best_method_is_trained_in_full_and_told() -> None:
    world = World(bonus=favouring("dist"))
    raced = world.follow(race(known(target(), effort=WIDE), STUDENT))
    assert raced.terms.method == "DIST" and {"cross_entropy", "dist"} == {o.use.name for o in raced.terms.objectives}
    full = [step for step in world.asked if isinstance(step, Train) and step.schedule.epochs == WIDE.epochs]
    assert [uses(step) for step in full] == [{"cross_entropy", "dist"}, {"cross_entropy"}]
    assert full[0].soft_targets is not None and full[1].soft_targets is None


def test_all_learn_a_third_and_the_best_third_learns_on_by_the_same_rules_for_both() -> None:
    world = World(bonus=favouring("dkd"))
    raced = world.follow(race(known(target(), effort=WIDE), STUDENT))
    rungs = {
        (kind, epochs): sum((one.kind, one.epochs) == (kind, epochs) for one in raced.trials)
        for kind in ("distilled", "control")
        for epochs in (2, 6)
    }
    assert rungs == {("distilled", 2): 5, ("distilled", 6): 2, ("control", 2): 5, ("control", 6): 2}
    assert raced.terms.trial_steps_distilled == raced.terms.trial_steps_control == 5 * 2 + 2 * 6
    assert raced.terms.steps_distilled == raced.terms.steps_control == WIDE.epochs
    longest = [one.method for one in raced.trials if one.kind == "distilled" and one.epochs == 6]
    assert "decoupled KD" in longest


def test_every_method_is_compared_with_the_best_control_after_as_many_epochs() -> None:
    world = World(bonus=lambda step: 0.01 if step.schedule.learning_rate < 2e-3 else 0.0)
    raced = world.follow(race(known(target(), effort=WIDE), STUDENT))
    compared = [step for step in world.asked if isinstance(step, Compare)]
    assert len(compared) == 7 and {step.distilled[0].part for step in compared} == {"validation"}
    for step in compared:
        (mine,), (rival,) = step.distilled, step.control
        assert mine.outputs.name.split()[0] == rival.outputs.name.split()[0]
        assert "learning_rate=0.0009" in rival.outputs.name
    told = [one for one in raced.trials if one.kind == "distilled"]
    assert all(one.against_control is not None for one in told)
    assert all(one.against_control is None for one in raced.trials if one.kind == "control")


def test_few_race_over_the_longest_trial_alone() -> None:
    raced = World().follow(race(known(target()), STUDENT))
    assert [(one.kind, one.epochs) for one in raced.trials] == [("distilled", 2)] * 2 + [("control", 2)] * 2


def test_objectives_of_the_recipe_do_not_race_but_the_control_is_tuned() -> None:
    own = (Objective(use=Choice(name="dkd"), weight=2.0),)
    world = World()
    raced = world.follow(race(known(target(), effort=WIDE, objectives=own), STUDENT))
    assert raced.terms.objectives == own and raced.terms.method == TITLES["yours"]
    taught = [step for step in world.asked if isinstance(step, Train) and step.soft_targets is not None]
    assert taught and all(step.objectives == own for step in taught)
    assert sum(one.kind == "control" and one.epochs == 2 for one in raced.trials) == len(WIDE.control)


class Broken(World):
    """A world in which nothing that looks into the teacher can be trained."""

    def _train(self, step: Train) -> object:
        if step.teacher is not None or "dist" in uses(step):
            raise UsageError(Problem("student", "nothing in the student suggests itself as a feature map"))
        return super()._train(step)


def test_a_method_that_cannot_be_trained_is_told_and_left_out() -> None:
    raced = Broken().follow(race(known(target(), effort=WIDE), STUDENT))
    (failed,) = (one for one in raced.trials if one.validation_accuracy is None)
    assert failed.method == "DIST" and "suggests itself" in failed.why and failed.against_control is None
    assert raced.terms.method != "DIST"


def test_where_no_method_can_be_trained_the_race_fails_with_the_reason() -> None:
    own = (Objective(use=Choice(name="dist")),)
    with pytest.raises(UsageError, match="suggests itself as a feature map"):
        Broken().follow(race(known(target(), objectives=own), STUDENT))


def test_methods_that_look_into_the_teacher_have_it_beside_them() -> None:
    effort = EFFORT.model_copy(update={"methods": ("kd", "attention"), "control": CONTROL[:3]})
    world = World(bonus=favouring("attention"))
    raced = world.follow(race(known(target(), effort=effort), STUDENT))
    assert raced.terms.method == "attention transfer" and raced.terms.live
    live = [step for step in world.asked if isinstance(step, Train) and step.teacher is not None]
    assert {frozenset(uses(step)) for step in live} == {frozenset({"cross_entropy", "kd", "attention"})}
    tuned = under_fake_quantization(known(target(), effort=effort), raced, raced.distilled[0], taught=True)
    assert tuned.teacher is not None and tuned.objectives == raced.terms.objectives


def test_a_teacher_that_is_no_network_leaves_these_methods_out() -> None:
    effort = EFFORT.model_copy(update={"methods": METHODS})
    blind = known(target(), effort=effort).model_copy(update={"teacher": None, "no_teacher": "saved outputs"})
    assert {one.method for one in contenders(blind)} == {
        "kd", "standardized", "dkd", "dist", "multi_level", "adversarial"
    }  # fmt: skip
    plan = known(target(), effort=effort).plan.model_copy(update={"teacher": Teacher(source=Choice(name="program"))})
    program = known(target()).model_copy(update={"plan": plan})
    assert not any(one.live for one in contenders(program))
    assert {one.method for one in contenders(known(target(), effort=effort))} == set(METHODS)


def test_a_teacher_that_would_take_too_long_beside_the_student_is_told() -> None:
    effort = EFFORT.model_copy(update={"methods": ("kd", "attention"), "control": CONTROL[:3], "train_seconds": 60.0})
    slow = known(target(), effort=effort, teacher=Size(params=10**6, macs=10**9))
    raced = World().follow(race(slow, STUDENT))
    (out,) = (one for one in raced.trials if one.method == "attention transfer")
    assert "with the teacher beside it one training would take about" in out.why and out.epochs == 0
    assert sum(one.kind == "control" for one in raced.trials) == len(contenders(slow, STUDENT)) == 2
    assert "effort quick allows 60 s" in out.why or "1 min" in out.why


def test_peers_are_trained_together_and_the_best_one_goes_on() -> None:
    scheme = Choice(name="mutual", settings={"peers": 3})
    wanted = known(target(), scheme=scheme).model_copy(update={"course": {"peers": 3}})
    world = World()
    raced = world.follow(race(wanted, STUDENT))
    together = [step for step in world.asked if isinstance(step, Train) and len(step.networks) == 3]
    assert [(step.scheme, step.schedule.epochs) for step in together] == [(scheme, EFFORT.epochs)]
    assert raced.distilled[0].validation_accuracy == max(lesson.validation[0] for lesson in raced.lessons)
    assert [lesson.what for lesson in raced.lessons] == ["peer"] * 3


def test_peers_do_not_race_with_methods_that_look_into_one_student() -> None:
    effort = EFFORT.model_copy(update={"methods": ("kd", "hint")})
    wanted = known(target(), effort=effort, scheme=Choice(name="mutual"))
    raced = World(bonus=favouring("hint")).follow(race(wanted.model_copy(update={"course": {"peers": 2}}), STUDENT))
    (out,) = (one for one in raced.trials if one.method == "FitNets hints")
    assert "peers are trained together" in out.why and raced.terms.method == "KD"


def test_a_scheme_with_a_loss_of_its_own_trains_what_ships_by_it_and_one_without_leaves_it_to_offline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schemes = []
    for offers in (frozenset({"loss"}), frozenset[str]()):
        declared = replace(plugins.declared("schemes", "born_again"), offers=offers)
        with monkeypatch.context() as patch:
            patch.setattr(plugins, "declared", lambda kind, name, one=declared: one)
            world = World()
            world.follow(race(known(target(), scheme=Choice(name="own")), STUDENT))
        full = [s for s in world.asked if isinstance(s, Train) and s.schedule.epochs == EFFORT.epochs]
        schemes.append({(s.soft_targets is None, s.scheme.name) for s in full})
    assert schemes == [{(False, "own"), (True, "offline")}, {(False, "offline"), (True, "offline")}]


def test_generations_follow_and_assistants_come_before() -> None:
    generations = known(target()).model_copy(update={"course": {"generations": 1}})
    raced = World().follow(race(generations, STUDENT))
    assert [(lesson.what, lesson.ships) for lesson in raced.lessons] == [("generation", True), ("generation", False)]
    assisted = known(target()).model_copy(update={"course": {"assistants": 1}})
    world = World()
    raced = world.follow(race(assisted, STUDENT))
    assert raced.lessons[0] == Lesson(what="assistant", params=raced.lessons[0].params, validation=(0.93,), seconds=0.0,
                                      steps=EFFORT.epochs)  # fmt: skip
    (label,) = (step for step in world.asked if isinstance(step, Label))
    after = world.asked[world.asked.index(label) + 1 :]
    taught = [step.soft_targets for step in after if isinstance(step, Train) and step.soft_targets is not None]
    assert taught and all(soft.train.name.startswith("answers of") for soft in taught)


def test_of_an_error_less_wins_and_numbers_race_by_methods_of_their_own() -> None:
    column = Column(name="y", mean=0.0, deviation=1.0)
    base = known(target(), effort=WIDE)
    numbers = base.model_copy(
        update={
            "gauge": Gauge(name="RMSE", unit="", share=False, lower=True),
            "splits": base.splits.model_copy(update={"classes": (), "columns": (column,)}),
        }
    )
    world = World(bonus=lambda step: -0.02 if "bounded" in uses(step) else 0.0)
    raced = world.follow(race(numbers, STUDENT))
    assert raced.terms.method == "teacher-bounded regression"
    full = [step for step in world.asked if isinstance(step, Train) and step.schedule.epochs == WIDE.epochs]
    assert [uses(step) for step in full] == [{"squared_error", "bounded"}, {"squared_error"}]
    assert len({str(one.settings) + one.method for one in raced.trials if one.kind == "distilled"}) == len(WIDE.control)
