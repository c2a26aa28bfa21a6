"""What the pages of a report show, section by section, as cells of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from edgekd import units
from edgekd.gauge import ACCURACY, Gauge
from edgekd.report import text, timed
from edgekd.report.text import Cell
from edgekd.results import DeviceFacts, Replayed, Report, Row, Trial

STATUS = {"fits": "Keeps its budget", "missed": "Misses its budget", "inconclusive": "Not proven"}


@dataclass(frozen=True)
class Table:
    """A header, rows of cells, the rows that stand out, and the columns that hold words, not numbers (by number)."""

    header: tuple[str, ...]
    body: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset({0})


def main(report: Report) -> Table:
    """The table that answers the question; what ships stands out."""
    header, body = text.cells(report)
    if header[0].main:  # several targets: each row's name is followed by its target
        header = header[1:]
        body = tuple((Cell(line[1].main, line[0].main), *line[2:]) for line in body)
    return Table(tuple(cell.main for cell in header), body, _ships(text.summary(report)))


def markdown(table: Table) -> str:
    """A table for report.md; what stands out is bold."""
    lines = [table.header, tuple("---" for _ in table.header)]
    for i, row in enumerate(table.body):
        cells = tuple(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append(tuple(f"**{cell}**" if cell else "" for cell in cells) if i in table.strong else cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def accuracies(rows: Sequence[Row]) -> Table:
    """The metric of every file, drop and agreement against the teacher, and parity with torch where it was judged."""
    name = next((row.score.gauge.name for row in rows if row.score), ACCURACY.name)
    header = ("", name, "drop", "agrees with teacher", "agrees with torch", "fits the budget")
    several = len(text.targets(rows)) > 1
    return Table(header, tuple((_name(row, several), *_accuracies(row)) for row in rows), _ships(rows))


def _name(row: Row, several: bool) -> Cell:
    return Cell(text.label(row), row.target if several else "")


def _accuracies(row: Row) -> tuple[Cell, ...]:
    score = row.score
    agreement = Cell(text.NONE) if score is None or score.agreement is None else Cell(text.share(score.agreement))
    parity = Cell(text.NONE)
    if score is not None and score.parity is not None:
        agreed = "yes" if score.parity.passed else "no"
        agreed = agreed if score.parity.agreement is None else text.share(score.parity.agreement)
        parity = Cell(agreed, f"relative error {score.parity.relative_error:.1g}")
    drop = text.points(score.drop, score.gauge) if score is not None and row.role != "teacher" else Cell(text.NONE)
    return text.accuracy(score), drop, agreement, parity, text.budget(row)


def elsewhere(report: Report) -> Table:
    """What the run's files did on other devices since; every number there was measured there."""
    header = ("", "p50", "p90", "p99", "golden vectors", "on test samples", "since")
    body = []
    for one in report.elsewhere:
        found, latency = one.measurement, one.measurement.latency
        facts = found.device
        where = f"{facts.system}, {latency.threads} thread(s)" if facts and latency else facts.system if facts else ""
        numbers = [text.seconds(found, quantile) for quantile in ("p50", "p90", "p99")]
        by = f" ({one.app} app)" if one.app else ""
        name = Cell(f"{one.target} on {facts.name if facts else 'a device'}{by}", where)
        golden, tests = _replayed(one.replayed)
        if one.failed:
            golden = Cell("self-test FAILED", "; ".join(one.failed))
        body.append((name, *numbers, golden, tests, Cell(one.created[:10])))
    return Table(header, tuple(body), words=frozenset({0, 4}))


def _replayed(found: Replayed | None) -> tuple[Cell, Cell]:
    """Whether golden vectors were those that were recorded, and the accuracy there beside that of the run."""
    if found is None:
        return Cell(text.NONE), Cell(text.NONE)
    golden = Cell("as recorded" if found.passed else "NOT as recorded", f"{found.difference:.2g} off at most")
    if found.accuracy is None or found.before is None:
        return golden, Cell(text.NONE, found.why)
    beside = f"{text.share(found.before)} in the run, of the same {found.samples}"
    return golden, Cell(text.share(found.accuracy.value), beside)


def heads(report: Report) -> Table | None:
    """The metric of each of several heads, of the rows that matter, and what the teacher added; None for one head."""
    rows = [row for row in text.summary(report) if row.score and row.score.heads]
    if not rows or rows[0].score is None:
        return None
    several = len(text.targets(rows)) > 1
    body = [
        (_name(row, several), *(text.of_head(one, row.score.gauge) for one in row.score.heads))
        for row in rows
        if row.score
    ]
    if report.gain and report.gain.heads:
        body.append((Cell("what the teacher added"), *(text.points(gain) for gain in report.gain.heads.values())))
    return Table(("", *(one.name for one in rows[0].score.heads)), tuple(body), _ships(rows))


def latencies(rows: Sequence[Row]) -> Table:
    """Every number of every file's latency, with how it was taken."""
    header = ("", "p50", "p90", "p90 at most", "p99", "quiet", "floor", "first", "load", "memory", "how")
    several = len(text.targets(rows)) > 1
    return Table(header, tuple((_name(row, several), *_latencies(row)) for row in rows), _ships(rows))


def _latencies(row: Row) -> tuple[Cell, ...]:
    measurement = row.measurement
    memory = Cell(text.memory(measurement).main)
    if measurement.latency is None:
        return (*(Cell(text.NONE) for _ in range(8)), memory, Cell("not measured", measurement.why))
    latency = measurement.latency
    numbers = (latency.p50, latency.p90, latency.bound, latency.p99, latency.quiet)
    floor = Cell(text.NONE if latency.noise is None else f"{100 * latency.floor:.2g} %")
    once = (latency.first, latency.load)
    how = timed.sessions(latency) if latency.stable else f"{timed.sessions(latency)}, unstable"
    how += f": {latency.why}" if latency.why else ""
    return (
        *(Cell(units.show_seconds(number)) for number in numbers),
        floor,
        *(Cell(units.show_seconds(number)) for number in once),
        memory,
        Cell(measurement.basis, how),
    )


def protocol(rows: Sequence[Row]) -> str:
    """How latencies were taken: threads, processes and warm-up."""
    found = [row.measurement.latency for row in rows if row.measurement.latency]
    if not found:
        return ""
    threads = " or ".join(f"{n} thread{'' if n == 1 else 's'}" for n in sorted({one.threads for one in found}))
    processes, warmup = min(len(one.sessions) for one in found), min(one.warmup_runs for one in found)
    alone = f"{threads}, one sample at a time, in {processes} fresh processes or more"
    return f"{alone}, after {warmup} runs or more to warm up"


def _ships(rows: Sequence[Row]) -> frozenset[int]:
    return frozenset(i for i, row in enumerate(rows) if row.ships)


def seeds(report: Report) -> Table | None:
    """The metric of each seed on the test part, with and without the teacher."""
    if report.gain is None:
        return None
    gauge = report.gauge
    pairs = zip(report.gain.distilled, report.gain.control, strict=True)
    body: list[tuple[Cell, ...]] = [
        (
            Cell(f"seed {report.plan.seed + i}"),
            Cell(gauge.show(one)),
            Cell(gauge.show(two)),
            Cell(gauge.show_gap(one - two)),
        )
        for i, (one, two) in enumerate(pairs)
    ]
    if report.gain.seeds > 1:
        both = (report.gain.distilled, report.gain.control)
        better = text.points(report.gain.difference, gauge)
        better = Cell(better.main, f"{better.note} better") if gauge.lower else better
        body.append((Cell("mean ± standard deviation"), *(_spread(side, gauge) for side in both), better))
    return Table(("", "distilled", "without teacher", "difference"), tuple(body))


def _spread(values: Sequence[float], gauge: Gauge) -> Cell:
    """Mean and standard deviation of several seeds' values."""
    spread = f"{100 * stdev(values):.1f} pp" if gauge.share else gauge.show(stdev(values))
    return Cell(f"{gauge.show(mean(values))} ± {spread}")


def trials(found: Sequence[Trial], gauge: Gauge = ACCURACY) -> Table:
    """Every short training of the race, judged on the validation part; the best of each kind stands out."""
    longest = max((trial.epochs for trial in found), default=0)
    best = {
        kind: max(
            (gauge.good(t.validation_accuracy) for t in found if (t.kind, t.epochs) == (kind, longest)), default=None
        )
        for kind in ("distilled", "control")
    }
    header = ("", "settings", "epochs", f"validation {gauge.name}", "against no teacher", "training took")
    body = tuple(
        (
            Cell(trial.method or "without teacher"),
            Cell(", ".join(f"{n.replace('_', ' ')} {text.show_setting(v)}" for n, v in trial.settings.items())),
            Cell(f"{trial.epochs}" if trial.epochs else text.NONE),
            Cell("not trained", trial.why)
            if trial.validation_accuracy is None
            else Cell(text.quality(trial.validation_accuracy, gauge)),
            text.points(trial.against_control, gauge),
            Cell(units.show_seconds(trial.seconds)),
        )
        for trial in found
    )
    strong = frozenset(
        i for i, t in enumerate(found) if t.epochs == longest and gauge.good(t.validation_accuracy) == best[t.kind]
    )
    return Table(header, body, strong, frozenset({0, 1}))


def methods(report: Report) -> tuple[str, ...]:
    """What each method of the race did, in a sentence: the longest trial of its best setting, on validation."""
    told = []
    for method in dict.fromkeys(trial.method for trial in report.trials if trial.kind == "distilled"):
        of = [trial for trial in report.trials if trial.method == method]
        failed = [trial for trial in of if trial.validation_accuracy is None]
        able = [trial for trial in of if trial.validation_accuracy is not None]
        if not able:
            told.append(f"{method} could not be tried: {failed[0].why}")
            continue
        best = max(able, key=lambda trial: (trial.epochs, report.gauge.good(trial.validation_accuracy)))
        gain = best.against_control
        if gain is None:
            continue
        verdict = "helped" if gain.low > 0 else "made it worse" if gain.high < 0 else "made no difference that shows"
        told.append(f"{method} {verdict}: {text.points(gain, report.gauge)} after {best.epochs} epochs")
    return tuple(told)


def lessons(report: Report) -> Table:
    """Whole trainings on the scheme's way to the student; what ships stands out."""
    body = tuple(
        (
            Cell(f"{lesson.what} {i + 1}" if lesson.params is None else lesson.what),
            Cell(text.NONE if lesson.params is None else units.show_count(lesson.params)),
            Cell(", ".join(report.gauge.show(value) for value in lesson.validation)),
            Cell(units.show_seconds(lesson.seconds)),
        )
        for i, lesson in enumerate(report.lessons)
    )
    strong = frozenset(i for i, lesson in enumerate(report.lessons) if lesson.ships)
    return Table(("", "parameters", f"validation {report.gauge.name}", "training took"), body, strong)


def _told(loss: float, gauge: Gauge) -> str:
    return f"{100 * loss:.1f} pp" if gauge.share else gauge.show_lost(loss)


def rungs(report: Report) -> Table:
    """Every attempt to win back what a quantized file lost, in the order of trying; what was kept stands out."""
    several = len({rung.target for rung in report.rungs}) > 1
    header = ("", "loss against float32", "drop", "p90", "file", "took", "result")
    body = tuple(
        (
            Cell(rung.name, f"{rung.target} {rung.precision}" if several else rung.precision),
            Cell(text.NONE if rung.loss is None else _told(rung.loss, report.gauge)),
            text.points(rung.drop, report.gauge),
            Cell(text.NONE if rung.latency is None else units.show_seconds(rung.latency)),
            Cell(text.NONE if rung.size is None else units.show_size(rung.size)),
            Cell(units.show_seconds(rung.seconds)),
            Cell("keeps accuracy and latency" if rung.kept else rung.why),
        )
        for rung in report.rungs
    )
    return Table(header, body, frozenset(i for i, r in enumerate(report.rungs) if r.kept), frozenset({0, 6}))


def facts(device: DeviceFacts) -> tuple[tuple[str, str], ...]:
    """What a device says of itself."""
    runtimes = ", ".join(f"{name} {version}" for name, version in sorted(device.runtimes.items()))
    found = (
        ("device", text.device(device)),
        ("model", device.model),
        ("system", device.system),
        ("processor", f"{device.processor}, {device.cores} cores"),
        ("memory", units.show_size(device.memory)),
        ("Python", device.python),
        ("runtimes", runtimes),
        ("governor", device.governor or "not known"),
        ("temperature", "not known" if device.temperature is None else f"{device.temperature:.0f} °C"),
    )
    return tuple((name, value) for name, value in found if value)
