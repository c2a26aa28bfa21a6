"""A teacher that is ready to be asked: loaded from the user's files, and what it still has to learn learned."""

import numpy as np
from numpy.typing import NDArray

from edgekd.nets import networks
from edgekd.plugins import Oracle
from edgekd.results import Signature, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Part, Teacher
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


def source_rows(splits: Splits, part: Part, rows: NDArray[np.int64], out: Workspace) -> NDArray[np.int64]:
    """The numbers in the data's source of samples of a part, which a teacher of saved outputs needs."""
    numbers = splits.parts[part].rows
    return rows if numbers is None else np.asarray(out.load(numbers), np.int64)[rows]
