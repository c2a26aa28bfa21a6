"""Finds cards: pages of TOML that describe devices, data, teachers, students and recipes.

Cards are looked for in ./targets and ./models, in the user's config folder, and then among the shipped ones. A shipped
card and a private card are the same thing; the first of a name wins. Paths in a card are relative to the card.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekd.errors import Problem, UsageError
from edgekd.mistakes import unknown

Kind = Literal["devices", "data", "teachers", "students", "recipes"]
KINDS: tuple[Kind, ...] = ("devices", "data", "teachers", "students", "recipes")
DEFAULT_RECIPE = "fashion-mnist-few-labels"


@dataclass(frozen=True)
class Entry:
    """One value of a page, where it stands (for messages) and the folder that its paths are relative to."""

    value: Any
    where: str
    base: Path


Table = dict[str, Entry]


@dataclass(frozen=True)
class Page:
    """A page of TOML: `top` holds the keys above all tables, `lists` the tables that may come several times."""

    file: Path
    top: Table
    tables: dict[str, Table]
    lists: dict[str, tuple[Table, ...]]

    def where(self, key: str = "") -> str:
        """Where a key of the page stands, as messages name it."""
        return f"{shown(self.file)}: {key}" if key else shown(self.file)


def shown(path: Path) -> str:
    """A path as the user would write it: relative to the current folder where it is inside."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def config_folder() -> Path:
    """The user's own folder for cards and addresses."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgekd"


def shipped_folder() -> Path:
    """Where the cards that come with edgekd are: inside the wheel, or the root of a checkout."""
    package = Path(__file__).parent
    return package / "_catalog" if (package / "_catalog").is_dir() else package.parent


def roots() -> tuple[Path, ...]:
    """Folders that may hold `targets` and `models`, first choice first."""
    return tuple(dict.fromkeys(folder.resolve() for folder in (Path.cwd(), config_folder(), shipped_folder())))


def cards(kind: Kind) -> dict[str, Path]:
    """Every card of a kind: name -> file. Raises UsageError for a card in targets/ that is not TOML."""
    found: dict[str, Path] = {}
    for root in roots():
        if kind == "devices":
            files = {p.stem: p for p in sorted((root / "targets").glob("*.toml")) if "device" in _parse(p)}
        else:
            folder = root / "models" / kind
            files = {p.stem: p for p in sorted(folder.glob("*.toml"))}
            files |= {p.parent.name: p for p in sorted(folder.glob("*/card.toml"))}
        found = files | found
    return dict(sorted(found.items()))


def card(kind: Kind, name: str, where: str) -> Path:
    """The file of one card. Raises UsageError with the nearest name, at the place `where` the name was written."""
    known = cards(kind)
    if name not in known:
        noun = {"data": "data card"}.get(kind, f"{kind.removesuffix('s')} card")
        raise UsageError(unknown(where, noun, name, known))
    return known[name]


def summary(path: Path) -> str:
    """A card's own description, or nothing."""
    return str(_parse(path).get("description", ""))


def _parse(path: Path) -> dict[str, Any]:
    """A page's raw TOML. Raises UsageError where it cannot be read, with the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(Problem(shown(path), "this file is not there")) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(Problem(shown(path), f"this is not TOML: {error}", "See https://toml.io")) from None
    except OSError as error:
        raise UsageError(Problem(shown(path), f"this file cannot be read: {error.strerror}")) from None


def read_page(path: Path) -> Page:
    """Read a page. Raises UsageError for a file that is not there or is not TOML."""
    raw, base = _parse(path), path.absolute().parent

    def table(name: str, values: dict[str, Any]) -> Table:
        return {key: Entry(value, f"{shown(path)}: {name}{key}", base) for key, value in values.items()}

    top = {key: value for key, value in raw.items() if not isinstance(value, dict) and not _is_list_of_tables(value)}
    tables = {key: table(f"[{key}] ", value) for key, value in raw.items() if isinstance(value, dict)}
    lists = {
        key: tuple(
            table(f"[[{key}]] number {i}, " if len(value) > 1 else f"[[{key}]] ", v) for i, v in enumerate(value, 1)
        )
        for key, value in raw.items()
        if _is_list_of_tables(value)
    }
    return Page(path, table("", top), tables, lists)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def addresses() -> dict[str, str]:
    """Addresses of devices by name, from [at] in the user's config.toml."""
    file = config_folder() / "config.toml"
    return {name: str(value) for name, value in _parse(file).get("at", {}).items()} if file.is_file() else {}
