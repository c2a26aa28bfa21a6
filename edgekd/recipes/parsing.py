"""From keys of a page to a value of the spec, every mistake at the key's own place."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from edgekd.catalog import Table
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import translate
from edgekd.spec import Value

V = TypeVar("V", bound=Value)
AT_LEAST_ONE = (
    "labels",
    "validation",
    "calibration",
    "epochs",
    "trial_epochs",
    "batch",
    "seeds",
    "views",
    "candidates",
    "threads",
)
# Seconds or milliseconds, bytes or kilobytes: a bare number on a page would be guessed.
WITH_UNIT = {"max_latency": "20ms", "max_time": "10m", "max_size": "256KiB", "max_memory": "16MiB"} | {
    "max_arena": "64KiB",
    "max_flash": "256KiB",
}


def parse(kind: type[V], table: Table, keys: Iterable[str], more: Mapping[str, Any] | None = None) -> V:
    """A value of the spec from those keys of a table that are its own, and `more` fields that are ready.

    Raises UsageError at each key's own place.
    """
    keys = tuple(keys)
    mine = {key: table[key] for key in keys if key in table}
    low = [entry for key, entry in mine.items() if key in AT_LEAST_ONE and _below_one(entry.value)]
    problems = [Problem(entry.where, f"{entry.value!r} must be at least 1") for entry in low]
    for key in [key for key in mine if key in WITH_UNIT and isinstance(mine[key].value, int | float)]:
        entry = mine.pop(key)
        problems.append(Problem(entry.where, f"{entry.value!r} has no unit", f'Write for example "{WITH_UNIT[key]}"'))
    try:
        made = kind.model_validate({key: entry.value for key, entry in mine.items()} | dict(more or {}))
    except ValidationError as error:
        problems += translate(error, lambda key: mine[key].where if key in mine else key, keys).problems
    if problems:
        raise UsageError(*problems)
    return made


def _below_one(value: object) -> bool:
    try:
        return float(str(value)) < 1
    except ValueError:
        return False
