"""`edgekd plan`: everything that build would do, checked but not done."""

import typer

from edgekd import units
from edgekd.build import check, look, reachable
from edgekd.bundle.apps import check_formats, read_kinds
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.commands.forecast import Forecast, forecast
from edgekd.commands.places import check_out, default_out
from edgekd.policies.known import Outlook, images
from edgekd.recipes.effort import describe
from edgekd.recipes.recipe import load_plan
from edgekd.spec import Plan
from edgekd.store import Store

app = typer.Typer(add_completion=False)


def ahead(plan: Plan, store: Store) -> tuple[tuple[str, ...], Outlook, Forecast]:
    """Check the plan, split the data, and rehearse every file, untrained; returns warnings and what is ahead."""
    warnings = check(plan, store)
    with reachable(plan, store):
        outlook, remarks = look(plan, store)
    return (*warnings, *remarks, *outlook.refusals()), outlook, forecast(outlook)


def show(known: Outlook, told: Forecast, warnings: tuple[str, ...]) -> None:
    """Print data, steps, time, and what binds."""
    plan, splits = known.plan, known.splits
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
    max_arena: o.MaxArena = None,
    max_flash: o.MaxFlash = None,
    max_drop: o.MaxDrop = None,
    min_accuracy: o.MinAccuracy = None,
    max_quantization_loss: o.MaxQuantizationLoss = None,
    max_fallback: o.MaxFallback = None,
    max_error: o.MaxError = None,
    precision: o.Precision = None,
    ranges: o.Ranges = None,
    input: o.Input = None,
    runtime: o.Runtime = None,
    threads: o.Threads = None,
    effort: o.Effort = None,
    max_time: o.MaxTime = None,
    bench: o.Bench = None,
    seed: o.Seed = None,
    teacher_share: o.TeacherShare = None,
    selective_accuracy: o.SelectiveAccuracy = None,
    trust: o.Trust = False,
    skip_bad: o.SkipBad = False,
    accept_stand_in: o.AcceptStandIn = False,
    https: o.Https = False,
    pareto: o.Pareto = False,
    wanted: o.For = None,
    out: o.Out = None,
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Check everything that build would do, and say what and how long; trains nothing."""
    plan = load_plan(recipe, o.flags(context))
    check_formats(read_kinds(wanted or ()), (target.format for target in plan.targets))
    check_out(out or default_out(plan))
    output.say(describe(plan.effort))
    with display() as observer, Store(o.store_root(store), observer) as answers:
        warnings, outlook, told = ahead(plan, answers)
    if json:
        values = {"plan": plan, "splits": outlook.splits, "forecast": told}
        dumped = {name: value.model_dump(mode="json") for name, value in values.items()}
        output.show_json(dumped | {"warnings": warnings})
    else:
        show(outlook, told, warnings)
    raise typer.Exit(0 if told.possible else 3)
