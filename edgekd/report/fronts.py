"""The picture of the students that were trained briefly, those on the Pareto front full."""

from matplotlib.figure import Figure

from edgekd.report.paper import ACCENT, SOFT, limits, log_seconds, scale, sheet
from edgekd.results import Report
from edgekd.spec import Target


def front(report: Report, target: Target) -> Figure | None:
    """Validation accuracy against latency of the students that were trained briefly; None where fewer than three were.

    Those on the front are full and joined, the others hollow; a mark's area grows with the file.
    """
    judged = [(c, c.validation_accuracy) for c in report.candidates if target.name in c.latency]
    told = [(c, accuracy) for c, accuracy in judged if accuracy is not None]
    if len(told) < 3 or not any(c.front for c, _ in told):
        return None
    figure, axes = sheet()
    largest = max(c.file_size[target.name] for c, _ in told)
    edge = sorted((c.latency[target.name], accuracy) for c, accuracy in told if c.front)
    axes.step(*zip(*edge, strict=True), where="post", color=ACCENT, linewidth=1, alpha=0.5)
    for one, accuracy in told:
        area = 15 + 85 * one.file_size[target.name] / largest
        face = ACCENT if one.front else "none"
        place = (one.latency[target.name], accuracy)
        axes.scatter(*place, s=area, facecolors=face, edgecolors=ACCENT if one.front else SOFT, linewidths=1, zorder=3)
    axes.set_xscale("log")
    limits(
        axes,
        target.model_copy(
            update={"budget": target.budget.model_copy(update={"min_accuracy": None, "max_error": None})}
        ),
    )
    log_seconds(axes)
    scale(axes, report.gauge)
    axes.set_xlabel("p90 at most, quick measurement (log scale)")
    axes.set_ylabel(f"{report.gauge.name} on validation")
    axes.margins(x=0.12, y=0.16)
    return figure
