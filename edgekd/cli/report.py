"""`edgekd report`: print a run's table again, or add what an application's self-test found."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.runs import read_report
from edgekd.commands import selftest
from edgekd.report.text import doubts, reasons, remarks, table
from edgekd.report.where import fallbacks
from edgekd.results import Elsewhere

app = typer.Typer(add_completion=False)


def show(added: Elsewhere, run: Path) -> None:
    """Print what a self-test found and where it is told now."""
    device, latency = added.measurement.device, added.measurement.latency
    place = f"{added.target} on {device.name if device else 'a device'}, {added.accelerator}"
    for told in added.failed:
        output.answer(f"FAILED {place}: {told}")
    for told in added.unseen:
        output.answer(f"not checked {place}: {told}")
    timed = (
        f"p50 {units.show_seconds(latency.p50)}, p90 {units.show_seconds(latency.p90)} ({latency.why})"
        if latency
        else ""
    )
    output.answer(f"{place}: {timed or added.measurement.why}")
    output.answer(f"report: {shown(run / 'report.html')} has a row of this now")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The folder that build wrote.")],
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", metavar="FILE", help="A selftest.json of an application: its report gets a row."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Print the table of a run again; with --add put what was found on other devices into its report."""
    told = read_report(run)
    for file in add or ():
        added = selftest.add(run, told, file)
        told = read_report(run)
        if not json:
            show(added, run)
    if add and not json:
        raise typer.Exit(int(any(one.failed for one in told.elsewhere[-len(add) :])))
    if json:
        output.show_json(told.model_dump(mode="json"))
        return
    output.answer(f"{told.headline}\n")
    if told.rows:
        output.answer(f"{output.lines(table(told))}\n")
    output.answer(f"what binds: {told.binds}")
    known = (*doubts(told), *reasons(told), *fallbacks(told), *remarks(told))
    for text in (*known, *told.notes, *told.caveats):
        output.answer(f"note: {text}")
    for concern in told.concerns:
        output.answer(f"warning: {concern.about}: {concern.message}. {concern.fix}")
