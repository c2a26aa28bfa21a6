"""Which file ships, and what the rows say, in a made-up world."""

import pytest

from edgekd.conditions import Noise, Ratio
from edgekd.errors import EdgekdError, StoreError, Unsuited, WorkerKilled
from edgekd.policies.stepdown import choose
from edgekd.spec import Teacher
from edgekd.steps import Convert, Evaluate, Export, Measure, Predict, Reference, Train
from tests.world import EFFORT, World, known, target


def ships(outcome):
    return [row for row in outcome.rows if row.ships]


def test_the_faster_precision_ships_and_every_row_is_there() -> None:
    outcome = World().follow(choose(known(target())))
    assert [(r.role, r.precision) for r in outcome.rows] == [
        ("teacher", "float32"), ("teacher-int8", "int8"), ("control", "float32"), ("control", "int8"),
        ("student", "float32"), ("student", "int8"),
    ]  # fmt: skip
    (row,) = ships(outcome)
    assert (row.role, row.precision, row.fits) == ("student", "int8", True)


def test_a_lossy_int8_does_not_ship() -> None:
    outcome = World(int8_loss=0.006).follow(choose(known(target(max_quantization_loss=0.005))))
    assert ships(outcome)[0].precision == "float32"


def test_a_slower_int8_does_not_ship() -> None:
    world = World(seconds=lambda macs, precision: macs * (1e-9 if precision == "float32" else 3e-9))
    assert ships(world.follow(choose(known(target()))))[0].precision == "float32"


ALL = {"tflite": ("float32", "float16", "int8", "int8-weights")}


def test_equal_latency_ships_the_smallest_float_file_for_a_quantized_one_is_no_faster() -> None:
    world = World(seconds=lambda macs, precision: macs * 1e-9)
    outcome = world.follow(choose(known(target(), offers=ALL)))
    assert ships(outcome)[0].precision == "float16"
    notes = {row.precision: row.notes for row in outcome.rows if row.role == "student"}
    assert "int8 is no faster than float here" in notes["int8"]
    assert not any("no faster" in note for note in (*notes["float32"], *notes["float16"]))


def test_a_quantized_file_that_is_no_faster_ships_where_it_is_wanted_for_size() -> None:
    world = World(seconds=lambda macs, precision: macs * 1e-9)
    outcome = world.follow(choose(known(target(max_size=150), offers=ALL)))
    (row,) = ships(outcome)
    assert (row.precision, row.fits) == ("int8", True)


def test_of_equally_fast_quantized_files_the_smaller_ships() -> None:
    outcome = World().follow(choose(known(target(), offers={"tflite": ("float32", "int8-weights", "int8")})))
    sizes = {row.precision: row.artifact.size for row in outcome.rows if row.role == "student"}
    assert sizes["int8"] == sizes["int8-weights"] < sizes["float32"]
    assert ships(outcome)[0].precision == "int8-weights", "the first of equals"


def test_only_the_winner_is_made_in_every_precision() -> None:
    world = World()
    outcome = world.follow(choose(known(target(), offers=ALL)))
    made = {role: {r.precision for r in outcome.rows if r.role == role} for role in ("control", "student")}
    assert made == {"control": {"float32", "int8"}, "student": set(ALL["tflite"])}
    trained = [s for s in world.asked if isinstance(s, Convert) and s.program.trained and s.precision != "float32"]
    assert trained and all(s.base is not None and s.base.precision == "float32" for s in trained)


def test_what_came_to_nothing_in_the_rehearsal_is_not_asked_for_again() -> None:
    world = World()
    outcome = world.follow(choose(known(target(), offers=ALL, refused={"tflite": {"int8": "why not"}})))
    assert not any(
        isinstance(s, Convert) and s.precision == "int8" and s.program.size.params < 10_000 for s in world.asked
    )
    assert ships(outcome)[0].precision in ("float32", "float16", "int8-weights")


def test_a_precision_that_fails_on_the_trained_network_is_left_out_unless_it_was_asked_for() -> None:
    outcome = World(unsuited=("int8-weights",)).follow(choose(known(target(), offers=ALL)))
    assert "int8-weights" not in {row.precision for row in outcome.rows}
    with pytest.raises(Unsuited, match="cannot do this network any good"):
        World(unsuited=("int8-weights",)).follow(choose(known(target(precision="int8-weights"), offers=ALL)))


def test_an_unfaithful_float16_file_is_told_and_never_ships() -> None:
    world = World(seconds=lambda macs, precision: macs * 1e-9, unfaithful=("float16",))
    outcome = world.follow(choose(known(target(), offers=ALL)))
    half = next(row for row in outcome.rows if (row.role, row.precision) == ("student", "float16"))
    assert half.fits is False and half.missed[0] == "it does not compute what torch computes"
    assert ships(outcome)[0].precision == "float32"
    with pytest.raises(EdgekdError, match=r"tflite float16 .* does not compute what torch computes"):
        World(unfaithful=("float16",)).follow(choose(known(target(precision="float16"), offers=ALL)))


def test_the_control_ships_where_the_teacher_does_not_help() -> None:
    world = World(accuracy=lambda w, taught: min(0.9, 0.5 + w / 50) - 0.05 * taught)
    outcome = world.follow(choose(known(target())))
    assert outcome.winner == "control"
    assert ships(outcome)[0].role == "control"


def test_a_file_that_does_not_compute_what_torch_computed_fails_the_build() -> None:
    with pytest.raises(EdgekdError, match=r"tflite float32 .* does not compute what torch computes"):
        World(parity=False).follow(choose(known(target())))


def test_a_teacher_without_a_network_has_a_row_that_says_why() -> None:
    outcome = World(convertible_teacher=False).follow(choose(known(target())))
    teacher = outcome.rows[0]
    assert (teacher.role, teacher.artifact, teacher.measurement.basis) == ("teacher", None, "not measured")
    assert "black box" in teacher.measurement.why
    assert teacher.score is not None


def test_a_target_that_cannot_run_here_is_inconclusive_never_a_pass() -> None:
    outcome = World().follow(choose(known(target("coreml", max_latency=1.0), target())))
    coreml = next(row for row in ships(outcome) if row.target == "coreml")
    assert coreml.fits is None
    assert coreml.measurement.basis == "not measured"
    assert "coreml does not run on made-up computer" in coreml.measurement.why


def by_reference(world: World, **budget):
    """A choice for Core ML where it cannot run and its files can be evaluated; ONNX runs here, for the gain."""
    return world.follow(choose(known(target("coreml", **budget), references=("coreml",))))


def test_a_target_that_cannot_run_here_is_judged_by_reference_where_its_format_can_be() -> None:
    world = World()
    outcome = by_reference(world)
    assert {(s.artifact.format, s.part) for s in world.asked if isinstance(s, Reference)} == {
        ("coreml", "validation"), ("coreml", "test"),
    }  # fmt: skip
    assert not any(s.artifact.format == "coreml" for s in world.asked if isinstance(s, Predict))
    for row in outcome.rows:
        assert row.score is not None and row.score.basis == "reference"
        assert row.score.parity is not None and row.score.parity.passed
        assert (row.measurement.basis, row.measurement.latency) == ("not measured", None)
        assert "accuracy by reference: by definition" in row.notes
    assert ships(outcome)[0].fits is True, "no budget was asked for"


def test_parity_by_reference_is_a_gate_too() -> None:
    with pytest.raises(EdgekdError, match=r"coreml float32 \(control\) does not compute what torch computes"):
        by_reference(World(parity=False))


@pytest.mark.parametrize(
    ("budget", "fits"),
    [
        ({"min_accuracy": 0.5}, True),
        ({"max_drop": 0.5}, True),
        ({"min_accuracy": 0.99}, False),
        ({"max_latency": 1.0}, None),
        ({"max_memory": 10**9}, None),
        ({"max_latency": 1.0, "min_accuracy": 0.99}, False),
    ],
)
def test_a_reference_judges_accuracy_and_never_latency(budget: dict[str, float], fits: bool | None) -> None:
    assert ships(by_reference(World(), **budget))[0].fits is fits


def test_an_operator_without_a_rule_is_a_note_and_never_a_pass() -> None:
    world = World(unknown="no rule for lstm (output h)")
    outcome = by_reference(world, min_accuracy=0.5)
    for row in outcome.rows:
        if row.artifact is not None:
            assert row.score is None and row.fits is None
            assert "not verified: no rule for lstm (output h)" in row.notes
    assert not any(s.reference for s in world.asked if isinstance(s, Evaluate))


def test_a_reference_is_not_asked_where_the_runtime_is() -> None:
    world = World()
    outcome = world.follow(choose(known(target(), references=("tflite",))))
    assert not any(isinstance(s, Reference) for s in world.asked)
    assert not any("reference" in note for row in outcome.rows for note in row.notes)


def test_a_file_that_turns_out_slower_than_its_price_is_stepped_down() -> None:
    world = World(accuracy=lambda w, taught: 0.5 + w / 100)
    honest = world._measure

    def slower(artifact):
        measured = honest(artifact)
        if artifact.graph.startswith("0:"):
            return measured
        value = measured.latency.p90 * 1.5  # trained: half as slow again as the untrained candidate was
        return measured.model_copy(
            update={"latency": measured.latency.model_copy(update={"p90": value, "p90_high": value})}
        )

    world._measure = slower
    outcome = world.follow(choose(known(target(max_latency=2e-4, precision="float32"))))
    assert outcome.rounds > 1
    assert ships(outcome)[0].fits is True


def test_where_no_smaller_student_fits_either_what_was_found_of_them_is_told() -> None:
    odd = World(accuracy=lambda w, taught: w / 50, seconds=lambda macs, _: max(macs, 90_000) * 1e-9)
    honest = odd._measure

    def slower(artifact):
        measured = honest(artifact)
        if artifact.graph.startswith("0:"):
            return measured
        value = measured.latency.p90 * 1.5
        return measured.model_copy(
            update={"latency": measured.latency.model_copy(update={"p90": value, "p90_high": value})}
        )

    odd._measure = slower
    outcome = odd.follow(choose(known(target(max_latency=1.3e-4, precision="float32"))))
    (row,) = ships(outcome)
    assert (row.fits, outcome.rounds) == (False, 1) and row.size.macs <= 130_000
    assert "the nearest that tflite can keep is about latency 135 µs" in outcome.sized.nearest
    assert {row.size.macs, 10_000} <= {candidate.size.macs for candidate in outcome.sized.candidates}


def test_several_targets_share_one_student() -> None:
    world = World()
    outcome = world.follow(choose(known(target(), target("onnx"))))
    assert {row.target for row in ships(outcome)} == {"tflite", "onnx"}
    assert len({row.size.params for row in ships(outcome)}) == 1


def test_an_unstable_measurement_is_asked_again_once() -> None:
    world = World()
    honest = world._measure

    def shaky(artifact):
        measured = honest(artifact)
        return measured.model_copy(update={"latency": measured.latency.model_copy(update={"stable": False})})

    world._measure = shaky
    world.follow(choose(known(target())))
    judged = [s for s in world.asked if isinstance(s, Measure) and len(s.artifacts) > 3]
    assert [s.attempt for s in judged[-2:]] == [0, 1]
    assert judged[-1].artifacts == judged[-2].artifacts


def timed_as(world: World) -> list[tuple[str, int]]:
    """Protocol and number of files of every measurement that was asked for after the students were priced."""
    last = max(i for i, step in enumerate(world.asked) if isinstance(step, Train))
    return [(s.protocol, len(s.artifacts)) for s in world.asked[last:] if isinstance(s, Measure)]


@pytest.mark.parametrize(
    ("bench", "latency", "protocols"),
    [
        ("auto", None, ["quick"]),
        ("auto", 1.0, ["quick", "reportable"]),
        ("quick", 1.0, ["quick"]),
        ("reportable", None, ["reportable"]),
        ("soak", None, ["quick", "soak"]),
    ],
)
def test_what_ships_is_timed_as_its_budget_or_the_user_asks(bench, latency, protocols) -> None:
    world = World()
    plan = known(target(max_latency=latency))
    plan = plan.model_copy(update={"plan": plan.plan.model_copy(update={"bench": bench})})
    (row,) = ships(world.follow(choose(plan)))
    asked = timed_as(world)
    assert [protocol for protocol, _ in asked] == protocols
    assert row.measurement.latency.protocol == protocols[-1]
    if protocols[-1] in ("reportable", "soak") and len(protocols) > 1:
        assert asked[-1][1] == {"reportable": 2, "soak": 1}[protocols[-1]], "beside the teacher, to be compared with it"


def test_a_file_that_keeps_its_budget_only_by_the_quick_p90_is_found_out() -> None:
    """The reportable bound of the fastest file is over the budget, so the other precision is timed and ships."""
    world = World(seconds=lambda macs, precision: macs * (1e-9 if precision == "float32" else 0.9e-9))
    honest = world._timed

    def wide(artifact, protocol):
        measured = honest(artifact, protocol)
        if artifact.precision != "int8" or protocol == "quick":
            return measured
        return measured.model_copy(update={"latency": measured.latency.model_copy(update={"p90_high": 9.0})})

    world._timed = wide
    outcome = world.follow(choose(known(target(max_latency=1.0))))
    (row,) = ships(outcome)
    assert (row.precision, row.fits, row.measurement.latency.protocol) == ("float32", True, "reportable")


def test_a_file_within_the_noise_of_float_is_not_taken_for_faster() -> None:
    world = World(seconds=lambda macs, precision: macs * (1e-9 if precision == "float32" else 0.9e-9))
    (row,) = ships(world.follow(choose(known(target()))))
    assert row.precision == "int8", "10 % faster, as far as is known"
    honest, ratio = world._measure, Ratio(value=1.0, low=1 / 1.15, high=1.15)

    def noisy(artifact):
        measured = honest(artifact)
        latency = measured.latency.model_copy(update={"noise": Noise(quiet=ratio, p90=ratio)})
        return measured.model_copy(update={"latency": latency})

    world._measure = noisy
    (row,) = ships(world.follow(choose(known(target()))))
    assert row.precision == "float32", "a file differs from itself by 15 %"


def test_seeds_ship_the_best_on_validation() -> None:
    world = World()
    world.follow(choose(known(target(), effort=EFFORT.model_copy(update={"seeds": 3}))))
    assert sum(isinstance(s, Export) for s in world.asked) >= 6


def test_an_int8_file_that_loses_much_does_not_ship_where_no_accuracy_budget_was_set() -> None:
    assert ships(World(int8_loss=0.5).follow(choose(known(target()))))[0].precision == "float32"
    asked = World(int8_loss=0.5).follow(choose(known(target(precision="int8"))))
    assert ships(asked)[0].precision == "int8", "who asks for int8 gets it"


def test_a_lossy_int8_file_ships_where_float32_misses_the_budget_and_says_so() -> None:
    outcome = World(int8_loss=0.02).follow(choose(known(target(max_size=300))))
    (row,) = ships(outcome)
    assert (row.precision, row.fits, outcome.rounds) == ("int8", True, 1)
    assert "int8 loses 2.0 points" in row.notes[-1] and "no other precision keeps the budget" in row.notes[-1]
    (small,) = ships(World(int8_loss=0.002).follow(choose(known(target(max_size=300)))))
    assert small.notes == ()


@pytest.mark.parametrize(("accepted", "fits"), [(False, None), (True, True)])
def test_a_stand_in_judges_a_latency_only_if_it_is_accepted(accepted: bool, fits: bool | None) -> None:
    world = World()
    honest = world._measure
    world._measure = lambda artifact: honest(artifact).model_copy(update={"basis": "stand-in"})
    outcome = world.follow(choose(known(target(max_latency=1.0), accept_stand_in=accepted)))
    assert ships(outcome)[0].fits is fits


def test_loss_by_quantization_is_judged_also_where_only_int8_may_ship() -> None:
    outcome = World(int8_loss=0.006).follow(choose(known(target(precision="int8", max_quantization_loss=0.005))))
    (row,) = ships(outcome)
    assert (row.precision, row.fits) == ("int8", False)
    assert "quantization loss" in row.missed[0]


@pytest.mark.parametrize(("budget", "fits"), [(4e-4, True), (3e-4, None), (1.5e-4, None), (6e-5, None), (4e-5, False)])
def test_an_unstable_latency_proves_nothing_near_the_budget(budget: float, fits: bool | None) -> None:
    world = World(accuracy=lambda w, taught: 0.5 + w / 100)
    honest = world._measure

    def shaky(artifact):
        measured = honest(artifact)
        if artifact.graph.startswith("0:"):
            return measured
        worse = {
            "stable": False,
            "p90": 2e-4,
            "p90_high": 2e-4,
            "sessions": 2 * ((1e-4,), (2e-4,)),
        }  # may be 50 to 400 µs
        return measured.model_copy(update={"latency": measured.latency.model_copy(update=worse)})

    world._measure = shaky
    plan = known(target(max_latency=budget))
    outcome = world.follow(choose(plan))
    assert ships(outcome)[0].fits is fits
    if fits is None:
        assert outcome.rounds == 1, "nothing is stepped down for what was not measured"


def test_a_teacher_whose_int8_file_fails_keeps_its_float_row() -> None:
    world = World()
    honest = world._convert

    def fails(step):
        if step.precision == "int8" and step.program.size.params == 1_000_000:
            raise EdgekdError("no such operator")
        return honest(step)

    world._convert = fails
    outcome = world.follow(choose(known(target())))
    assert [r.role for r in outcome.rows if r.role.startswith("teacher")] == ["teacher"]


@pytest.mark.parametrize(
    "error", [WorkerKilled("export", "ended by signal SIGKILL", "log", "rerun"), StoreError("full")]
)
@pytest.mark.parametrize("stage", ["export", "convert"])
def test_a_fault_of_the_computer_is_not_taken_for_one_of_the_teacher(error: EdgekdError, stage: str) -> None:
    class Faulty(World):
        def answer(self, step):
            export = isinstance(step, Export) and isinstance(step.source, Teacher)
            convert = isinstance(step, Convert) and step.program.size.params == 1_000_000
            if {"export": export, "convert": convert}[stage]:
                raise error
            return super().answer(step)

    with pytest.raises(type(error)):
        Faulty().follow(choose(known(target())))
