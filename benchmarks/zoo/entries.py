"""The committed list of networks, zoo.toml, as values."""

import tomllib
from pathlib import Path
from typing import Literal

from edgekd.spec import Value

LIST = Path(__file__).parent / "zoo.toml"


class Input(Value):
    """One input without its batch: smooth fields with noise, noise alone, parts of photographs, whole numbers below
    a limit, or a mask whose first positions hold words."""

    shape: tuple[int, ...]
    of: Literal["field", "noise", "photo", "ids", "mask"] = "field"
    below: int = 0


class Entry(Value):
    """One network: the function of its name in a module of the zoo, its inputs, and packages that carry its weights."""

    name: str
    kind: str
    module: str
    inputs: dict[str, Input]
    needs: tuple[str, ...] = ()


def entries() -> tuple[Entry, ...]:
    """All networks, in the order of the list."""
    told = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return tuple(Entry.model_validate(one) for one in told["model"])
