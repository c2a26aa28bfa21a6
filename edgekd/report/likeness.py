"""Pictures of what the student kept: confidence against accuracy, layers beside layers, corruptions."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from edgekd.kept import Calibration, Contrasted, Endured, Resemblance, Withstood
from edgekd.report.paper import ACCENT, INK, PAPER, SOFT, WIDTH, sheet
from edgekd.results import Interval, Report

LONGEST = 22


def pictures(report: Report) -> dict[str, Figure | None]:
    """Each picture by name; None where there is nothing to draw."""
    kept = report.kept
    if kept is None:
        return {}
    return {
        "reliability": reliability(kept.contrasted),
        "resemblance": resemblance(kept.resemblance) if kept.resemblance else None,
        "corruptions": corruptions(kept.endured) if kept.endured else None,
    }


def reliability(told: Contrasted) -> Figure | None:
    """Accuracy of samples by confidence: below the line a network is too sure."""
    if told.teacher is None or told.student is None:
        return None
    figure, axes = sheet()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
    _curve(axes, told.teacher, INK, "s", "teacher")
    _curve(axes, told.student, ACCENT, "o", "student")
    low = min(one.confidence for side in (told.teacher, told.student) for one in side.bins)
    axes.set_xlim(max(0.0, low - 0.06), 1.02)
    axes.set_ylim(-0.02, 1.04)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_percent))
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    legend = axes.legend(frameon=False, loc="upper left", handlelength=1.4)
    for line, words in zip(legend.legend_handles, legend.get_texts(), strict=True):
        words.set_color(line.get_color() if line is not None and hasattr(line, "get_color") else INK)
    return figure


def _percent(value: float, _: object) -> str:
    return f"{100 * value:.0f} %"


def _curve(axes: Axes, told: Calibration, colour: str, marker: str, name: str) -> None:
    """A network's bins; the more samples, the larger the mark."""
    total = sum(one.count for one in told.bins)
    places = [(one.confidence, one.accuracy) for one in told.bins]
    axes.plot(*zip(*places, strict=True), color=colour, linewidth=1.2, alpha=0.6)
    for one in told.bins:
        size = 3 + 7 * (one.count / total) ** 0.5
        axes.plot(one.confidence, one.accuracy, marker, color=colour, markersize=size, markeredgewidth=0, alpha=0.85)
    axes.plot([], [], marker, color=colour, markersize=5, label=f"{name}, ECE {100 * told.error.value:.1f} %")


def resemblance(told: Resemblance) -> Figure:
    """A field for each pair of layers, the fuller the more alike; the number is of the most alike in its row."""
    high, wide = len(told.student), len(told.teacher)
    figure, axes = sheet(height=1.25 + 0.2 * high)
    axes.grid(visible=False)
    for i, row in enumerate(told.values):
        best = max(range(wide), key=lambda j: row[j])
        for j, value in enumerate(row):
            full = max(0.02, value**2)  # most layers of two good networks are rather alike
            axes.add_patch(Rectangle((j, i), 0.94, 0.9, facecolor=ACCENT, alpha=full, linewidth=0))
            if j == best:
                colour = PAPER if full > 0.5 else INK
                axes.annotate(f"{value:.2f}", (j + 0.47, i + 0.44), ha="center", va="center", color=colour, fontsize=7)
    axes.set_xlim(0, wide)
    axes.set_ylim(0, high)
    axes.set_yticks([i + 0.45 for i in range(high)], [_short(name) for name in told.student])
    axes.set_xticks([j + 0.47 for j in range(wide)], [_short(name) for name in told.teacher], rotation=55, ha="right")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("teacher's layers")
    axes.set_ylabel("student's layers")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[-LONGEST + 1 :]}"


def corruptions(told: Endured) -> Figure | None:
    """Accuracy of each network by severity, a field for each corruption; severity 0 is the sample as it is."""
    names = list(dict.fromkeys(row.corruption for row in told.rows if row.severity))
    if not names:
        return None
    figure = Figure(figsize=(WIDTH, 2.3), layout="constrained")
    figure.patch.set_alpha(0)
    fields = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(fields, names, strict=True):
        axes.patch.set_alpha(0)
        rows = [told.rows[0], *(row for row in told.rows if row.corruption == name and row.severity)]
        _lines(axes, rows)
        axes.set_title(name, color=SOFT, fontsize=8.5)
        axes.set_xticks([row.severity for row in rows])
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    fields[0].set_ylabel("accuracy")
    figure.supxlabel("severity", color=SOFT, fontsize=8.5)
    return figure


def _lines(axes: Axes, rows: Sequence[Withstood]) -> None:
    """Teacher, control and student, with the student's interval."""
    steps = [row.severity for row in rows]
    axes.plot(steps, [row.teacher.value for row in rows], "s-", color=INK, markersize=3.5, linewidth=1.2)
    alone: list[Interval] = [row.control for row in rows if row.control]
    if len(alone) == len(rows):
        axes.plot(steps, [one.value for one in alone], "^-", color=SOFT, markersize=3.5, linewidth=1.0)
    axes.fill_between(
        steps,
        [row.student.low for row in rows],
        [row.student.high for row in rows],
        color=ACCENT,
        alpha=0.15,
        linewidth=0,
    )
    axes.plot(steps, [row.student.value for row in rows], "o-", color=ACCENT, markersize=4, linewidth=1.8)
