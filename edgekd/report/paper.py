"""What every picture is drawn on: colours that are names of the page's own, axes, the budget's lines, SVG."""

import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from edgekd import units
from edgekd.gauge import Gauge
from edgekd.spec import Target

matplotlib.use("Agg")

# placeholders that no palette holds -> the page's variables
INK, SOFT, RULE, ACCENT, LIMIT, PAPER = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f", "#101112"
VARIABLES = {INK: "--ink", SOFT: "--soft", RULE: "--rule", ACCENT: "--accent", LIMIT: "--limit", PAPER: "--paper"}
WIDTH, HEIGHT = 4.7, 3.0
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
}


def sheet(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def log_seconds(axes: Axes) -> None:
    """Ticks of a log axis as times with their unit."""
    low, high = axes.get_xlim()
    wide = np.log10(high / low) > 1.7
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: units.show_seconds(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def scale(axes: Axes, gauge: Gauge) -> None:
    """What the metric's axis says: percent of a share, else values in their unit; what is better is above."""
    if gauge.share:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.4g} {gauge.unit}".rstrip()))
    if gauge.lower:
        axes.invert_yaxis()


def limits(axes: Axes, target: Target, quality: bool = True) -> None:
    """The budget's lines: latency upright and, with `quality`, least accuracy (or most error) lying."""
    latency, least = target.budget.max_latency, target.budget.min_accuracy or target.budget.max_error
    if latency is not None:
        axes.axvline(latency, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"budget {units.show_seconds(latency)}",
            (latency, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            color=LIMIT,
        )
    if least is not None and quality:
        axes.axhline(least, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 3)))


def svg(figure: Figure, name: str) -> str:
    """A figure as an inline SVG element; ids carry `name`, so that several stand on one page."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    page = stream.getvalue()
    page = page[page.index("<svg") :]
    page = re.sub(r"<metadata>.*?</metadata>", "", page, flags=re.DOTALL)
    page = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", page)
    page = re.sub(
        r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" \1>', page, count=1
    )
    for colour, variable in VARIABLES.items():
        page = page.replace(colour, f"var({variable})")
    return page
