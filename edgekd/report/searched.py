"""What a report shows of the search: students that were priced, the front, and how well prices were predicted."""

from collections.abc import Sequence

from edgekd import units
from edgekd.report import text
from edgekd.report.text import Cell
from edgekd.report.view import Table
from edgekd.results import Candidate, Predictor, Report

_COSTS = {"latency": "quiet latency", "memory": "peak memory", "size": "file size"}


def candidates(report: Report) -> Table:
    """Students that were priced before any was trained; the chosen one stands out."""
    names = _names(report)
    header = ("student", "parameters", "multiply-adds", *(f"quick p90 at most on {name}" for name in names),
              *(f"{name} file" for name in names), "validation", "fits")  # fmt: skip
    body = tuple(
        (
            *_start(one),
            *_costs(one, names)[: 2 * len(names)],
            _learned(one, report),
            Cell("yes" if one.fits else "no", one.why),
        )
        for one in report.candidates
    )
    return Table(header, body, _chosen(report, report.candidates))


def front(report: Report) -> Table:
    """Students that no other beats in accuracy, latency, file size and memory at once; the chosen one stands out."""
    names, found = _names(report), [one for one in report.candidates if one.front]
    header = ("student", "parameters", "multiply-adds", *(f"quick p90 at most on {name}" for name in names),
              *(f"{name} file" for name in names), *(f"{name} memory" for name in names), "validation")  # fmt: skip
    body = tuple((*_start(one), *_costs(one, names), _learned(one, report)) for one in found)
    return Table(header, body, _chosen(report, found))


def predictors(found: Sequence[Predictor]) -> Table:
    """How well each cost of a student was predicted from the other students."""
    header = ("predicted", "students", "mean error", "largest error", "within 10 %")
    body = tuple(
        (
            Cell(_COSTS[one.cost], f"{one.target} {one.precision}"),
            Cell(str(one.students)),
            Cell(units.show_share(one.mean_error)),
            Cell(units.show_share(one.worst_error)),
            Cell(f"{round(one.within * one.students)} of {one.students}"),
        )
        for one in found
    )
    return Table(header, body)


def _names(report: Report) -> tuple[str, ...]:
    return text.targets(report.rows) or tuple(target.name for target in report.plan.targets)


def _chosen(report: Report, shown: Sequence[Candidate]) -> frozenset[int]:
    chosen = report.student if report.rows else None
    return frozenset(i for i, one in enumerate(shown) if one.architecture == chosen)


def _start(one: Candidate) -> tuple[Cell, ...]:
    image, written = one.architecture.image, one.architecture.family.settings
    settings = [f"{name} {value}" for name, value in written.items() if value and not isinstance(value, dict | list)]
    settings += [f"{image.size} pixels"] if image else []
    return (
        Cell(one.architecture.family.name, ", ".join(settings)),
        Cell(units.show_count(one.size.params)),
        Cell(units.show_count(one.size.macs)),
    )


def _costs(one: Candidate, names: Sequence[str]) -> tuple[Cell, ...]:
    """Latencies, then file sizes, then memories, each target by target."""
    return (
        *(_latency(one, n) for n in names),
        *(Cell(units.show_size(one.file_size[n]) if n in one.file_size else text.NONE) for n in names),
        *(Cell(units.show_size(one.memory[n]) if n in one.memory else text.NONE) for n in names),
    )


def _latency(one: Candidate, name: str) -> Cell:
    """What it takes on a target at most, and whether that settled when it was timed."""
    if name not in one.latency:
        return Cell(text.NONE)
    latency = one.latency[name]
    restless = any(cost.unstable for cost in one.costs if (cost.target, cost.p90_high) == (name, latency))
    return Cell(units.show_seconds(latency), "unstable, timed twice" if restless else "")


def _learned(one: Candidate, report: Report) -> Cell:
    """The metric on the validation split, after how many epochs."""
    if one.validation_accuracy is None:
        return Cell(text.NONE)
    epochs = f"{one.epochs} epoch{'' if one.epochs == 1 else 's'}" if one.epochs else ""
    return Cell(text.quality(one.validation_accuracy, report.gauge), epochs)
