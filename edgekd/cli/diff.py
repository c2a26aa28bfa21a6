"""`edgekd diff`: at which layer does a file begin to compute something else than torch?"""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.cli.runs import read_report
from edgekd.commands import diff as comparing
from edgekd.commands.diff import Subject
from edgekd.commands.places import check_out
from edgekd.report import difference
from edgekd.results import Diffed
from edgekd.store import Store

app = typer.Typer(add_completion=False)


def facts(subject: Subject, run: Path) -> tuple[tuple[str, str], ...]:
    """What was compared, for a reader of the page."""
    file = subject.file
    told = f"{file.path}, changed since it was converted" if file else f"{subject.artifact.file.name} as converted"
    return (("File", told), ("Run", str(run)), ("Made by", subject.artifact.made_by))


def show(found: Diffed, subject: Subject) -> None:
    """Print what was found, the most important first."""
    output.answer(f"{subject.name}: {difference.verdict(found)}")
    if found.first is not None:
        output.answer(f"likely cause: {found.cause}")
        output.answer(f"try next: {found.advice}")
    if found.worst:
        table = difference.worst(found)
        output.answer(output.lines([table.header, *([cell.main for cell in line] for line in table.body)]))
    if found.layers:
        output.answer(f"{difference.hidden(found)}; {difference.basis(found)}")


@app.command("diff")
def diff_artifact(
    artifact: Annotated[
        str, typer.Argument(help="A bundle, a model file of the run, or a file's name there such as onnx-int8.")
    ],
    against: Annotated[Path, typer.Option("--against", metavar="RUN", help="The run that made it.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the page goes; else RUN.")] = None,
    json: o.Json = False,
    store: o.StoreAt = None,
) -> None:
    """Find the first layer at which a file computes something else than torch, and the likely cause.

    Writes diff-TARGET-PRECISION.html. Exit status: 0 no layer diverges, 3 one does, 4 nothing here can run the file.
    """
    folder = out or (against if against.is_dir() else against.parent)
    report = read_report(against)
    subject = comparing.subject(artifact, against, report)
    check_out(folder)
    if subject.file is not None:
        output.say(f"note: {subject.file.path} is not the file that was converted; it is compared as it is")
    page = folder / f"diff-{subject.name}.html"
    with display() as observer, Store(o.store_root(store), observer) as answers:
        found = comparing.diff(subject, against, report, answers)
        values = answers.path(found.values) if found.values else None
        difference.write(found, f"{subject.name} of {report.plan.name}", facts(subject, against), values, page)
    if json:
        output.show_value(found)
    else:
        show(found, subject)
    output.say(f"page: {page}")
    raise typer.Exit(4 if found.basis == "not measured" else 3 if found.first is not None else 0)
