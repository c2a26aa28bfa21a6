"""Where teacher and student part: class by class, which confusions moved, and which samples show it best."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.contrast.calibration import probabilities
from edgekd.kept import Moved, OfClass

Outputs = NDArray[np.float32]
Labels = NDArray[np.int64]

# Confusions that are told, of those that grew and of those that shrank.
MOST_MOVED = 8
# Of samples with the same two answers so many are shown.
ALIKE = 2


def by_class(teacher: Outputs, student: Outputs, labels: Labels, names: Sequence[str]) -> tuple[OfClass, ...]:
    """Counts of each class; labels below zero count for none."""
    theirs, ours = teacher.argmax(1), student.argmax(1)
    return tuple(
        OfClass(
            name=name,
            labelled=int((labels == k).sum()),
            teacher=int((theirs == k).sum()),
            student=int((ours == k).sum()),
            both=int(((theirs == k) & (ours == k)).sum()),
        )
        for k, name in enumerate(names)
    )


def confusion(outputs: Outputs, labels: Labels) -> NDArray[np.int64]:
    """How many samples of each class (rows) are taken for which (columns)."""
    classes, known = outputs.shape[1], labels >= 0
    pairs = labels[known] * classes + outputs[known].argmax(1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def moved(teacher: Outputs, student: Outputs, labels: Labels, names: Sequence[str]) -> tuple[Moved, ...]:
    """Wrong answers whose number changed most from teacher to student: those that grew first, then those that shrank.

    At most MOST_MOVED of either; equals in the order of the classes.
    """
    theirs, ours = confusion(teacher, labels), confusion(student, labels)
    change = ours - theirs
    np.fill_diagonal(change, 0)
    flat = change.ravel()
    order = np.argsort(-flat, kind="stable")
    grown = [int(at) for at in order[:MOST_MOVED] if flat[at] > 0]
    shrunk = [int(at) for at in np.argsort(flat, kind="stable")[:MOST_MOVED] if flat[at] < 0]
    found = []
    for at in (*grown, *shrunk):
        truth, taken = divmod(at, len(names))
        counts = {"teacher": int(theirs[truth, taken]), "student": int(ours[truth, taken])}
        found.append(Moved(truth=names[truth], taken_for=names[taken], **counts))
    return tuple(found)


def telling(teacher: Outputs, student: Outputs, labels: Labels, most: int) -> list[int]:
    """Samples that show best where the two part: those that only the teacher gets right, by how sure it is and the
    student is not; then, where these are few, the other ones that they answer differently.

    Of the same two answers there are at most ALIKE.
    """
    theirs, ours = teacher.argmax(1), student.argmax(1)
    sure, unsure = probabilities(teacher), probabilities(student)
    rows = np.arange(len(labels))
    apart = sure[rows, theirs] - unsure[rows, theirs]
    lost = theirs == labels
    parted = np.flatnonzero(theirs != ours)
    order = parted[np.lexsort((-apart[parted], ~lost[parted]))]
    chosen: list[int] = []
    seen: dict[tuple[int, int], int] = {}
    for row in order:
        pair = int(theirs[row]), int(ours[row])
        if seen.get(pair, 0) < ALIKE and len(chosen) < most:
            seen[pair] = seen.get(pair, 0) + 1
            chosen.append(int(row))
    return chosen
