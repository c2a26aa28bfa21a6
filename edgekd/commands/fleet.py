"""A fleet file: boards of one's own, where they are, what budget each has, and which bundles it may get.

[[board]]
name = "kitchen"
at = "pi@kitchen.local"
card = "raspberry-pi-5"          # optional: how it is reached and what it is called, else by ssh
max_latency = "20ms"             # optional: else the budget of the bundle's certificate
bundles = ["run/front/best/tflite", "run/front/smallest/tflite"]    # optional: else those on the command line
"""

from collections.abc import Sequence
from pathlib import Path

from edgekd.catalog import Entry, Table, read_page, shown
from edgekd.certificate import AGAIN
from edgekd.commands.remeasure import Board
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather, nearest
from edgekd.recipes.parsing import parse
from edgekd.recipes.targets import THIS_COMPUTER, board, read_device
from edgekd.spec import Budget, Choice, Device

KEYS = ("name", "at", "card", "bundles", *AGAIN)


def read_fleet(path: Path, bundles: Sequence[Path]) -> tuple[Board, ...]:
    """The boards of a fleet file. Raises UsageError with all its mistakes."""
    page = read_page(path)
    boards, gather = page.lists.get("board", ()), Gather()
    for key in (*page.top, *page.tables, *page.lists):
        if key != "board" or key in page.tables:
            where = f"{shown(path)}: {key}"
            gather.problems.append(Problem(where, "is not known here", "Boards are written [[board]]"))
    if not boards:
        hint = 'Write for example [[board]] with name = "kitchen" and at = "pi@kitchen.local"'
        gather.problems.append(Problem(shown(path), "has no [[board]]", hint))
    found = [gather.attempt(_board, table, path, tuple(bundles)) for table in boards]
    names = [one.name for one in found if one]
    for name in {name for name in names if names.count(name) > 1}:
        gather.problems.append(Problem(shown(path), f"two boards are called {name!r}", "Give each a name of its own"))
    gather.check()
    return tuple(one for one in found if one)


def read_here(devices: Sequence[Device], bundles: Sequence[Path]) -> tuple[Board, ...]:
    """Devices of the command line as boards that get every bundle."""
    return tuple(Board(name=device.name, device=device, bundles=tuple(bundles)) for device in devices)


def _board(table: Table, path: Path, bundles: tuple[Path, ...]) -> Board:
    gather = Gather()
    for key, entry in table.items():
        if key not in KEYS:
            gather.problems.append(Problem(entry.where, "is not known here", nearest(key, KEYS)))
    name, where = _text(table, "name", gather), table["name"].where if "name" in table else shown(path)
    if not name:
        gather.problems.append(Problem(where, "a board needs a name", 'Write for example name = "kitchen"'))
    device = gather.attempt(_device, table, name or "board", where)
    budget = gather.attempt(parse, Budget, table, AGAIN)
    own = gather.attempt(_bundles, table) or bundles
    if not own:
        hint = "Name them on the command line or as bundles = [...]"
        gather.problems.append(Problem(where, "there is no bundle for it", hint))
    gather.check()
    assert device is not None
    wanted = budget if budget and any(getattr(budget, key) is not None for key in AGAIN) else None
    return Board(name=name, device=device, budget=wanted, bundles=own)


def _device(table: Table, name: str, where: str) -> Device:
    gather = Gather()
    at, card = _text(table, "at", gather), _text(table, "card", gather)
    gather.check()
    if card == THIS_COMPUTER or (not at and not card and name == THIS_COMPUTER):
        return Device()
    if card:
        return read_device(card, {card: at}, where)
    return board(name, Choice(name="ssh"), {name: at}, where)


def _text(table: Table, key: str, gather: Gather) -> str:
    entry: Entry | None = table.get(key)
    if entry is None:
        return ""
    if not isinstance(entry.value, str):
        gather.problems.append(Problem(entry.where, f"{entry.value!r} must be text in quotes"))
        return ""
    return entry.value.strip()


def _bundles(table: Table) -> tuple[Path, ...]:
    """Paths from the fleet file's own folder."""
    entry = table.get("bundles")
    if entry is None:
        return ()
    if not isinstance(entry.value, list) or not all(isinstance(one, str) for one in entry.value):
        raise UsageError(Problem(entry.where, f"{entry.value!r} must be a list of folders in quotes"))
    return tuple(entry.base / one for one in entry.value)
