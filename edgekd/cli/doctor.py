"""`edgekd doctor`: what works on this machine."""

import typer

from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.commands.doctor import examine, here

app = typer.Typer(add_completion=False)


@app.command()
def doctor(store: o.StoreAt = None, json: o.Json = False) -> None:
    """Say what works on this machine, what is missing, and the one command that fixes it."""
    found = examine(o.store_root(store))
    if json:
        output.show_json({"platform": here(), "findings": [finding.model_dump(mode="json") for finding in found]})
    else:
        output.answer(f"platform: {here()}")
        output.answer(output.lines([(f.what, f.state, f.versions or f.why) for f in found]))
        for finding in [finding for finding in found if finding.state in ("missing", "broken")]:
            output.answer(f"{finding.what}: {finding.why}. {'Run: ' + finding.fix if finding.fix else ''}".rstrip())
    raise typer.Exit(1 if any(finding.state == "broken" for finding in found) else 0)
