"""What did the student keep? Its predictions of one part beside the teacher's outputs."""

import numpy as np
from numpy.typing import NDArray

from edgekd.contrast import showing
from edgekd.contrast.calibration import calibration, probabilities
from edgekd.contrast.parting import by_class, moved, telling
from edgekd.errors import EdgekdError
from edgekd.kept import Contrasted, Parted
from edgekd.results import Interval
from edgekd.samples.spoken import Spoken
from edgekd.statistics import share_interval
from edgekd.steps import Contrast
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("numpy", "pillow")

Outputs = NDArray[np.float32]
Labels = NDArray[np.int64]


def run(step: Contrast, out: Workspace) -> Contrasted:
    """Agreement, confusion, calibration and samples of both. Raises EdgekdError for outputs that do not match."""
    part = step.splits.parts[step.student.part]
    labels: Labels = np.asarray(out.load(part.labels), np.int64)
    student, teacher = (np.asarray(out.load(file), np.float32) for file in (step.student.outputs, step.teacher))
    if not student.shape == teacher.shape == (len(labels), len(step.splits.classes)):
        raise EdgekdError(
            f"outputs of the student {student.shape} and of the teacher {teacher.shape} are not ({len(labels)}, "
            f"{len(step.splits.classes)})"
        )
    value, low, high = share_interval(int((student.argmax(1) == teacher.argmax(1)).sum()), len(labels))
    known = labels >= 0
    ours, theirs = (outputs.argmax(1) == labels for outputs in (student, teacher))
    return Contrasted(
        part=step.student.part,
        samples=len(labels),
        same=Interval(value=value, low=low, high=high),
        lost=int((theirs & ~ours).sum()),
        won=int((ours & ~theirs).sum()),
        classes=by_class(teacher, student, labels, step.splits.classes),
        moved=moved(teacher, student, labels, step.splits.classes),
        teacher=calibration(teacher[known], labels[known]) if known.any() else None,
        student=calibration(student[known], labels[known]) if known.any() else None,
        parted=_parted(step, out, teacher, student, labels),
        basis=step.student.basis,
        why=step.student.why,
    )


def _parted(step: Contrast, out: Workspace, teacher: Outputs, student: Outputs, labels: Labels) -> tuple[Parted, ...]:
    """The samples that show best where both part, with what is to be seen of them."""
    names, part = step.splits.classes, step.splits.parts[step.student.part]
    stored = {name: out.load(file) for name, file in part.inputs.items()}
    sure, unsure = probabilities(teacher), probabilities(student)
    spoken, found = Spoken.of(step.splits, out) if step.shown else None, []
    words_of = {spoken.name: spoken.word} if spoken else {}
    for row in telling(teacher, student, labels, step.shown):
        picture, words = showing.shown({name: np.asarray(values[row]) for name, values in stored.items()}, words_of)
        found.append(
            Parted(
                number=row,
                truth=names[labels[row]] if labels[row] >= 0 else "",
                teacher=names[teacher[row].argmax()],
                teacher_confidence=float(sure[row].max()),
                student=names[student[row].argmax()],
                student_confidence=float(unsure[row].max()),
                picture=picture,
                words=words,
            )
        )
    return tuple(found)
