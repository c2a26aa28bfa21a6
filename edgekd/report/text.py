"""Words and numbers of a report as short strings, for pages and prompts alike; each number with unit and basis."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgekd import units
from edgekd.gauge import ACCURACY, Gauge
from edgekd.results import DeviceFacts, HeadScore, Interval, Measurement, Report, Role, Row, Score

NONE = "–"
# Longer reasons would tear a table of plain text apart; they are told below it.
LONGEST_REASON = 70
_ROLES: dict[Role, str] = {
    "teacher": "teacher",
    "teacher-int8": "teacher",
    "control": "student without teacher",
    "student": "student distilled",
    "model": "model",
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is read first, and what must be known of it (interval, basis, device or reason)."""

    main: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.main} ({self.note})" if self.note else self.main


def label(row: Row) -> str:
    """Name a row: who, in which precision, and whether this one ships."""
    return f"{_ROLES[row.role]} {row.precision}" + (" (ships)" if row.ships else "")


def device(facts: DeviceFacts | None) -> str:
    """Name a device so that nobody takes a computer for a phone: what the user calls it, and its processor."""
    if facts is None:
        return "no device"
    chip = facts.processor or facts.model
    return facts.name if chip in facts.name else f"{facts.name} ({chip})"


def share(value: float) -> str:
    """0.9123 -> "91.2 %"; an unknown share is a dash."""
    return units.show_share(value) if value == value else NONE


def points(interval: Interval | None, gauge: Gauge = ACCURACY) -> Cell:
    """A difference in the metric's unit, of shares in percentage points, with its 95 % interval."""
    if interval is None:
        return Cell(NONE)
    if not gauge.share:
        span = " to ".join(_minus(gauge.show_gap(value)) for value in (interval.low, interval.high))
        return Cell(_minus(gauge.show_gap(interval.value)), span)
    return Cell(_minus(units.show_points(interval.value)), f"{_signed(interval.low)} to {_signed(interval.high)}")


def _signed(value: float) -> str:
    return _minus(f"{100 * value:+.1f}")


def _minus(text: str) -> str:
    """A typographic minus, and no sign on a zero."""
    return "0.0" + text[4:] if text[:4] in ("+0.0", "-0.0") else text.replace("-", "−")


def show_setting(value: object) -> str:
    """A setting of a method: numbers as short as they are, lists with commas."""
    if isinstance(value, list | tuple):
        return " and ".join(map(show_setting, value))
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def accuracy(score: Score | None) -> Cell:
    """The metric with its 95 % interval; the basis is named where it is not the target's own runtime."""
    if score is None:
        return Cell("not measured")
    gauge, found = score.gauge, score.accuracy
    span = f"{gauge.bare(found.low)}–{gauge.show(found.high)}"
    return Cell(quality(found.value, gauge), span if score.basis == "measured" else f"{span}, {score.basis}")


def of_head(score: HeadScore, gauge: Gauge) -> Cell:
    """The metric of one head with its 95 % interval."""
    found = score.accuracy
    return Cell(quality(found.value, gauge), f"{gauge.bare(found.low)}–{gauge.show(found.high)}")


def quality(value: float, gauge: Gauge) -> str:
    """A value of the metric in its unit; an unknown one is a dash."""
    return gauge.show(value) if value == value else NONE


def seconds(measurement: Measurement, quantile: str, place: str = "") -> Cell:
    """One number of a latency ("p50", "p90", "p90_high", "p99", "quiet", "first", "load") with basis and place."""
    if measurement.latency is None:
        return Cell(_basis(measurement), measurement.why)
    notes = [f"{measurement.basis} on {place}" if place else measurement.basis]
    if not measurement.latency.stable:
        notes.append("unstable")
    return Cell(units.show_seconds(getattr(measurement.latency, quantile)), ", ".join(notes))


def memory(measurement: Measurement) -> Cell:
    """Peak memory over the empty runtime's, with its basis; the arena of a microcontroller."""
    if measurement.device and measurement.device.untimed and measurement.memory is not None:
        return Cell(units.show_size(measurement.memory), f"arena, {measurement.basis}")
    if measurement.memory is None:
        return Cell("not measured", "" if measurement.latency is None else measurement.why)
    return Cell(units.show_size(measurement.memory), measurement.basis)


def _basis(measurement: Measurement) -> str:
    return "not measured" if measurement.basis == "measured" else measurement.basis


def file_size(row: Row) -> Cell:
    """Size of the row's file; a row without a file has none."""
    return Cell(units.show_size(row.artifact.size)) if row.artifact else Cell("no file")


def parameters(row: Row) -> Cell:
    """Number of parameters where the network is known."""
    return Cell(units.show_count(row.size.params)) if row.size else Cell("unknown")


def budget(row: Row) -> Cell:
    """Does the row keep the budget, and if not, what it misses."""
    return Cell({True: "yes", False: "no", None: NONE}[row.fits], "; ".join(row.missed))


def summary(report: Report) -> tuple[Row, ...]:
    """The rows that matter, by target: the teacher, its int8 file, the control, and what ships (else all tried).

    Of a model that was exported as it is, all precisions.
    """
    chosen: list[Row] = []
    for target in targets(report.rows):
        rows = [row for row in report.rows if row.target == target]
        chosen += [row for row in rows if row.role == "model"]
        shipped = [row for row in rows if row.ships]
        students = [row for row in shipped if row.role != "model"] or [row for row in rows if row.role == "student"]
        chosen += [row for row in rows if row.role == "teacher" and row.precision == "float32"]
        chosen += [row for row in rows if row.role == "teacher-int8"]
        chosen += _controls(rows, students)
        chosen += students
    return tuple(chosen)


def _controls(rows: list[Row], students: list[Row]) -> list[Row]:
    """Controls in the students' precisions, so that equals are compared; one that ships stands among the students."""
    precisions = {row.precision for row in students}
    controls = [row for row in rows if row.role == "control" and row not in students]
    return [row for row in controls if row.precision in precisions] or controls


def targets(rows: Iterable[Row]) -> tuple[str, ...]:
    """Names of the targets in the order of the rows."""
    return tuple(dict.fromkeys(row.target for row in rows))


def devices(rows: Iterable[Row]) -> tuple[DeviceFacts, ...]:
    """The devices that measurements name, each once."""
    known = [row.measurement.device for row in rows]
    return tuple({facts.fingerprint: facts for facts in known if facts}.values())


def cells(report: Report) -> tuple[tuple[Cell, ...], tuple[tuple[Cell, ...], ...]]:
    """The main table: its header, and a row of cells for each row of `summary`.

    Where all was measured on one device the header's notes name it, else each latency does.
    """
    several, places = len(targets(report.rows)) > 1, devices(report.rows)
    here = f"on {device(places[0])}" if len(places) == 1 else ""
    names = (report.gauge.name, "p90 latency", "file", "memory", "parameters", "fits the budget")
    header = (Cell(""), *(Cell(name, here if name in ("p90 latency", "memory") else "") for name in names))
    body = []
    for row in summary(report):
        place = "" if len(places) == 1 else device(row.measurement.device)
        numbers = (accuracy(row.score), seconds(row.measurement, "p90", place), file_size(row), memory(row.measurement))
        line = (Cell(label(row)), *numbers, parameters(row), budget(row))
        body.append((Cell(row.target), *line) if several else line)
    return ((Cell("target"), *header) if several else header), tuple(body)


def table(report: Report) -> tuple[tuple[str, ...], ...]:
    """The main table as rows of strings, the header first; a target's column stands first where there are several."""
    header, body = cells(report)
    titles = tuple(f"{cell.main} {cell.note}".strip() for cell in header)
    return titles, *(tuple(cell.main if _torn(cell) else str(cell) for cell in line) for line in body)


def _torn(cell: Cell) -> bool:
    return cell.main == "not measured" and len(cell.note) > LONGEST_REASON


def reasons(report: Report) -> tuple[str, ...]:
    """Why rows of the main table were not measured, where `table` leaves that out; a reason of several rows once."""
    found: dict[str, str] = {}
    for row in summary(report):
        why = row.measurement.why
        if row.measurement.latency is None and len(why) > LONGEST_REASON:
            found.setdefault(why, f"{label(row)} on {row.target} was not measured: {why}")
    return tuple(found.values())


def remarks(report: Report) -> tuple[str, ...]:
    """What to know of the files that ship, each once, with the target where there are several."""
    notes = ((row.target, note) for row in report.rows if row.ships for note in row.notes)
    several = len(targets(report.rows)) > 1
    return tuple(dict.fromkeys(f"{target}: {note}" if several else note for target, note in notes))


def doubts(report: Report) -> tuple[str, ...]:
    """Why the budget of a file that ships could not be judged, a sentence for each target."""
    budgets = {target.name: target.budget for target in report.plan.targets}
    found = []
    for row in report.rows:
        if row.ships and row.fits is None:
            latency, placement = row.measurement.latency, row.placement
            shaky = f"its latency is unstable near the budget: {latency.why}" if latency and not latency.stable else ""
            asked = row.target in budgets and budgets[row.target].max_fallback is not None
            unseen = asked and placement is not None and placement.basis != "measured"
            where = f"where its operators run was not measured: {placement.why}" if unseen and placement else ""
            why = "; ".join(filter(None, (shaky or row.measurement.why, where)))
            found.append(f"the budget of {row.target} could not be judged: {why or 'something was not measured'}")
    return tuple(found)
