"""`edgekd verify`: is a bundle what was written, and does it still keep its budget?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.bundle.verify import Finding, certified, sound, verify
from edgekd.catalog import shown
from edgekd.certificate import told
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display, opened
from edgekd.commands import junit as junits
from edgekd.commands.fleet import read_fleet, read_here
from edgekd.commands.remeasure import Again, Board, Served, remeasure
from edgekd.errors import Problem, UsageError
from edgekd.recipes.targets import read_boards
from edgekd.report import timed
from edgekd.spec import Protocol
from edgekd.store import Event

app = typer.Typer(add_completion=False)
STATUS = {"holds": 0, "broken": 3, "inconclusive": 4}


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


def check(bundles: Sequence[Path], signers: Path | None, json: bool) -> int:
    """Check bundles without measuring; returns the exit status, the worst of all."""
    looked = {shown(bundle): verify(bundle, signers) for bundle in bundles}
    answers = [
        {"bundle": name, "sound": sound(found), "findings": [finding.model_dump(mode="json") for finding in found]}
        for name, found in looked.items()
    ]
    if json:
        output.show_json(answers[0] if len(answers) == 1 else answers)
    else:
        for name, found in looked.items():
            if len(looked) > 1:
                output.answer(name)
            output.answer(output.lines([cells(finding) for finding in found]))
            output.answer(verdict(found))
    statuses = {status(found) for found in looked.values()}
    return 1 if 1 in statuses else max(statuses)


def show(served: Sequence[Served], fleet: bool) -> None:
    """Print every bundle on every board, and what each board gets."""
    for one in served:
        for again in one.tried:
            show_again(again)
        if fleet:
            gets = f"gets {one.gets}" if one.gets else f"gets none: {one.verdict}"
            output.answer(f"{one.board} {gets}")


def show_again(again: Again) -> None:
    """Print one bundle on one board: the verdict, each limit, and what to know of the measurement."""
    device = again.measurement.device
    output.answer(f"{again.verdict}: {again.bundle} on {device.name if device else again.board}")
    for term in again.terms:
        output.answer(f"  {term.verdict}: {told(term)}")
    latency = again.measurement.latency
    if latency is None:
        return
    if again.before:
        output.answer(f"  p90 {units.show_seconds(latency.p90)} now, {units.show_seconds(again.before)} certified")
    output.answer(f"  {timed.sessions(latency)}; noise floor {timed.floor(latency)}; {timed.verdict(latency)}")
    for note in again.notes:
        output.answer(f"  note: {note}")


def boards(bundles: Sequence[Path], at: Sequence[str], fleet: Path | None, https: bool) -> tuple[Board, ...]:
    """Where to measure what. Raises UsageError."""
    if fleet and at:
        hint = "Put the addresses into the fleet file, or leave it out"
        raise UsageError(Problem("--fleet", "and --at both say where to measure", hint))
    return read_fleet(fleet, bundles) if fleet else read_here(read_boards(at, https), bundles)


@app.command("verify")
def verify_bundle(
    bundle: Annotated[list[Path] | None, typer.Argument(help="Folders of single targets, as build wrote them.")] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="NAME=ADDRESS", help="Measure again there; this-computer needs no address."),
    ] = None,
    fleet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure on boards of a fleet file, and say what each gets.")
    ] = None,
    bench: Annotated[Protocol, typer.Option("--bench", help="How much to measure: quick, reportable, soak.")] = (
        "reportable"
    ),
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what was measured as JUnit XML.")] = None,
    signers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may sign: lines of a name and a public ssh key.")
    ] = None,
    https: o.Https = False,
    json: o.Json = False,
) -> None:
    """Replay a bundle's golden vectors and check every digest; with --at or --fleet, measure its budget again."""
    bundles = bundle or []
    if not bundles and not fleet:
        raise UsageError(Problem("BUNDLE", "is missing", "Name the folder that build wrote for one target"))
    if not (at or fleet):
        if junit:
            raise UsageError(Problem("--junit", "is for what is measured", "Add --at NAME=ADDRESS or --fleet FILE"))
        raise typer.Exit(check(bundles, signers, json))
    if junit:
        junits.writable(junit)
    known = boards(bundles, at or (), fleet, https)
    refuse_unsigned(known, signers)
    with display() as observer, opened([one.device for one in known], observer):
        observer(Event(kind="start", stage="bench"))
        served = remeasure(
            known,
            bench,
            not fleet,
            lambda done, what: observer(Event(kind="progress", stage="bench", done=done, what=what)),
        )
    if json:
        output.show_json([one.model_dump(mode="json") for one in served])
    else:
        show(served, bool(fleet))
    if junit:
        junits.write(served, junit)
    verdicts = {one.verdict for one in served}
    raise typer.Exit(max(STATUS[one] for one in verdicts) if "broken" not in verdicts else STATUS["broken"])


def refuse_unsigned(known: Sequence[Board], signers: Path | None) -> None:
    """Raise UsageError for bundles that none of the signers signed, before anything is measured."""
    if signers is None:
        return
    problems = []
    for folder in dict.fromkeys(bundle for one in known for bundle in one.bundles):
        wrong = [finding for finding in certified(folder, signers) if finding.passed is False]
        problems += [Problem(shown(folder), f"{finding.what}: {finding.why}") for finding in wrong]
    if problems:
        raise UsageError(*problems)
