"""`edgekd bundle`: folders that drop into an application, made of a run's bundles."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.bundle.apps import Written, read_kinds
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.commands.apps import make

app = typer.Typer(add_completion=False)


def show(found: Written) -> None:
    """Print where an application bundle is, and how well its golden files tell each mistake."""
    output.answer(f"{found.kind} application for {found.content.title}: {shown(found.folder)}")
    rows: list[tuple[str, ...]] = [("its self-test catches", "by", "times what is allowed")]
    for one in found.margins:
        margin = "any difference" if one["margin"] is None else f"{one['margin']:.3g}"
        rows.append((one["title"], one["caught_by"], margin))
    output.answer(output.lines(rows))
    output.answer(f"next: read {shown(found.folder / 'README.md')}")


@app.command("bundle")
def bundle_for(
    run: Annotated[Path, typer.Argument(help="The folder that build wrote, or one of the bundles in it.")],
    wanted: o.For = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where they go; none: beside the bundles.")
    ] = None,
    json: o.Json = False,
) -> None:
    """Write folders that drop into an application, each with a self-test."""
    found = make(run, read_kinds(wanted or ()), out)
    if json:
        output.show_json(
            [
                {"kind": one.kind, "folder": str(one.folder), **one.content.golden, "margins": list(one.margins)}
                for one in found
            ]
        )
        return
    for one in found:
        show(one)
