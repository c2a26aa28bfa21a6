"""What is ahead: counted from the plan, judged by the same rules as the search."""

from edgekd.commands.forecast import forecast
from edgekd.policies.known import Outlook
from edgekd.policies.limits import trial_rungs
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Counted, DeviceFacts, File, Option, PartFiles, Size, Splits
from edgekd.spec import Architecture, Choice, Plan

FILE = File(entry="0", name="y", sha256="0", size=0)
PART = PartFiles(inputs={}, labels=FILE, count=1000, labelled=100, digest="0")
SPLITS = Splits(parts={"train": PART, "validation": PART}, classes=("a", "b"))
FACTS = DeviceFacts(
    name="this computer (test)",
    fingerprint="0",
    model="",
    system="",
    processor="",
    cores=2,
    memory=1,
    python="3",
    runtimes={"tflite": "1"},
)


def counted(*sizes: tuple[int, int], teacher: tuple[int, int] = (100_000, 1_000_000)) -> Counted:
    architecture = Architecture(family=Choice(name="resnet"))
    options = tuple(Option(architecture=architecture, size=Size(params=p, macs=m)) for p, m in sizes)
    return Counted(options=options, teacher=Size(params=teacher[0], macs=teacher[1]))


def outlook(plan: Plan, counted: Counted) -> Outlook:
    return Outlook(
        plan=plan,
        splits=SPLITS,
        options=counted.options,
        teacher=counted.teacher,
        facts={"this-computer": FACTS},
        cores=2,
        offers={"tflite": ("float32", "float16", "int8")},
    )


def test_limits_leave_out_students_and_are_named():
    plan = load_plan(None, Flags(target=("tflite",), max_params="5k", max_latency="1ms"))
    told = forecast(outlook(plan, counted((1000, 10_000), (9000, 50_000), (90_000, 900_000))))
    assert (told.students, told.within, told.possible) == (3, 1, True)
    text = "\n".join(told.binds)
    assert "2 students are over the limit: parameters" in text
    assert "1 student is over the limit: 25 % of the teacher's parameters" in text
    assert "tflite: latency is measured on this computer (test)" in text


def test_minutes_of_measuring_are_told_where_a_budget_or_the_user_asks_for_them():
    def ahead(**flags):
        plan = load_plan(None, Flags(target=("tflite",), **flags))
        told = forecast(outlook(plan, counted((1000, 10_000))))
        return {step.what: (step.count, step.seconds / 2) for step in told.steps if step.stage == "measure"}

    what = "timed to certify the budget"
    assert what not in ahead() and what not in ahead(max_latency="1ms", bench="quick")
    assert ahead(max_latency="1ms")[what] == (2, 160.0)
    assert ahead(bench="soak")[what] == (1, 700.0)
    assert ahead(bench="reportable")[what][0] > 2


def test_nothing_possible_is_said():
    plan = load_plan(None, Flags(target=("tflite",), max_params="10"))
    told = forecast(outlook(plan, counted((1000, 10_000))))
    assert not told.possible and told.within == 0 and told.steps == ()
    assert told.nearest == "the smallest student has 1,000 parameters and 10,000 MACs"


def test_a_latency_budget_that_cannot_be_judged_here_is_told():
    plan = load_plan(None, Flags(target=("onnx",), max_latency="1ms"))
    told = forecast(outlook(plan, counted((1000, 10_000))))
    assert any("cannot be judged (inconclusive)" in text for text in told.binds)


def test_a_student_that_is_alone_is_priced_once_and_not_tried_against_others():
    plan = load_plan(None, Flags(target=("tflite",)))
    alone, two = (
        {step.what: step.count for step in forecast(outlook(plan, counted(*sizes))).steps}
        for sizes in ([(1000, 10_000)], [(1000, 10_000), (2000, 20_000)])
    )
    effort, files = plan.effort, 2
    trials, prices = f"trials of {effort.trial_epochs} epochs", "untrained students, priced in their runtime"
    grids = trial_rungs(effort)[-1][0]
    assert (alone[prices], alone[trials]) == (files, grids)
    race = "students that race, 1 and 4 epochs"
    assert (alone[race], two[race]) == (0, 2)
    assert (two[prices], two[trials]) == (2 * files, grids)


def test_more_effort_takes_longer():
    plans = [load_plan(None, Flags(target=("tflite",), effort=name)) for name in ("quick", "standard", "thorough")]
    told = [forecast(outlook(plan, counted((1000, 10_000)))).seconds for plan in plans]
    assert told == sorted(told) and told[0] > 0
