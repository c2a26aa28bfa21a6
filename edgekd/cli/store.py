"""`edgekd store`: look after the store of answers."""

from typing import Annotated

import typer

from edgekd import units
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.errors import Problem, UsageError
from edgekd.store import Store

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def store() -> None:
    """Look after the store of answers."""


@app.command()
def gc(
    keep: Annotated[str, typer.Option("--keep", metavar="10GiB", help="Bytes to keep; the longest unused go first.")],
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Delete the answers that were unused for longest."""
    try:
        wanted = units.size(keep)
    except ValueError as error:
        raise UsageError(Problem("--keep", str(error))) from None
    root = o.store_root(store)
    with Store(root) as answers:
        freed = answers.gc(wanted)
    if json:
        output.show_json({"store": str(root), "keep_bytes": wanted, "freed_bytes": freed})
    else:
        output.answer(f"freed {units.show_size(freed)} in {root}")
