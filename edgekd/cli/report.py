"""`edgekd report`: print a run's table again."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.runs import read_report
from edgekd.report.text import doubts, reasons, remarks, table
from edgekd.report.where import fallbacks

app = typer.Typer(add_completion=False)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="The folder that build wrote.")], json: o.Json = False) -> None:
    """Print the table of a run again."""
    told = read_report(run)
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
