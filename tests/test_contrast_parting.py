"""Classes, confusions and samples where two networks part, counted by hand."""

import numpy as np

from edgekd.contrast.parting import ALIKE, by_class, confusion, moved, telling

NAMES = ("a", "b", "c")
#                   right  right  lost   lost   won    both wrong, unlabelled and apart
LABELS = np.array([0, 1, 2, 2, 0, 1, -1])
TEACHER = np.array([0, 1, 2, 2, 1, 0, 0])
STUDENT = np.array([0, 1, 0, 1, 0, 0, 2])


def said(classes: np.ndarray, sure: float = 3.0) -> np.ndarray:
    return (sure * np.eye(3)[classes]).astype(np.float32)


def test_classes_are_counted_by_what_each_says() -> None:
    a, b, c = by_class(said(TEACHER), said(STUDENT), LABELS, NAMES)
    assert (a.labelled, a.teacher, a.student, a.both) == (2, 3, 4, 2) and a.agreement == 2 / 3
    assert (b.labelled, b.teacher, b.student, b.both) == (2, 2, 2, 1)
    assert (c.labelled, c.teacher, c.student, c.both) == (2, 2, 1, 0)


def test_confusions_are_of_labelled_samples_and_the_largest_change_stands_first() -> None:
    assert confusion(said(TEACHER), LABELS).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 2]]
    found = [(one.truth, one.taken_for, one.teacher, one.student) for one in moved(
        said(TEACHER), said(STUDENT), LABELS, NAMES
    )]  # fmt: skip
    assert found == [("c", "a", 0, 1), ("c", "b", 0, 1), ("a", "b", 1, 0)]


def test_the_samples_that_only_the_teacher_gets_right_are_shown_first() -> None:
    student = said(STUDENT)
    student[3] = [0, 9, 0]  # here it is surest of what is wrong
    assert telling(said(TEACHER), student, LABELS, 10) == [3, 2, 4, 6]
    assert telling(said(TEACHER), student, LABELS, 2) == [3, 2]
    assert telling(said(TEACHER), said(TEACHER), LABELS, 9) == []


def test_one_pair_of_answers_does_not_fill_the_page() -> None:
    labels = np.zeros(9, np.int64)
    assert len(telling(said(labels), said(labels + 1), labels, 9)) == ALIKE
