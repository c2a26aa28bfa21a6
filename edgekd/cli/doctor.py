"""`edgekd doctor`: what works on this machine, or on a board."""

from collections.abc import Sequence
from typing import Annotated

import typer

from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.commands import boards, browsers, phones
from edgekd.commands.doctor import Finding, examine, here
from edgekd.errors import EdgekdError, Problem, UsageError
from edgekd.recipes.targets import BROWSER, PHONE, read_boards
from edgekd.spec import Device

app = typer.Typer(add_completion=False)

# What was found somewhere, or why nothing could be.
Found = tuple[Finding, ...] | EdgekdError


@app.command()
def doctor(
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at", metavar="NAME=ADDRESS", help="Look at a board reached by ssh, a phone by adb, or at browser."
        ),
    ] = None,
    provision: Annotated[
        bool, typer.Option("--provision", help="Fetch what is lacking here, and unpack it on the board.")
    ] = False,
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Say what works on this machine (or on a board), what is missing, and the one command that fixes it."""
    devices = read_boards(at or ())
    if provision and not devices:
        raise UsageError(Problem("--provision", "needs a board", "Say which: --at raspberry-pi-5=pi@raspberrypi.local"))
    found = _boards(devices, provision) or {here(): examine(o.store_root(store))}
    if json:
        pages = [_page(name, each) for name, each in found.items()]
        output.show_json(pages[0] if len(pages) == 1 else pages)
    else:
        reaches = {device.name: device.reach.name for device in devices}
        for name, each in found.items():
            _show(name, each, reaches.get(name, ""))
    raise typer.Exit(max(_status(each) for each in found.values()))


def _boards(devices: Sequence[Device], provision: bool) -> dict[str, Found]:
    """What was found on each board. Of several, one that cannot be looked at is no end for the others."""
    found: dict[str, Found] = {}
    for device in devices:
        try:
            found[device.name] = _board(device, provision)
        except EdgekdError as error:
            if len(devices) == 1:
                raise
            found[device.name] = error
    return found


def _board(device: Device, provision: bool) -> tuple[Finding, ...]:
    if device.reach.name == BROWSER:
        if provision:
            browsers.provision(device, output.say)
        return browsers.examine(device)
    if device.reach.name == PHONE:
        if provision:
            hint = f"Look at what is missing: edgekd doctor --at {device.name}"
            raise UsageError(Problem("--provision", f"no package has what {device.name} needs", hint))
        return phones.examine(device)
    if provision:
        boards.provision(device, output.say)
    return boards.examine(device)


def _status(found: Found) -> int:
    """The exit status for one place."""
    if isinstance(found, EdgekdError):
        return found.exit_status
    return 1 if any(finding.state == "broken" for finding in found) else 0


def _page(name: str, found: Found) -> dict[str, object]:
    """One place as JSON."""
    if isinstance(found, EdgekdError):
        return {"platform": name, "findings": [], "error": {"status": found.exit_status, "message": str(found)}}
    return {"platform": name, "findings": [finding.model_dump(mode="json") for finding in found]}


def _show(name: str, found: Found, reach: str) -> None:
    """What was found, and below it what to do; `reach` is how the device is reached, empty for this computer."""
    output.answer(f"platform: {name}")
    if isinstance(found, EdgekdError):
        output.answer(str(found))
        return
    output.answer(output.lines([(f.what, f.state, f.versions or f.why) for f in found]))
    board = reach not in ("", BROWSER, PHONE)
    run = "Run there: " if board else "" if reach == PHONE else "Run: "
    missing = [finding for finding in found if finding.state in ("missing", "broken")]
    for finding in missing:
        output.answer(f"{finding.what}: {finding.why}. {f'{run}{finding.fix}' if finding.fix else ''}".rstrip())
    if board and any(finding.state == "missing" for finding in found):
        output.answer("or let this computer fetch and bring it: the same command with --provision")
