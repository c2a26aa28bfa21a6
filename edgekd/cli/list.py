"""`edgekd list`: what there is, without importing any of it."""

from typing import Annotated

import typer

from edgekd import catalog, plugins
from edgekd.catalog import shown
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import nearest

app = typer.Typer(add_completion=False)
KINDS = tuple(sorted({"targets", *catalog.KINDS, *(kind for kind in plugins.KINDS if kind != "stages"), "stages"}))


def found(kind: str) -> list[dict[str, str]]:
    """Every card and plug-in of a kind: name, what it is, one line about it, and its file."""
    rows = []
    for card_kind in catalog.KINDS:
        if kind == card_kind or (kind, card_kind) == ("targets", "devices"):
            for name, path in catalog.cards(card_kind).items():
                rows.append({"name": name, "is": "card", "about": catalog.summary(path), "file": shown(path)})
    plugged = "formats" if kind == "targets" else kind
    for name in plugins.names(plugged) if plugged in plugins.KINDS else ():
        declared = plugins.declared(plugged, name)
        rows.append({"name": name, "is": "plug-in", "about": declared.summary, "file": shown(declared.file)})
    return rows


@app.command()
def list_kind(
    kind: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(KINDS)}.")] = None,
    json: o.Json = False,
) -> None:
    """List plug-ins and cards: targets, devices, recipes, teachers, student families, ..."""
    if kind is None:
        counts = {known: len(found(known)) for known in KINDS}
        if json:
            output.show_json(counts)
        else:
            output.answer(output.lines([(known, str(count)) for known, count in counts.items()]))
            output.answer("\nnext: edgekd list targets")
        return
    if kind not in KINDS:
        raise UsageError(Problem("list", f"there is no kind {kind!r}", nearest(kind, KINDS)))
    rows = found(kind)
    if json:
        output.show_json(rows)
    elif rows:
        output.answer(output.lines([(row["name"], row["is"], row["about"]) for row in rows]))
    else:
        output.answer(f"there are no {kind}")
