"""What the student kept of its teacher, as values: answers, confidence, layers, attribution, corrupted samples.

Names of classes stand in place of their numbers, so that a page can be written from these values alone.
"""

from typing import Literal

from edgekd.conditions import Interval
from edgekd.spec import Part, Value

# What a concern is about; the first word of what is printed.
About = Literal["teacher", "student", "temperature", "capacity gap", "transfer data", "control", "corruptions"]


class Bin(Value):
    """Samples whose confidence lies in one interval: how many, their mean confidence, the share that is right."""

    count: int
    confidence: float
    accuracy: float


class Calibration(Value):
    """How far confidence is from accuracy on labelled samples.

    `error` is the expected calibration error: the mean distance of accuracy from confidence over `bins` of equal width
    (those without a sample are left out), weighted by samples, with its 95 % bootstrap interval over samples.
    """

    error: Interval
    bins: tuple[Bin, ...]
    confidence: float
    accuracy: float


class OfClass(Value):
    """One class in counts of samples: labelled so, taken for it by teacher and by student, and by both."""

    name: str
    labelled: int
    teacher: int
    student: int
    both: int

    @property
    def agreement(self) -> float:
        """The share of what the teacher takes for this class that the student takes for it too; NaN of none."""
        return self.both / self.teacher if self.teacher else float("nan")


class Moved(Value):
    """How often samples of the class `truth` are taken for another one, by teacher and by student."""

    truth: str
    taken_for: str
    teacher: int
    student: int


class Parted(Value):
    """A sample that teacher and student answer differently, by its number in the part.

    `picture` is a PNG as a data URI where the sample is an image or a series; `words` else what it holds: ids or
    numbers.
    """

    number: int
    truth: str
    teacher: str
    teacher_confidence: float
    student: str
    student_confidence: float
    picture: str = ""
    words: tuple[str, ...] = ()


class Contrasted(Value):
    """Student beside teacher on one part: agreement, confusion that moved, calibration, and samples where they part.

    `lost` samples only the teacher answers rightly, `won` only the student, `same` is the share with one answer.
    Calibrations are None where no sample is labelled. `basis` and `why` are those of the student's outputs.
    """

    part: Part
    samples: int
    same: Interval
    lost: int
    won: int
    classes: tuple[OfClass, ...]
    moved: tuple[Moved, ...]
    teacher: Calibration | None
    student: Calibration | None
    parted: tuple[Parted, ...]
    basis: str
    why: str = ""


class Resemblance(Value):
    """Linear CKA of each layer of the student (rows) with each of the teacher (columns), on so many samples."""

    student: tuple[str, ...]
    teacher: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    samples: int
    part: Part


class Attributed(Value):
    """Which parts of one sample teacher and student answer from: a picture each, or a weight for each of its words.

    `likeness` is the cosine between both attributions, from -1 to 1; NaN where they are of unlike numbers.
    """

    number: int
    likeness: float
    teacher_picture: str = ""
    student_picture: str = ""
    teacher: tuple[float, ...] = ()
    student: tuple[float, ...] = ()


class Explained(Value):
    """Attributions of samples where teacher and student part, each network's to its own answer; `of` is the input."""

    method: str
    of: str
    samples: tuple[Attributed, ...]


class Withstood(Value):
    """Accuracy of teacher, control and student under one corruption (empty: none), of one severity (0: the mean).

    `behind` is how much more the student loses to it than the teacher, paired by sample.
    """

    corruption: str
    severity: int
    teacher: Interval
    student: Interval
    control: Interval | None = None
    behind: Interval | None = None


class Endured(Value):
    """Teacher, control and student on corrupted copies of test samples, row by row; the last is the mean of all."""

    rows: tuple[Withstood, ...]
    samples: int
    corrupts: str
    basis: str


class Appraised(Value):
    """What the student learns from, in the space of the teacher's logits, on so many samples of either part.

    `coverage` is the share of test samples that have a transfer sample at least as near as their own fifth neighbour,
    `expected` what two samples of one distribution have on average; `density` how many such neighbourhoods a transfer
    sample lies in, over five (1 is expected). `variety` is the Vendi score of transfer samples, `variety_of_test` that
    of test samples, `classes` the effective number of classes. At `temperature` targets have the mean entropy
    `entropy` (of its largest value) and give their first class the mean probability `peak`.
    """

    samples: int
    coverage: float
    expected: float
    density: float
    variety: float
    variety_of_test: float
    classes: float
    temperature: float
    entropy: float
    peak: float


class Scratch(Value):
    """Test accuracy of what ships, which started from the user's weights, and of the same network trained as long from
    random ones; the difference is paired by sample, of one training each."""

    started: float
    scratch: float
    difference: Interval


class Concern(Value):
    """What a good engineer would warn of: the numbers that say so, and what to do."""

    about: About
    message: str
    fix: str


class Kept(Value):
    """All that a report tells of what the student kept; what is missing says why in the words of its `why_`.

    `scratch` is only there where the student started from weights of the user's.
    """

    contrasted: Contrasted
    resemblance: Resemblance | None = None
    why_no_resemblance: str = ""
    explained: Explained | None = None
    why_not_explained: str = ""
    endured: Endured | None = None
    why_not_endured: str = ""
    transfer: Appraised | None = None
    why_no_transfer: str = ""
    scratch: Scratch | None = None
