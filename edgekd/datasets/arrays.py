"""Samples from .npz files: arrays by input name, labels under y (missing or negative: none), groups under group.

Under y stand whole numbers that name classes, or floats that are to be told (NaN: none). Without y, arrays y_<head>
are the labels of several heads of one network.
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Array, Canvas, Source
from edgekd.samples import pools
from edgekd.spec import Value

VERSION = 3
PACKAGES = ("numpy", "pillow")
EXTRA = "train"
FILES = ("train", "test", "unlabelled")


class Settings(Value):
    """Paths of the .npz files of training, test and more unlabelled samples, and the names of the classes in order.

    With several heads `classes` is a table: { kind = ["boot", "bag"], season = ["summer", "winter"] }.
    """

    train: str
    test: str | None = None
    unlabelled: str | None = None
    classes: tuple[str, ...] | dict[str, tuple[str, ...]] = ()


def read(settings: Settings, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source:
    """Read the files and check them together; raises UsageError with every mistake. There is nothing to skip here."""
    named = {name: getattr(settings, name) for name in FILES}
    paths = {name: files.get(name, Path(value)) for name, value in named.items() if value is not None}
    where = {name: f"data.{name} ({path})" for name, path in paths.items()}
    loaded = {name: _load(path) for name, path in paths.items()}
    problems = [
        Problem(where[name], got, "Write it with numpy.savez") for name, got in loaded.items() if type(got) is str
    ]
    if problems:
        raise UsageError(*problems)
    arrays = {name: got for name, got in loaded.items() if not isinstance(got, str)}
    return pools.source(arrays, where, settings.classes, canvas)


def task(settings: Settings, files: Mapping[str, Path]) -> str:
    """What is to be learned, "classes" or "numbers", from the labels alone; empty where that cannot be seen."""
    found = _load(files.get("train", Path(settings.train)), ("y",))
    if isinstance(found, str) or "y" not in found:
        return ""
    return "numbers" if pools.is_numbers(found["y"]) else "classes"


def heads(settings: Settings, files: Mapping[str, Path]) -> tuple[str, ...]:
    """The heads that the samples have labels of, none where there is one kind of label; from the arrays' names."""
    found = _load(files.get("train", Path(settings.train)), ())
    return () if isinstance(found, str) else pools.heads(found)


def _load(path: Path, names: Sequence[str] = ()) -> dict[str, Array] | str:
    """All arrays of a file by name, or those named, or what is wrong with it. Pickled objects are never loaded."""
    if not path.is_file():
        return "there is no such file"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            return {name: found[name] for name in names or found.files if name in found.files}
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return f"cannot be read as .npz ({type(error).__name__}: {error})"
