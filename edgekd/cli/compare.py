"""`edgekd compare`: can the second run replace the first, or is the second file slower?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display, opened
from edgekd.cli.runs import read_report
from edgekd.commands.comparison import Change, TargetChange, compare, regressions
from edgekd.commands.regression import Compared, against
from edgekd.commands.timed import How
from edgekd.errors import Problem, UsageError
from edgekd.recipes.targets import read_boards
from edgekd.spec import Device, Protocol
from edgekd.store import Event

app = typer.Typer(add_completion=False)
SHOW = {
    "p90 latency": units.show_seconds,
    "file size": units.show_size,
    "memory": units.show_size,
    "parameters": units.show_count,
}


def change_cells(change: Change) -> tuple[str, str, str, str]:
    """A change as cells: what, before, after, by how much."""
    show = change.gauge.show if change.quantity == "accuracy" else SHOW[change.quantity]
    before, after = ("not measured" if value is None else show(value) for value in (change.before, change.after))
    if change.worse is None:
        return change.name, before, after, f"not compared: {change.why}"
    if 0 < abs(change.worse) <= change.noise:
        return change.name, before, after, f"the same within the noise of {100 * change.noise:.2g} %"
    word = "worse" if change.worse > 0 else "better"
    return change.name, before, after, f"{100 * abs(change.worse):.1f} % {word}" if change.worse else "the same"


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


def show_compared(found: Compared) -> None:
    """Print the two latencies side by side and the verdict."""
    output.answer(f"{found.before} and {found.after}, in turn on {found.device}")
    old, new = (one.latency for one in found.measurements)
    if old and new:
        rows: list[tuple[str, ...]] = [("", "before", "after", "times", "95 %")]
        for name, ratio in found.ratios.items():
            both = (units.show_seconds(getattr(one, name)) for one in (old, new))
            rows.append((name, *both, f"{ratio.value:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}"))
        output.answer(output.lines(rows))
        output.answer(f"noise floor: {100 * found.floor:.2g} % (each file against itself)")
    output.answer(f"{found.verdict}: {found.why}")


def compare_files(
    before: Path, after: Path, devices: Sequence[Device], how: How, allowed: float | None, json: bool
) -> int:
    """Compare two bundles or model files on a device; returns the exit status."""
    if len(devices) > 1:
        raise UsageError(Problem("--at", "two files are compared on one device", "Name one, and then the other"))
    with display() as observer, opened(devices, observer):
        observer(Event(kind="start", stage="bench"))
        told = replace(
            how, tell=lambda done, what: observer(Event(kind="progress", stage="bench", done=done, what=what))
        )
        found = against(before, after, devices[0], told, 0.0 if allowed is None else allowed)
    if json:
        output.show_value(found)
    else:
        show_compared(found)
    return {"regression": 3, "no regression": 0, "not judged": 4}[found.verdict] if allowed is not None else 0


@app.command("compare")
def compare_runs(
    before: Annotated[Path, typer.Argument(help="The run, bundle or model file that is in use.")],
    after: Annotated[Path, typer.Argument(help="The one that may replace it.")],
    max_regression: Annotated[
        str | None,
        typer.Option(metavar="5%", help="Exit 3 if accuracy, latency or file size got worse by more."),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="NAME=ADDRESS", help="Time two bundles or files there; none: this computer."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of an inference, where files are timed.")] = 1,
    bench: Annotated[Protocol, typer.Option("--bench", help="How much to time: quick, reportable, soak.")] = (
        "reportable"
    ),
    runtime: o.Runtime = None,
    https: o.Https = False,
    json: o.Json = False,
) -> None:
    """Compare two runs by their reports, or time two bundles or model files in turn on a device."""
    allowed = read_share(max_regression)
    runs = [(path / "report.json").is_file() or path.name == "report.json" for path in (before, after)]
    missing = [Problem(shown(path), "this file is not there") for path in (before, after) if not path.exists()]
    if missing:
        raise UsageError(*missing)
    if not any(runs):
        how = How(threads, runtime or "", bench, tell=lambda done, what: None)
        raise typer.Exit(compare_files(before, after, read_boards(at or (), https) or (Device(),), how, allowed, json))
    if at:
        hint = "Name their bundles, for example run/tflite"
        raise UsageError(Problem("--at", "times bundles and model files, and these are runs", hint))
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
