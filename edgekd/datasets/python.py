"""Samples from a function of the user's own: make = "module:function" returns the arrays of each part."""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Canvas, Source
from edgekd.samples import pools
from edgekd.spec import Value

VERSION = 3
PACKAGES = ("numpy", "pillow")
EXTRA = "train"
CODE = ("make",)
WHERE = "data.make"
SHAPE = 'Return {"train": {"image": ..., "y": ...}, "test": {...}, "classes": [...]}; only "train" is required'


class Settings(Value):
    """The function as module:function. It takes nothing and returns {"train": arrays by name, "test", "classes"}.

    `heads` names the heads of labels y_<head>, so that they are known before it is called.
    """

    make: str
    heads: tuple[str, ...] = ()


def read(settings: Settings, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source:
    """Call the function and check what it returns; raises UsageError with every mistake. Nothing is skipped here."""
    returned = _called(settings.make, files)
    where = {part: f"{WHERE} ({settings.make}), {part}" for part in ("train", "test", "unlabelled")}
    problems = _shape_problems(returned, where)
    if problems:
        raise UsageError(*problems)
    parts = {
        part: {str(name): np.asarray(values) for name, values in returned[part].items()}
        for part in where
        if returned.get(part) is not None
    }
    if found := _other_heads(settings, parts["train"]):
        raise UsageError(found)
    return pools.source(parts, where, _classes(returned.get("classes", ())), canvas)


def heads(settings: Settings, files: Mapping[str, Path]) -> tuple[str, ...]:
    """The heads that the samples have labels of, as the recipe says."""
    return settings.heads


def _other_heads(settings: Settings, train: Mapping[str, Any]) -> Problem | None:
    """Labels of other heads than the recipe names."""
    found = pools.heads(train)
    if sorted(found) == sorted(settings.heads):
        return None
    named = ", ".join(settings.heads) or "no heads"
    message = f"the labels are of {', '.join(found) or 'one kind'}, but the recipe names {named}"
    return Problem("data.heads", message, f"Write heads = {list(found)}" if found else "Leave heads out")


def _classes(given: Any) -> pools.Names:
    """Names of classes, of several heads those of each."""
    if isinstance(given, Mapping):
        return {str(head): tuple(map(str, names)) for head, names in given.items()}
    return tuple(map(str, given))


def _called(code: str, files: Mapping[str, Path]) -> Any:
    """What the user's function returns."""
    function = _function(code, files)
    try:
        return function()
    # The code inside is the user's: what it raises cannot be named here. It is passed on in one sentence.
    except (Exception, SystemExit) as error:
        raise _raised(files["make"], error) from error


def _function(code: str, files: Mapping[str, Path]) -> Callable[[], Any]:
    """Load the function from the user's file, under the module's own name and beside its neighbours."""
    module_name, _, name = code.partition(":")
    if not module_name or not name:
        raise UsageError(Problem(WHERE, f"{code!r} is not module:function", "Write for example my_data:make"))
    file = files.get("make", Path(f"{module_name}.py"))
    # a name of its own, so that a user's random.py does not become everybody's
    spec = importlib.util.spec_from_file_location(f"edgekd_user_{module_name.rpartition('.')[2]}", file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise UsageError(Problem(WHERE, f"{file} of {code!r} is not a Python file", "Name one beside the recipe"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _raised(file, error) from error
    finally:
        sys.path.remove(str(file.resolve().parent))
    function: Callable[[], Any] | None = getattr(module, name, None)
    if not callable(function):
        found = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise UsageError(Problem(WHERE, f"{file} has no function {name!r}", f"It has: {', '.join(found) or 'none'}"))
    return function


def _raised(file: Path, error: BaseException) -> UsageError:
    """The user's own exception as a problem that names the line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()]
    line = f", line {frames[-1].lineno}" if frames else ""
    return UsageError(Problem(WHERE, f"{file}{line} raises {type(error).__name__}: {error}".rstrip(": ")))


def _shape_problems(returned: Any, where: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the outer shape of what the function returned."""
    if not isinstance(returned, Mapping):
        return [Problem(WHERE, f"the function returns a {type(returned).__name__}", SHAPE)]
    unknown = [repr(key) for key in returned if key not in (*where, "classes")]
    problems = [Problem(WHERE, f"the function returns the unknown key {key}", SHAPE) for key in unknown]
    if returned.get("train") is None:
        problems.append(Problem(WHERE, 'the function returns no "train"', SHAPE))
    for part, place in where.items():
        if returned.get(part) is not None and not isinstance(returned[part], Mapping):
            problems.append(Problem(place, f"is a {type(returned[part]).__name__}, not arrays by name", SHAPE))
    given = returned.get("classes", ())
    if not all(
        isinstance(names, list | tuple) for names in (given.values() if isinstance(given, Mapping) else (given,))
    ):
        problems.append(Problem(WHERE, '"classes" is neither a list of names nor one for each head', SHAPE))
    return problems
