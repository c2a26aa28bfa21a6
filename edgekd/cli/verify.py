"""`edgekd verify`: is a bundle what was written?"""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.bundle.verify import Finding, sound, verify
from edgekd.cli import options as o
from edgekd.cli import output

app = typer.Typer(add_completion=False)


def cells(finding: Finding) -> tuple[str, str, str]:
    """A finding as cells; what could not be looked at is neither right nor wrong."""
    return finding.what, {True: "right", False: "WRONG", None: "not checked"}[finding.passed], finding.why


def verdict(found: tuple[Finding, ...]) -> str:
    """The last line: a check that could not be made here is not counted as passed."""
    if not sound(found):
        return "NOT SOUND: do not use this bundle"
    missed = sum(finding.passed is None for finding in found)
    if missed:
        return f"nothing wrong was found, but {missed} of {len(found)} checks cannot be made on this computer"
    return "sound: every check passed"


def status(found: tuple[Finding, ...]) -> int:
    """0 all right, 1 something is wrong, 4 something cannot be checked here."""
    if not sound(found):
        return 1
    return 4 if any(finding.passed is None for finding in found) else 0


@app.command("verify")
def verify_bundle(
    bundle: Annotated[Path, typer.Argument(help="The folder of one target, as build wrote it.")], json: o.Json = False
) -> None:
    """Replay a bundle's golden vectors and check every digest."""
    found = verify(bundle)
    good = sound(found)
    if json:
        output.show_json({"sound": good, "findings": [finding.model_dump(mode="json") for finding in found]})
    else:
        output.answer(output.lines([cells(finding) for finding in found]))
        output.answer(verdict(found))
    raise typer.Exit(status(found))
