"""From what a parser or a validator says to what a user can act on: file, key, what is wrong, the nearest good name."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgekd.errors import Problem, UsageError

P = ParamSpec("P")
T = TypeVar("T")

_MUST_BE = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text in quotes",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
}


class Gather:
    """Goes on after a mistake, so that all of them can be told at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def attempt(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The function's result, or None where it raised UsageError; its problems are kept."""
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            self.problems.extend(error.problems)
            return None

    def check(self) -> None:
        """Raise UsageError with each problem once, in the order found, if there are any."""
        if self.problems:
            raise UsageError(*dict.fromkeys(self.problems))


def nearest(word: str, names: Iterable[str], alike: float = 0.6) -> str:
    """A sentence with the nearest good name, or with all of them where none is near."""
    known = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), known, 1, alike)
    if close:
        return f"Did you mean {known[close[0]]!r}?"
    return f"Choose from: {', '.join(known.values())}." if known else ""


def unknown(where: str, noun: str, word: str, names: Iterable[str]) -> Problem:
    """The Problem of a name that is not known, with the nearest one that is."""
    return Problem(where, f"there is no {noun} {word!r}", nearest(word, names))


def _sentence(detail: ErrorDetails, names: Iterable[str]) -> tuple[str, str]:
    """One error of the validator as (message, hint)."""
    kind, value = detail["type"], detail["input"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a known key", nearest(str(detail["loc"][-1]), names)
    if kind == "missing":
        return "is missing", ""
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "literal_error":
        allowed = [word.strip().strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        return f"{value!r} is not one of {', '.join(allowed)}", nearest(str(value), allowed)
    noun = next((text for start, text in _MUST_BE.items() if kind.startswith(start)), "")
    return (f"{value!r} is not {noun}", "") if noun else (f"{value!r} does not fit: {detail['msg'].lower()}", "")


def translate(error: ValidationError, where: Callable[[str], str], names: Iterable[str]) -> UsageError:
    """A validator's errors as Problems; `where` says where a key stands, `names` are the keys that may be there."""
    problems = []
    for detail in error.errors(include_url=False):
        path = [str(part) for part in detail["loc"]]
        place = where(path[0] if path else "") + "".join(f".{part}" for part in path[1:])
        problems.append(Problem(place, *_sentence(detail, names)))
    return UsageError(*problems)
