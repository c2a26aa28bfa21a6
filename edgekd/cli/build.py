"""`edgekd build`: the whole line, from a teacher to measured bundles."""

from pathlib import Path

import typer

from edgekd.build import build as run_build
from edgekd.bundle.apps import check_formats, read_kinds
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.commands.apps import of_run
from edgekd.commands.places import check_out, default_out
from edgekd.recipes.effort import describe
from edgekd.recipes.recipe import load_plan
from edgekd.report.text import doubts, reasons, remarks, table
from edgekd.report.view import heads
from edgekd.report.where import fallbacks
from edgekd.results import Report
from edgekd.store import Store

app = typer.Typer(add_completion=False)


def show(report: Report, out: Path) -> None:
    """Print headline, table, what binds, where things are, and the next command to type."""
    output.answer(f"\n{report.headline}\n")
    if report.rows:
        output.answer(output.lines(table(report)))
    if each := heads(report):
        cells = [each.header, *(tuple(map(str, line)) for line in each.body)]
        output.answer(f"\n{output.lines(cells)}")
    if report.binds:
        output.answer(f"\nwhat binds: {report.binds}")
    if report.teacher_already_fits:
        output.answer("your teacher already fits this budget")
    told = (*doubts(report), *reasons(report), *fallbacks(report), *remarks(report))
    for text in (*told, *report.notes, *report.caveats):
        output.answer(f"note: {text}")
    ran = f"{report.steps_run} steps run, {report.steps_cached} known already"
    for concern in report.concerns:
        output.answer(f"warning: {concern.about}: {concern.message}. {concern.fix}")
    output.answer(f"report: {shown(out / 'report.html')} ({ran})")
    for member, folder in report.members.items():
        output.answer(f"of the front, {member}: {shown(out / folder)}")
    for target, folder in report.bundles.items():
        output.answer(f"bundle for {target}: {shown(out / folder)}")
    output.answer(f"next: {next_command(report, out)}")


def next_command(report: Report, out: Path) -> str:
    """What a user types after this run."""
    if report.bundles:
        return f"edgekd verify {shown(out / next(iter(report.bundles.values())))}"
    return f"edgekd report {shown(out)}"


@app.command()
def build(
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
    """Make the best student that keeps the budget, and measure it beside its teacher."""
    plan = load_plan(recipe, o.flags(context))
    kinds = read_kinds(wanted or ())
    check_formats(kinds, (target.format for target in plan.targets))
    folder = out or default_out(plan)
    check_out(folder)
    output.say(describe(plan.effort))
    with display() as observer, Store(o.store_root(store), observer) as answers:
        report = run_build(plan, answers, folder)
    written = of_run(report, folder, kinds)
    if json:
        output.answer(report.model_dump_json(indent=2))
    else:
        show(report, folder)
        for one in written:
            output.answer(f"{one.kind} application for {one.content.title}: {shown(one.folder)}")
    raise typer.Exit(output.STATUS[report.status])
