"""From [train] to what is learned from, and how: the recipe's own objectives and its scheme."""

from typing import Any

from edgekd import plugins
from edgekd.catalog import Entry
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather, nearest, unknown
from edgekd.recipes.choices import setting_names
from edgekd.spec import OFFLINE, Choice, Objective

EXAMPLE = 'objectives = [{ use = "cross_entropy", weight = 0.1 }, { use = "kd", weight = 0.9, temperature = 2.0 }]'


def read_objectives(entry: Entry | None) -> tuple[Objective, ...]:
    """A list of tables: `use` names an objective, `weight` is its share of the loss, `head` the one of several heads
    that it is of (without it: all), the rest are its settings."""
    if entry is None:
        return ()
    if not isinstance(entry.value, list) or not entry.value or not all(isinstance(one, dict) for one in entry.value):
        raise UsageError(Problem(entry.where, "is not a list of tables", f"Write for example {EXAMPLE}"))
    gather = Gather()
    found = [
        gather.attempt(_objective, dict(one), f"{entry.where}[{number}]") for number, one in enumerate(entry.value)
    ]
    gather.check()
    return tuple(one for one in found if one)


def _objective(written: dict[str, Any], where: str) -> Objective:
    name, weight, head = str(written.pop("use", "")), written.pop("weight", 1.0), written.pop("head", "")
    gather = Gather()
    use = gather.attempt(_choice, "objectives", "objective", name, written, where)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        hint = "It is the factor of this term in the loss"
        gather.problems.append(Problem(f"{where}.weight", f"{weight!r} is not a number of 0 or above", hint))
    if not isinstance(head, str):
        hint = "Name one head of the data, or leave it out for all"
        gather.problems.append(Problem(f"{where}.head", f"{head!r} is not a name", hint))
    gather.check()
    assert use is not None
    return Objective(use=use, weight=float(weight), head=head)


def read_scheme(entry: Entry | None) -> Choice:
    """A scheme by name, or a table with `use` and its settings."""
    if entry is None:
        return OFFLINE
    if isinstance(entry.value, str):
        return _choice("schemes", "scheme", entry.value, {}, entry.where)
    if not isinstance(entry.value, dict):
        hint = 'Write for example scheme = { use = "born_again", generations = 2 }'
        raise UsageError(Problem(entry.where, f"{entry.value!r} is neither a name nor a table", hint))
    written = dict(entry.value)
    return _choice("schemes", "scheme", str(written.pop("use", "")), written, entry.where)


def _choice(kind: str, noun: str, name: str, settings: dict[str, Any], where: str) -> Choice:
    """A plug-in and its settings by their names; their values are read in the Check step."""
    names, written = plugins.names(kind), name.replace("-", "_")
    if written not in names:
        raise UsageError(unknown(f"{where}.use", noun, name, names))
    known = setting_names(kind, written)
    problems = [
        Problem(f"{where}.{key}", f"is not a setting of {written}", nearest(key, known))
        for key in settings
        if known and key not in known
    ]
    if problems:
        raise UsageError(*problems)
    return Choice(name=written, settings=settings)
