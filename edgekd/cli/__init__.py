"""The command line. Only files of this folder print or exit; each command is a file, imported when it is asked for.

Exit status: 0 fits, 1 failed, 2 usage, 3 budget missed, 4 inconclusive, 130 interrupted.
"""

import importlib
import json
import sys
import tempfile
import traceback
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from edgekd.errors import EdgekdError, UsageError

# Command -> its line in `edgekd --help`, so that help need not import the commands.
COMMANDS = {
    "build": "Make the best student that keeps the budget, and measure it beside its teacher.",
    "export": "Convert a model as it is, in every precision; measure, judge, and write the best as a bundle.",
    "plan": "Check everything that build would do, and say what and how long; trains nothing.",
    "init": "Try your own teacher on your own data, and write a commented recipe with what was found.",
    "report": "Print the table of a run again; with --add put what was found on other devices into its report.",
    "compare": "Compare two runs by their reports, or time two bundles or model files in turn on a device.",
    "diff": "Find the first layer at which a file computes something else than torch, and the likely cause.",
    "bundle": "Write folders that drop into an application, each with a self-test.",
    "verify": "Replay a bundle's golden vectors and check every digest; with --at, measure its budget again.",
    "sign": "Sign bundles' certificates with an ssh key of your own.",
    "bench": "Time model files and bundles on this computer, or on several boards at once.",
    "list": "List plug-ins and cards: targets, devices, recipes, teachers, student families, ...",
    "doctor": "Say what works on this machine (or on a board), what is missing, and the one command that fixes it.",
    "store": "Look after the store of answers.",
}


class Commands(TyperGroup):
    """A group that shows each command's line without importing it, and imports the one that is run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=line) for name, line in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that the arguments name, its module imported."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = get_command(importlib.import_module(f"edgekd.cli.{name}").app)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that edgekd can name is printed without a traceback, with --json as JSON too."""
        asked_json = "--json" in (*ctx.args, *ctx._protected_args)
        try:
            return super().invoke(ctx)
        except EdgekdError as error:
            typer.echo(f"edgekd: {error}", err=True)
            if asked_json:
                typer.echo(_as_json(error))
            raise typer.Exit(error.exit_status) from None
        except KeyboardInterrupt:
            typer.echo("edgekd: interrupted; the same command continues where it stopped", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: edgekd build --target tflite --max-latency 20ms",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgekd {version('edgekd')}")
        raise typer.Exit


@app.callback()
def edgekd(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The best student of your teacher that keeps a hardware budget, as a file for the device's own runtime."""


def _as_json(error: EdgekdError) -> str:
    """What --json prints in place of an answer: the exit status, the message, and each problem of a usage error."""
    problems = [asdict(problem) for problem in error.problems] if isinstance(error, UsageError) else []
    return json.dumps({"error": {"status": error.exit_status, "message": str(error), "problems": problems}}, indent=1)


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Save the traceback of a bug and say where; the interpreter then exits with status 1."""
    with tempfile.NamedTemporaryFile("w", prefix="edgekd-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(kind, error, trace, file=file)
    typer.echo(f"edgekd: this is a bug: {kind.__name__}: {error}. The traceback is in {Path(file.name)}", err=True)


def main() -> None:
    """Run the command line and exit."""
    sys.excepthook = _unexpected
    get_command(app)(prog_name="edgekd")
