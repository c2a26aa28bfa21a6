"""The one sentence that says what a build has achieved, and does not flatter."""

from collections.abc import Sequence

from edgekd.gauge import ACCURACY, Gauge
from edgekd.report import text
from edgekd.results import Gain, Row, Score


def headline(rows: Sequence[Row], gain: Gain | None) -> str:
    """A x smaller, B x faster, keeps C % of the teacher's accuracy; the teacher added D ± E points.

    Of another metric than accuracy both values are told instead.

    The first target that ships is the one compared; what was not measured is left out or named, never guessed.
    """
    chosen = next((row for row in rows if row.ships), None)
    if chosen is None:
        return _nothing(rows, gain)
    where = f"On {chosen.target}: " if len(text.targets(rows)) > 1 else ""
    if chosen.role == "model":
        return _start(chosen) + _cased(f"{where}{_exported(chosen, rows)}.")
    gauge = chosen.score.gauge if chosen.score else ACCURACY
    sentence = f"{where}{_compared(chosen, _teacher(rows, chosen.target))}; {added(gain, gauge)}."
    return _start(chosen) + _cased(sentence)


def _start(chosen: Row) -> str:
    return f"Budget missed ({'; '.join(chosen.missed)}). " if chosen.fits is False else ""


def _cased(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _exported(chosen: Row, rows: Sequence[Row]) -> str:
    """A model as it is: the precision that ships against the same model's float32 file."""
    whole = next((r for r in rows if (r.role, r.target, r.precision) == ("model", chosen.target, "float32")), None)
    if whole is None or whole is chosen or whole.artifact is None or chosen.artifact is None:
        latency = text.seconds(chosen.measurement, "p90", text.device(chosen.measurement.device))
        return f"{chosen.precision} ships: {text.accuracy(chosen.score).main} {_name(chosen)}, p90 {latency}"
    parts = [_times(whole.artifact.size / chosen.artifact.size, "smaller", "larger", "as large")]
    if chosen.measurement.latency and whole.measurement.latency:
        both = (whole.measurement.latency, chosen.measurement.latency)
        floor = max(latency.noise.p90.margin if latency.noise else 0.0 for latency in both)
        parts.append(_times(both[0].p90 / both[1].p90, "faster", "slower", "as fast", floor))
    if chosen.score and whole.score:
        parts.append(_lost(chosen.score, whole.score))
    return f"{chosen.precision} ships: {', '.join(parts)} than its float32 file"


def _name(row: Row) -> str:
    return row.score.gauge.name if row.score else ACCURACY.name


def _lost(score: Score, whole: Score) -> str:
    """What quantization took: points, or the difference in the metric's unit."""
    gauge, lost = score.gauge, whole.accuracy.value - score.accuracy.value
    if gauge.share:
        return f"{100 * abs(lost):.1f} points {'less' if lost >= 0 else 'more'} {gauge.name}"
    return f"{gauge.show(abs(lost))} {'less' if lost >= 0 else 'more'} {gauge.name}"


def _nothing(rows: Sequence[Row], gain: Gain | None) -> str:
    """What is said where no student ships: the misses of the fastest student that was tried."""
    students = [row for row in rows if row.role in ("student", "control")]
    if not students:
        return "No student was made."
    timed = [row for row in students if row.measurement.latency]
    best = min(
        timed, key=lambda row: row.measurement.latency.p90 if row.measurement.latency else 0.0, default=students[0]
    )
    misses = f": {'; '.join(best.missed)}" if best.missed else ""
    return f"Nothing keeps the budget of {best.target}{misses}; {added(gain)}."


def _teacher(rows: Sequence[Row], target: str) -> Row | None:
    """The teacher's float32 row on the same target."""
    return next((row for row in rows if row.role == "teacher" and row.target == target), None)


def _compared(student: Row, teacher: Row | None) -> str:
    if teacher is None:
        return (
            f"{text.label(student)}: {text.accuracy(student.score)} {_name(student)}, "
            "there is no teacher's row to compare with"
        )
    parts = (_smaller(student, teacher), _faster(student, teacher), _keeps(student, teacher))
    return ", ".join(part for part in parts if part)


def _smaller(student: Row, teacher: Row) -> str:
    if student.artifact and teacher.artifact:
        return _times(teacher.artifact.size / student.artifact.size, "smaller", "larger", "the teacher's size")
    if student.size and teacher.size and student.size.params:
        times = teacher.size.params / student.size.params
        return _times(times, "fewer parameters", "more parameters", "as many parameters as the teacher")
    return ""


def _faster(student: Row, teacher: Row) -> str:
    ours, theirs = student.measurement, teacher.measurement
    if ours.latency is None:
        return f"speed not measured ({ours.why})" if ours.why else "speed not measured"
    cell = text.seconds(ours, "p90", text.device(ours.device))
    alone = f"p90 {cell.main} {cell.note}"
    if theirs.latency is None:
        brief = 0 < len(theirs.why) <= text.LONGEST_REASON
        return f"{alone}, the teacher not timed{f' ({theirs.why})' if brief else ''}"
    if (ours.basis, ours.device) != (theirs.basis, theirs.device):
        return f"{alone}, the teacher timed elsewhere"
    floor = max(latency.noise.p90.margin if latency.noise else 0.0 for latency in (ours.latency, theirs.latency))
    times = _times(theirs.latency.p90 / ours.latency.p90, "faster", "slower", "as fast as the teacher", floor)
    return times if ours.basis == "measured" else f"{times} ({ours.basis})"


def _keeps(student: Row, teacher: Row) -> str:
    if student.score is None:
        return "accuracy not measured"
    if not student.score.gauge.share:
        return _both(student.score, teacher.score)
    if teacher.score is None or teacher.score.accuracy.value <= 0:
        return f"{text.share(student.score.accuracy.value)} {_name(student)}, the teacher's unknown"
    kept = student.score.accuracy.value / teacher.score.accuracy.value
    basis = "" if student.score.basis == "measured" else f" ({student.score.basis})"
    return f"keeps {100 * kept:.1f} % of the teacher's {_name(student)}{basis}"


def _both(student: Score, teacher: Score | None) -> str:
    """RMSE 54.3 mmHg, the teacher's 52.1 mmHg"""
    gauge, basis = student.gauge, "" if student.basis == "measured" else f" ({student.basis})"
    theirs = "unknown" if teacher is None else gauge.show(teacher.accuracy.value)
    return f"{gauge.name} {gauge.show(student.accuracy.value)}, the teacher's {theirs}{basis}"


def _times(ratio: float, more: str, less: str, same: str, noise: float = 0.0) -> str:
    """12.3 -> "12× smaller"; 0.5 -> "2.0× larger"; near one, or within the noise, neither."""
    if 0.95 < ratio < 1.05 or max(ratio, 1 / ratio) <= 1 + noise:
        return same
    factor, word = (ratio, more) if ratio > 1 else (1 / ratio, less)
    return f"{factor:.0f}× {word}" if factor >= 10 else f"{factor:.1f}× {word}"


def added(gain: Gain | None, gauge: Gauge = ACCURACY) -> str:
    """What the teacher added to the student's accuracy, in points with the half-width of its 95 % interval."""
    if gain is None:
        return "what the teacher added was not measured"
    if not gauge.share:
        return _helped(gain, gauge)
    value, low, high = (100 * x for x in (gain.difference.value, gain.difference.low, gain.difference.high))
    seeds = "one seed" if gain.seeds == 1 else f"{gain.seeds} seeds"
    within, half = low <= 0 <= high, (high - low) / 2
    if value > 0:
        noise = ", within noise" if within else ""
        return f"the teacher added {value:.1f} ± {half:.1f} points{noise} ({seeds})"
    if within:
        return f"the teacher added nothing: {abs(value):.1f} ± {half:.1f} points less, within noise ({seeds})"
    return f"the teacher added nothing: without it the student is {-value:.1f} ± {half:.1f} points better ({seeds})"


def _helped(gain: Gain, gauge: Gauge) -> str:
    """The same of a metric that is no share: an error that is smaller, or an index that is larger, with the teacher."""
    value, low, high = gain.difference.value, gain.difference.low, gain.difference.high
    seeds = "one seed" if gain.seeds == 1 else f"{gain.seeds} seeds"
    told = f"{gauge.bare(abs(value))} ± {gauge.show((high - low) / 2)}"
    noise, word = ", within noise" if low <= 0 <= high else "", "lowered" if gauge.lower else "raised"
    if value > 0:
        return f"the teacher {word} the {gauge.name} by {told}{noise} ({seeds})"
    return f"the teacher added nothing: without it the {gauge.name} is {told} better{noise} ({seeds})"
