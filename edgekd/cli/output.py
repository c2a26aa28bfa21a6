"""What goes to standard output (answers) and to standard error (everything else)."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from edgekd.spec import Value

STATUS = {"fits": 0, "missed": 3, "inconclusive": 4}


def answer(text: str) -> None:
    """Print a line that is the command's answer."""
    print(text)


def say(text: str) -> None:
    """Print a line beside the answer."""
    print(text, file=sys.stderr)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def show_value(value: Value) -> None:
    """Print one of edgekd's values as JSON; numbers that JSON does not have become words."""
    print(value.model_dump_json(indent=1))


def lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns that stand under each other; a first line of headers is underlined by nothing."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in padded)
