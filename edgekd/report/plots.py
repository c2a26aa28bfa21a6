"""The pictures of a report as SVG: python -m edgekd.report.plots REPORT.json FOLDER

Runs in a process of its own, so that nothing else waits for matplotlib. Colours are written as names of the page's own
(`var(--ink)`), so that one picture serves light and dark. The same report gives the same bytes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from edgekd.report import text
from edgekd.report.fronts import front
from edgekd.report.likeness import pictures
from edgekd.report.paper import ACCENT, INK, RULE, SOFT, STYLE, limits, log_seconds, scale, sheet, svg
from edgekd.report.placing import Box, place, together
from edgekd.results import Report, Row
from edgekd.spec import Target

MOST_CLASSES = 20
# role -> colour, marker, size
MARKS = {
    "teacher": (INK, "s", 6.0),
    "teacher-int8": (INK, "D", 5.0),
    "control": (SOFT, "^", 6.5),
    "student": (ACCENT, "o", 6.0),
    "model": (ACCENT, "o", 6.0),
}


def tradeoff(report: Report, target: Target) -> Figure | None:
    """Accuracy against latency (log): candidates grey, teacher, control, student; the budget as a line.

    None where fewer than two files of the target were timed and judged.
    """
    rows = [r for r in report.rows if r.target == target.name and r.score and r.measurement.latency]
    if len(rows) < 2:
        return None
    figure, axes = sheet()
    places = [(c.latency[target.name], c.validation_accuracy) for c in report.candidates if target.name in c.latency]
    judged = [(x, y) for x, y in places if y is not None]
    if judged:
        axes.plot(*zip(*judged, strict=True), "o", color=SOFT, alpha=0.45, markersize=4, linestyle="none")
    for x, y in places:
        if y is None:
            axes.axvline(x, ymax=0.035, color=SOFT, alpha=0.6, linewidth=1)
    for row in rows:
        _mark(axes, row)
    axes.set_xscale("log")
    limits(axes, target)
    log_seconds(axes)
    scale(axes, report.gauge)
    axes.set_xlabel("p90 latency of one inference (log scale)")
    axes.set_ylabel(report.gauge.name)
    axes.margins(x=0.12, y=0.16)
    _name_marks(figure, axes, rows, target, judged)
    return figure


def _mark(axes: Axes, row: Row) -> None:
    """One file: its place and the interval of its accuracy."""
    assert row.score is not None and row.measurement.latency is not None
    colour, marker, size = MARKS[row.role]
    marker, size = ("*", 13.0) if row.ships else (marker, size)
    x, y = row.measurement.latency.p90, row.score.accuracy
    axes.plot([x, x], [y.low, y.high], color=colour, linewidth=1, alpha=0.6)
    axes.plot(x, y.value, marker, color=colour, markersize=size, markeredgewidth=0, zorder=3)


def _name_marks(
    figure: Figure, axes: Axes, rows: Sequence[Row], target: Target, dots: Sequence[tuple[float, float]]
) -> None:
    """Names beside the marks, where they cover neither marks nor each other nor the budget's line.

    Of files of one network at one place the first is named, or the one that ships, with the number of the others.
    """
    figure.draw_without_rendering()
    points = 72 / figure.dpi
    frame = axes.get_window_extent()
    every: dict[tuple[float, float], Row] = {}
    for row in rows:
        assert row.score is not None and row.measurement.latency is not None
        x, y = axes.transData.transform((row.measurement.latency.p90, row.score.accuracy.value)) * points
        every[float(x), float(y)] = row
    groups = together([(at, row.role) for at, row in every.items()])
    found = [[(at, every[at]) for at in group] for group in groups]
    chosen = [next((one for one in group if one[1].ships), group[0]) for group in found]
    marks, rows = [at for at, _ in chosen], [row for _, row in chosen]
    others = [f" and {len(group) - 1} more" if len(group) > 1 else "" for group in found]
    names = [_short_label(row) + more for row, more in zip(rows, others, strict=True)]
    inside = Box(frame.x0 * points, frame.y0 * points, frame.x1 * points, frame.y1 * points)
    limit = target.budget.max_latency
    line = [] if limit is None else [float(axes.transData.transform((limit, 0.5))[0]) * points]
    taken = [Box(x - 1, inside.bottom, x + 1, inside.top) for x in line]
    taken += [Box(x - 3, y - 3, x + 3, y + 3) for x, y in (axes.transData.transform(dot) * points for dot in dots)]
    for row, name, box in zip(rows, names, place(marks, names, inside, taken, [*every]), strict=True):
        axes.annotate(
            name,
            (box.left, box.bottom),
            xycoords="figure points",
            va="bottom",
            fontweight="bold" if row.ships else "normal",
            color=MARKS[row.role][0],
        )


def _short_label(row: Row) -> str:
    """A row's name without what colour and star say already."""
    return text.label(row).replace(" (ships)", "").replace("student ", "")


def classes(report: Report) -> Figure | None:
    """Accuracy of each class: student against teacher, the largest loss first; None where either is unknown."""
    student = next((r for r in report.rows if r.ships), None) or next(
        (r for r in report.rows if r.role == "student" and r.score), None
    )
    teacher = next((r for r in report.rows if student and r.role == "teacher" and r.target == student.target), None)
    if not (student and student.score and teacher and teacher.score and student.score.per_class):
        return None
    names = student.artifact.signature.classes if student.artifact else ()
    if not len(names) == len(student.score.per_class) == len(teacher.score.per_class):
        return None
    pairs = zip(names, student.score.per_class, teacher.score.per_class, strict=True)
    known = sorted((ours - theirs, name, ours, theirs) for name, ours, theirs in pairs if ours == ours)
    shown = known[:MOST_CLASSES][::-1]
    figure, axes = sheet(height=0.9 + 0.24 * len(shown))
    for i, (_, _, ours, theirs) in enumerate(shown):
        axes.plot([ours, theirs], [i, i], color=RULE, linewidth=2.5, solid_capstyle="round", zorder=1)
    axes.plot([theirs for *_, theirs in shown], range(len(shown)), "s", color=INK, markersize=5, markeredgewidth=0)
    axes.plot([ours for *_, ours, _ in shown], range(len(shown)), "o", color=ACCENT, markersize=6, markeredgewidth=0)
    axes.set_yticks(range(len(shown)), [_short(name) for _, name, *_ in shown])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    axes.set_xlabel("accuracy" if len(shown) == len(known) else f"accuracy ({len(shown)} of {len(known)} classes)")
    return figure


def distribution(report: Report, target: Target) -> Figure | None:
    """Share of inferences that were done by a time, for each timed file: where the curve crosses 90 % is the p90."""
    rows = [r for r in text.summary(report) if r.target == target.name and r.measurement.latency]
    if not rows:
        return None
    figure, axes = sheet()
    for row in rows:
        assert row.measurement.latency is not None
        values = np.concatenate([np.asarray(session) for session in row.measurement.latency.sessions])
        shares = np.linspace(0, 0.999, 300)
        colour = MARKS[row.role][0]
        style = "-" if row.ships or row.role == "teacher" else (0, (3, 1.5))
        axes.plot(
            np.quantile(values, shares), shares, color=colour, linewidth=2.2 if row.ships else 1.3, linestyle=style
        )
    axes.set_xscale("log")
    axes.axhline(0.9, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        "p90", (1, 0.9), xycoords="axes fraction", xytext=(0, -9), textcoords="offset points", ha="right", color=SOFT
    )
    limits(
        axes,
        target.model_copy(
            update={"budget": target.budget.model_copy(update={"min_accuracy": None, "max_error": None})}
        ),
    )
    log_seconds(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    axes.set_ylim(0, 1.0)
    axes.set_xlim(left=axes.get_xlim()[0] / 5)  # room for a name
    _name_curves(axes, rows)
    axes.set_xlabel("latency of one inference (log scale)")
    axes.set_ylabel("inferences done by then")
    return figure


def _name_curves(axes: Axes, rows: Sequence[Row]) -> None:
    """Name each curve beside it, on the side where the next curve is farther, at a height of its own."""
    low, high = (float(np.log(x)) for x in axes.get_xlim())
    ordered = sorted(rows, key=_median)
    middles = [low, *(float(np.log(_median(row))) for row in ordered), high]
    for i, row in enumerate(ordered):
        assert row.measurement.latency is not None
        height = 0.12 + 0.14 * i
        left = middles[i + 1] - middles[i] > middles[i + 2] - middles[i + 1]
        values = np.concatenate([np.asarray(session) for session in row.measurement.latency.sessions])
        axes.annotate(
            _short_label(row),
            (float(np.quantile(values, height)), height),
            xytext=(-6 if left else 6, -3),
            textcoords="offset points",
            ha="right" if left else "left",
            color=MARKS[row.role][0],
            fontweight="bold" if row.ships else "normal",
        )


def _median(row: Row) -> float:
    return row.measurement.latency.p50 if row.measurement.latency else 0.0


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def figures(report: Report) -> dict[str, str]:
    """Every picture of a report that its numbers allow, as SVG by name."""
    matplotlib.rcdefaults()
    with matplotlib.rc_context(STYLE):
        drawn = {"classes": classes(report), **pictures(report)}
        for i, target in enumerate(report.plan.targets):
            drawn[f"tradeoff-{i}"] = tradeoff(report, target)
            drawn[f"distribution-{i}"] = distribution(report, target)
            drawn[f"front-{i}"] = front(report, target)
        return {name: svg(figure, name) for name, figure in drawn.items() if figure is not None}


def main(arguments: Sequence[str]) -> int:
    """Draw the report in the file arguments[0] into the folder arguments[1], one .svg a picture."""
    report = Report.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    for name, page in figures(report).items():
        (Path(arguments[1]) / f"{name}.svg").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
