"""A teacher that is ready to be asked: loaded from the user's files, and what it still has to learn learned."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from edgekd.errors import Problem, UsageError
from edgekd.nets import networks
from edgekd.plugins import Oracle
from edgekd.results import Signature, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Choice, Part, Teacher, UserFile
from edgekd.workspace import Workspace


def oracle(teacher: Teacher, splits: Splits, signature: Signature, out: Workspace) -> Oracle:
    """Load a teacher; one that has something to learn learns it from the labelled validation samples.

    Raises UsageError for one that does not fit the data.
    """
    kind, settings = networks.configured("teachers", teacher.source, "teacher")
    loaded: Oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
    if loaded.learn is None:
        return loaded
    feed = Feed(out, splits, "validation", signature, augment=False, seed=0)
    some = np.flatnonzero(feed.labels >= 0)
    return loaded.learn(feed.batch(some), source_rows(splits, "validation", some, out), "validation", feed.labels[some])


def member(
    start: str, written: Mapping[str, JsonValue], files: Mapping[str, Path], signature: Signature, trust: bool
) -> Oracle:
    """Load one of several teachers, `written` as a table {name, its settings}; its files begin with `start`, such as
    "members.0."."""
    own = {key.removeprefix(start): path for key, path in files.items() if key.startswith(start)}
    settings = {key: value for key, value in written.items() if key != "name"}
    pinned = {key: UserFile(path=str(path), sha256="") for key, path in own.items()}
    choice = Choice(name=str(written["name"]), settings=settings, files=pinned)
    try:
        kind, chosen = networks.configured("teachers", choice, start.rstrip("."))
        loaded: Oracle = kind.load(chosen, own, signature, trust)
    except UsageError as error:
        problems = [
            p if p.where.startswith(start) else Problem(start + p.where, p.message, p.hint) for p in error.problems
        ]
        raise UsageError(*problems) from error
    return loaded


def source_rows(splits: Splits, part: Part, rows: NDArray[np.int64], out: Workspace) -> NDArray[np.int64]:
    """The numbers in the data's source of samples of a part, which a teacher of saved outputs needs."""
    numbers = splits.parts[part].rows
    return rows if numbers is None else np.asarray(out.load(numbers), np.int64)[rows]
