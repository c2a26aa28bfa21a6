"""`edgekd sign`: sign a bundle's certificate with an ssh key of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.bundle.signing import sign
from edgekd.bundle.verify import certified, read
from edgekd.catalog import shown
from edgekd.certificate import SIGNATURE
from edgekd.cli import output
from edgekd.errors import Problem, UsageError
from edgekd.runtimes import digests

app = typer.Typer(add_completion=False)


@app.command("sign")
def sign_bundles(
    bundle: Annotated[list[Path], typer.Argument(help="Folders of single targets, as build wrote them.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="A private ssh key, such as ~/.ssh/id_ed25519.")],
) -> None:
    """Sign bundles' certificates with an ssh key of your own."""
    problems = []
    for folder in bundle:
        read(folder)
        told = digests.check(folder)
        wrong = [one["what"] for one in told if not one["passed"]]
        wrong += [one.what for one in certified(folder, None) if one.passed is False and one.what != "signature"]
        if wrong:
            hint = f"Run: edgekd verify {shown(folder)}"
            problems.append(Problem(shown(folder), f"is not what was written ({', '.join(wrong)}); not signed", hint))
    if problems:
        raise UsageError(*problems)
    for folder in bundle:
        sign(folder, key.expanduser())
        digests.record(folder)
        output.answer(f"signed: {shown(folder / SIGNATURE)}")
    output.answer("next: edgekd verify BUNDLE --signers FILE, where FILE has lines of a name and a public key")
