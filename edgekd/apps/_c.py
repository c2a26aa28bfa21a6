"""Text of C: numbers, strings and comments that mean in C what they mean here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Types of tensors, and what C calls them.
TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "bool": "bool",
}
WIDTH = 110


def number(value: float) -> str:
    """A float literal that reads back as the same number."""
    return f"{np.format_float_scientific(np.float32(value), trim='0')}f"


def numbers(values: NDArray[Any], indent: int = 4) -> str:
    """An array's elements in lines of at most 110 characters."""
    if values.dtype.kind == "f":
        words = [number(value) for value in values]
    elif values.dtype.kind == "b":
        words = [truth(bool(value)) for value in values]
    else:
        words = [_whole(int(value)) for value in values]
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 2 > WIDTH - indent:
            lines.append(line.rstrip())
            line = ""
        line += f"{word}, "
    return "\n".join(" " * indent + one for one in (*lines, line.rstrip().rstrip(",")))


def truth(value: bool) -> str:
    """true, false"""
    return "true" if value else "false"


def text(value: str) -> str:
    """A string literal, whatever the characters, in UTF-8."""
    return '"' + "".join(_character(byte) for byte in value.encode()) + '"'


def comment(value: str) -> str:
    """Text that stands in a comment without ending it, on one line."""
    return " ".join(value.split()).replace("*/", "* /").replace("/*", "/ *")


def _character(byte: int) -> str:
    plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
    return chr(byte) if plain else f"\\{byte:03o}"


def _whole(value: int) -> str:
    """The least number of a type is an expression in C, since its digits alone are of no signed type."""
    least = {-(2**31): "INT32_MIN", -(2**63): "INT64_MIN"}
    return least.get(value, f"{value}LL" if abs(value) > 2**31 - 1 else str(value))
