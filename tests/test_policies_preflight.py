"""What is found out before anything is trained, in a made-up world."""

from typing import Any

import pytest

from edgekd.errors import EdgekdError, StepFailed, UsageError
from edgekd.policies.preflight import Cleared, preflight
from edgekd.results import Artifact, Located, Rehearsed, Size
from edgekd.spec import Teacher
from edgekd.steps import Convert, Export, Locate, Rehearse, Train
from tests.world import World, known, target

ALL = {"tflite": ("float32", "float16", "int8", "int4-weights"), "onnx": ("float32", "int8")}


def test_the_largest_student_and_the_teacher_go_through_every_target_and_precision() -> None:
    world = World()
    cleared = world.follow(preflight(known(target(), target("onnx", precision="int8"), offers=ALL)))
    assert cleared.refused == {} and cleared.notes == ()
    exported = [s.source for s in world.asked if isinstance(s, Export)]
    assert exported[0].family.settings["width"] == 40 and isinstance(exported[1], Teacher) and len(exported) == 2
    made = {(s.format, s.precision, s.program.size.params) for s in world.asked if isinstance(s, Convert)}
    student, teacher = 100 * 40, 100 * 10_000
    assert made == {
        *(("tflite", p, student) for p in ALL["tflite"]), *(("onnx", p, student) for p in ALL["onnx"]),
        *((f, p, teacher) for f in ALL for p in ("float32", "int8")),
    }  # fmt: skip
    assert sum(isinstance(s, Rehearse) for s in world.asked) == len(made)
    assert not any(isinstance(s, Train) for s in world.asked)


def test_a_precision_that_any_would_replace_is_left_out_with_its_reason() -> None:
    world = World(unsuited=("int4-weights",))
    cleared = world.follow(preflight(known(target(), offers=ALL)))
    assert cleared.refused == {"tflite": {"int4-weights": "cannot do this network any good"}}


def test_a_precision_that_was_asked_for_stops_the_plan() -> None:
    with pytest.raises(UsageError) as found:
        World(unsuited=("int4-weights",)).follow(preflight(known(target(precision="int4-weights"), offers=ALL)))
    (problem,) = found.value.problems
    assert problem.where == "target tflite, int4-weights" and "auto" in problem.hint


def test_all_targets_are_told_at_once_each_fault_once() -> None:
    world = World(unsuited=("float32",))
    with pytest.raises(UsageError) as found:
        world.follow(preflight(known(target(precision="int8"), target("onnx"), offers=ALL)))
    assert [p.where for p in found.value.problems] == ["target tflite, float32", "target onnx, float32"]


def test_a_file_that_runs_wrong_is_a_fault_like_one_that_is_not_made() -> None:
    with pytest.raises(UsageError, match="target tflite, float32: its output is upside down"):
        World(fault="its output is upside down").follow(preflight(known(target(), offers=ALL)))


def test_a_target_that_nothing_here_can_check_is_converted_and_not_run() -> None:
    world = World(fault="would be told")
    assert world.follow(preflight(known(target("coreml"), offers={"coreml": ("float32",)}))).refused == {}
    assert any(isinstance(s, Convert) for s in world.asked) and not any(isinstance(s, Rehearse) for s in world.asked)


def test_a_file_that_does_not_run_is_told_with_the_operator_at_which_it_stops() -> None:
    world = World()
    honest = world.answer

    def answer(step: Any) -> Any:
        if isinstance(step, Rehearse) and step.artifact.precision == "int8":
            return Rehearsed(basis="measured", fault="it does not run: SIGSEGV")
        return Located(operator="aten.roll", advice="use slices") if isinstance(step, Locate) else honest(step)

    world.answer = answer
    with pytest.raises(UsageError, match=r"SIGSEGV\. It stops at aten\.roll\. Instead, use slices"):
        world.follow(preflight(known(target(precision="int8"), offers=ALL)))
    assert sum(isinstance(s, Locate) for s in world.asked) == 1
    # a file that any other may replace is not worth the search
    world.asked.clear()
    refused = world.follow(preflight(known(target(), offers=ALL))).refused
    assert refused == {"tflite": {"int8": "it does not run: SIGSEGV"}}
    assert not any(isinstance(s, Locate) for s in world.asked)


def test_a_teacher_without_a_file_is_a_note() -> None:
    world = World()
    honest = world._convert

    def convert(step: Convert):
        if step.program.size.params == 1_000_000:
            raise EdgekdError("no such operator\n  log: somewhere")
        return honest(step)

    world._convert = convert
    cleared = world.follow(preflight(known(target(precision="float32"), offers=ALL)))
    assert cleared.refused == {}
    assert cleared.notes[0] == "the teacher has no tflite file in float32: no such operator"


def test_nothing_is_rehearsed_where_no_student_keeps_the_limits() -> None:
    world = World()
    cleared = world.follow(preflight(known(target(), teacher=Size(params=1, macs=1), offers=ALL)))
    assert cleared.refused == {} and world.asked == []


ROUTES = {"tflite": ("direct", "onnx", "hand")}


def routed(world: World, **changes: Any) -> Cleared:
    return world.follow(preflight(known(target(), offers=ALL, routes=ROUTES, **changes)))


def test_where_a_converter_fails_the_next_makes_every_file_and_is_told() -> None:
    world = World(failing=("",))
    cleared = routed(world)
    assert cleared.routes == {"tflite": ("onnx", "hand")} and cleared.refused == {}
    assert cleared.notes == ("tflite files come by onnx, since direct fails: no such operator in the first",)
    quantized = [s for s in world.asked if isinstance(s, Convert) and s.precision == "int8"]
    assert quantized and {s.route for s in quantized} == {"onnx"} == {s.base.route for s in quantized}


def test_a_converter_that_makes_a_wrong_file_is_followed_by_the_next_too() -> None:
    world = World(wrong=("", "onnx"))
    cleared = routed(world)
    assert cleared.routes == {"tflite": ("hand",)}
    assert "upside down; its output is upside down" in cleared.notes[-1]
    later = known(target(), offers=ALL, routes=ROUTES).model_copy(update={"settled": cleared.routes})
    assert later.ways(later.plan.targets[0]) == ("hand",)


def test_where_every_converter_fails_all_of_them_are_told() -> None:
    with pytest.raises(UsageError) as found:
        routed(World(failing=("", "onnx", "hand")))
    (problem,) = found.value.problems
    assert problem.message.startswith("no such operator in the first")
    assert "By onnx: no such operator in onnx" in problem.message and "By hand: no such" in problem.message


def test_where_the_last_converter_is_wrong_the_first_ones_fault_is_told() -> None:
    with pytest.raises(UsageError, match="its output is upside down"):
        routed(World(wrong=("",), failing=("onnx", "hand")))


def test_a_converter_that_crashes_or_hangs_is_followed_by_the_next() -> None:
    world = World()
    honest = world._convert

    def convert(step: Convert) -> Artifact:
        if step.base is None and not step.route:
            raise StepFailed("convert", "ended by signal SIGSEGV", "log.txt", "again")
        return honest(step)

    world._convert = convert
    cleared = routed(world)
    assert cleared.routes == {"tflite": ("onnx", "hand")}
    assert cleared.notes[-1].startswith(
        "tflite files come by onnx, since direct fails: convert failed: ended by signal"
    )
