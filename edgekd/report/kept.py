"""What a report shows of what the student kept, as cells of text."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgekd import units
from edgekd.gauge import ACCURACY, Gauge
from edgekd.kept import Appraised, Attributed, Calibration, Contrasted, Endured, Kept, Moved, Parted, Scratch, Withstood
from edgekd.report import text
from edgekd.report.text import Cell
from edgekd.report.view import Table
from edgekd.results import Interval, Row

# Classes that are listed; of more the ones with the least agreement.
MOST_CLASSES = 20


@dataclass(frozen=True)
class Word:
    """A word of a sample and how much each network's answer owes to it, from 0 to 1 (below zero: against it)."""

    text: str
    teacher: float = 0.0
    student: float = 0.0


@dataclass(frozen=True)
class Card:
    """One sample where both part: what it is, what each says, and what each answers from."""

    truth: str
    teacher: str
    student: str
    picture: str
    teacher_picture: str
    student_picture: str
    words: tuple[Word, ...]
    likeness: str


def summary(told: Contrasted) -> str:
    """Agreement in one paragraph, with its basis."""
    basis = {"measured": "by the file that ships, in its own runtime"}.get(told.basis, f"{told.basis}: {told.why}")
    one_answer = f"{text.share(told.same.value)} ({100 * told.same.low:.1f}–{100 * told.same.high:.1f} %)"
    lead = f"Student and teacher give one answer to {one_answer} of {told.samples} {told.part} samples ({basis})."
    if told.student is None:
        return lead
    return f"{lead} {told.lost} only the teacher answers rightly, {told.won} only the student."


def classes(told: Contrasted) -> Table:
    """Of what the teacher takes for a class, how much the student does too; the least first."""
    header = ("class", "agrees with teacher", "teacher says it", "student says it", "samples of it")
    shown = sorted(told.classes, key=lambda one: (one.agreement != one.agreement, one.agreement))[:MOST_CLASSES]
    body = tuple(
        (
            Cell(one.name),
            Cell(text.share(one.agreement)),
            Cell(str(one.teacher)),
            Cell(str(one.student)),
            Cell(str(one.labelled)),
        )
        for one in shown
    )
    return Table(header, body)


def moved(told: Contrasted) -> Table:
    """Wrong answers that the student gives more often than the teacher, then those that it gives less often."""
    header = ("taken for another class", "teacher", "student", "change")
    return Table(header, tuple(_moved(one) for one in told.moved))


def _moved(one: Moved) -> tuple[Cell, ...]:
    change = one.student - one.teacher
    return (
        Cell(f"{one.truth} → {one.taken_for}"),
        Cell(str(one.teacher)),
        Cell(str(one.student)),
        Cell(f"{abs(change)} {'more' if change > 0 else 'fewer'}"),
    )


def calibrations(told: Contrasted, rows: Sequence[Row] = ()) -> Table | None:
    """Confidence beside accuracy of both, and the error that is left of each of `rows` by its temperature."""
    if told.teacher is None or told.student is None:
        return None
    header = ("", "mean confidence", "accuracy", "calibration error (ECE)")
    cooled = [
        (Cell(f"{row.target}, temperature {one.temperature:.3g}"), Cell(text.NONE), Cell(text.NONE), _error(one.error))
        for row in rows
        for one in (row.artifact.signature.confidence if row.ships and row.artifact else ())
    ]
    return Table(header, (_calibration("teacher", told.teacher), _calibration("student", told.student), *cooled))


def _calibration(name: str, told: Calibration) -> tuple[Cell, ...]:
    return Cell(name), Cell(text.share(told.confidence)), Cell(text.share(told.accuracy)), _error(told.error)


def _error(told: Interval) -> Cell:
    return Cell(text.share(told.value), f"{100 * told.low:.1f}–{100 * told.high:.1f} %")


def cards(kept: Kept) -> tuple[Card, ...]:
    """The samples where both part, with what each answers from where that was worked out."""
    found = {one.number: one for one in kept.explained.samples} if kept.explained else {}
    return tuple(_card(one, found.get(one.number)) for one in kept.contrasted.parted)


def _card(one: Parted, explained: Attributed | None) -> Card:
    weights = [(0.0, 0.0)] * len(one.words)
    if explained is not None and explained.student:
        scaled = (_scaled(explained.teacher), _scaled(explained.student))
        weights[: len(scaled[0])] = list(zip(*scaled, strict=True))
    return Card(
        truth=one.truth or "not labelled",
        teacher=f"{one.teacher}, {text.share(one.teacher_confidence)} sure",
        student=f"{one.student}, {text.share(one.student_confidence)} sure",
        picture=one.picture,
        teacher_picture=explained.teacher_picture if explained else "",
        student_picture=explained.student_picture if explained else "",
        words=tuple(Word(word, *pair) for word, pair in zip(one.words, weights, strict=True)),
        likeness=f"{explained.likeness:.2f}" if explained and explained.likeness == explained.likeness else "",
    )


def _scaled(weights: tuple[float, ...]) -> tuple[float, ...]:
    top = max((abs(weight) for weight in weights), default=0.0)
    return tuple(weight / top if top else 0.0 for weight in weights)


def parted(kept: Kept) -> Table:
    """The same as a table, for pages without pictures."""
    header = ("sample", "it is", "teacher says", "student says", "attributions alike")
    body = tuple(
        (
            Cell(str(one.number), " ".join(one.words)),
            Cell(card.truth),
            Cell(card.teacher),
            Cell(card.student),
            Cell(card.likeness or text.NONE),
        )
        for one, card in zip(kept.contrasted.parted, cards(kept), strict=True)
    )
    return Table(header, body, words=frozenset({0, 1, 2, 3}))


def corruptions(told: Endured) -> Table:
    """Samples as they are, each corruption in the mean of its severities, and the mean of all."""
    control = any(row.control for row in told.rows)
    header = (
        "test samples",
        "teacher",
        *(("student without teacher",) if control else ()),
        "student",
        "it loses more by",
    )
    shown = [row for row in told.rows if row.severity == 0]
    return Table(header, tuple(_withstood(row, control) for row in shown), frozenset({len(shown) - 1}))


def _withstood(row: Withstood, control: bool) -> tuple[Cell, ...]:
    name = {"": "as they are", "mean": "all corruptions"}.get(row.corruption, row.corruption)
    alone = (Cell(text.share(row.control.value) if row.control else text.NONE),) if control else ()
    return (
        Cell(name),
        Cell(text.share(row.teacher.value)),
        *alone,
        Cell(text.share(row.student.value)),
        text.points(row.behind),
    )


def severities(told: Endured) -> str:
    """Which severities were taken: "1, 3 and 5"."""
    found = sorted({row.severity for row in told.rows if row.severity})
    return " and ".join(filter(None, (", ".join(map(str, found[:-1])), str(found[-1])))) if found else ""


def transfer(told: Appraised) -> Table:
    """What is known of the transfer data, with what it means."""
    low = f"{units.show_share(told.expected)} if both were of one source"
    rows = (
        ("coverage of the test part", units.show_share(told.coverage), low),
        ("density", f"{told.density:.2f}", "1.00 if both were of one source"),
        ("variety (Vendi score)", f"{told.variety:.2f}", f"{told.variety_of_test:.2f} of the test part"),
        ("effective number of classes", f"{told.classes:.1f}", "by what the teacher says of them"),
        (f"entropy of targets at temperature {told.temperature:g}", units.show_share(told.entropy), "of the largest"),
        (f"first class at temperature {told.temperature:g}", units.show_share(told.peak), "in the mean"),
    )
    return Table(("", "by the teacher's answers"), tuple((Cell(name), Cell(value, note)) for name, value, note in rows))


def scratch(told: Scratch, gauge: Gauge = ACCURACY) -> str:
    """What the weights that the student started from were worth."""
    difference = text.points(told.difference, gauge)
    return (
        f"Started from your weights the student has {gauge.show(told.started)} on the test split, from random ones "
        f"{gauge.show(told.scratch)}: {difference.main} ({difference.note}), of one training each, as long and by the "
        "same recipe; torch ran both."
    )


def shown(told: Kept, gauge: Gauge = ACCURACY, rows: Sequence[Row] = ()) -> dict[str, object]:
    """All that the pages print of it; `rows` are those of the report."""
    return {
        "told": told,
        "summary": summary(told.contrasted),
        "classes": classes(told.contrasted),
        "moved": moved(told.contrasted),
        "calibrations": calibrations(told.contrasted, rows),
        "cards": cards(told),
        "parted": parted(told),
        "corruptions": corruptions(told.endured) if told.endured else None,
        "severities": severities(told.endured) if told.endured else "",
        "transfer": transfer(told.transfer) if told.transfer else None,
        "scratch": scratch(told.scratch, gauge) if told.scratch else "",
    }
