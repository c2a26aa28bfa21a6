"""`edgekd plan`: everything that build would do, checked but not done."""

import typer

from edgekd import units
from edgekd.build import check
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.commands.forecast import Forecast, forecast
from edgekd.commands.places import check_out, default_out
from edgekd.policies.known import images
from edgekd.recipes.effort import describe
from edgekd.recipes.recipe import load_plan
from edgekd.results import Splits
from edgekd.spec import Plan
from edgekd.steps import Count, Probe, Split
from edgekd.store import Store

app = typer.Typer(add_completion=False)


def ahead(plan: Plan, store: Store) -> tuple[tuple[str, ...], Splits, Forecast]:
    """Check the plan, split the data, list the students, probe the devices; returns warnings and what is ahead."""
    warnings = check(plan, store)
    (splits,) = store.do(Split(data=plan.data, images=images(plan), skip_bad=plan.skip_bad, seed=plan.seed))
    (counted,) = store.do(Count(student=plan.student, teacher=plan.teacher, splits=splits))
    devices = {target.device.name: target.device for target in plan.targets}
    facts = dict(zip(devices, store.do(*(Probe(device=device) for device in devices.values())), strict=True))
    return warnings, splits, forecast(plan, splits, counted, facts, store.cores)


def show(plan: Plan, splits: Splits, told: Forecast, warnings: tuple[str, ...]) -> None:
    """Print data, steps, time, and what binds."""
    parts = ", ".join(f"{part.count} {name}" for name, part in splits.parts.items())
    output.answer(f"data: {parts}; {splits.parts['train'].labelled} training samples have labels")
    if images(plan) and plan.augment:
        how = "shifted a little, half of them mirrored (where left and right matter: mirror = false in [train])"
        output.answer(f"training images: {how if plan.mirror else 'shifted a little, never mirrored'}")
    output.answer(f"targets: {', '.join(target.name for target in plan.targets)}")
    output.answer(f"students: {told.within} of {told.students} keep the limits that are known without measuring")
    for text in (*told.binds, *splits.caveats, *warnings):
        output.answer(f"note: {text}")
    if not told.possible:
        output.answer(f"no student keeps these limits: {told.nearest}")
        return
    rows = [("step", "how many", "on one core, about", "")]
    rows += [(step.stage, str(step.count), units.show_seconds(step.seconds), step.what) for step in told.steps]
    output.answer(output.lines(rows))
    output.answer(f"in all about {units.show_seconds(told.seconds)} here: an estimate from sizes, not measured")
    output.answer("next: the same command with build")


@app.command()
def plan(
    context: typer.Context,
    recipe: o.Recipe = None,
    target: o.Targets = None,
    at: o.At = None,
    max_latency: o.MaxLatency = None,
    max_params: o.MaxParams = None,
    max_macs: o.MaxMacs = None,
    max_size: o.MaxSize = None,
    max_memory: o.MaxMemory = None,
    max_drop: o.MaxDrop = None,
    min_accuracy: o.MinAccuracy = None,
    max_quantization_loss: o.MaxQuantizationLoss = None,
    precision: o.Precision = None,
    threads: o.Threads = None,
    effort: o.Effort = None,
    max_time: o.MaxTime = None,
    seed: o.Seed = None,
    teacher_share: o.TeacherShare = None,
    trust: o.Trust = False,
    skip_bad: o.SkipBad = False,
    accept_stand_in: o.AcceptStandIn = False,
    out: o.Out = None,
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Check everything that build would do, and say what and how long; trains nothing."""
    wanted = load_plan(recipe, o.flags(context))
    check_out(out or default_out(wanted))
    output.say(describe(wanted.effort))
    with display() as observer, Store(o.store_root(store), observer) as answers:
        warnings, splits, told = ahead(wanted, answers)
    if json:
        values = {"plan": wanted, "splits": splits, "forecast": told}
        dumped = {name: value.model_dump(mode="json") for name, value in values.items()}
        output.show_json(dumped | {"warnings": warnings})
    else:
        show(wanted, splits, told, warnings)
    raise typer.Exit(0 if told.possible else 3)
