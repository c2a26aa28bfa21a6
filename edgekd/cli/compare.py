"""`edgekd compare`: can the second run replace the first?"""

from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.runs import read_report
from edgekd.commands.comparison import Change, TargetChange, compare, regressions
from edgekd.errors import Problem, UsageError

app = typer.Typer(add_completion=False)
SHOW = {
    "accuracy": units.show_share,
    "p90 latency": units.show_seconds,
    "file size": units.show_size,
    "memory": units.show_size,
    "parameters": units.show_count,
}


def change_cells(change: Change) -> tuple[str, str, str, str]:
    """A change as cells: what, before, after, by how much."""
    before, after = (
        "not measured" if value is None else SHOW[change.quantity](value) for value in (change.before, change.after)
    )
    if change.worse is None:
        return change.quantity, before, after, f"not compared: {change.why}"
    if 0 < abs(change.worse) <= change.noise:
        return change.quantity, before, after, f"the same within the noise of {100 * change.noise:.2g} %"
    word = "worse" if change.worse > 0 else "better"
    return change.quantity, before, after, f"{100 * abs(change.worse):.1f} % {word}" if change.worse else "the same"


def show(found: tuple[TargetChange, ...]) -> None:
    """Print one table a target, and whether the second file is a drop-in."""
    for target in found:
        output.answer(f"{target.target}{': ' + target.why if target.why else ''}")
        if target.why:
            continue
        output.answer(output.lines([change_cells(change) for change in target.changes]))
        drop_in = "yes, inputs, outputs, preprocessing and classes are the same"
        output.answer(f"drop-in: {'no, ' + '; '.join(target.differences) if target.differences else drop_in}")


def read_share(text: str | None) -> float | None:
    """--max-regression as a share."""
    if text is None:
        return None
    try:
        return 0.0 if text.strip() in ("0", "0%") else units.share(text)
    except ValueError as error:
        raise UsageError(Problem("--max-regression", str(error))) from None


@app.command("compare")
def compare_runs(
    before: Annotated[Path, typer.Argument(help="The run that is in use.")],
    after: Annotated[Path, typer.Argument(help="The run that may replace it.")],
    max_regression: Annotated[
        str | None,
        typer.Option(metavar="5%", help="Exit 3 if accuracy, p90 latency or file size got worse by more."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Compare two runs: accuracy, latency, size, and whether one can replace the other."""
    allowed = read_share(max_regression)
    found = compare(read_report(before), read_report(after))
    worse, unknown = regressions(found, allowed) if allowed is not None else ([], [])
    if json:
        dumped = [target.model_dump(mode="json") for target in found]
        output.show_json({"targets": dumped, "regressions": worse, "not_judged": unknown})
    else:
        show(found)
    for text in worse:
        output.say(f"regression: {text}")
    for text in unknown:
        output.say(f"not judged: {text}")
    raise typer.Exit(3 if worse else 4 if unknown else 0)
