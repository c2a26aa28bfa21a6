"""The pictures of a comparison as SVG: python -m edgekd.report.layers DIFFED.json FOLDER VALUES.npz

Runs in a process of its own, so that nothing else waits for matplotlib. The same values give the same bytes.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgekd.report.paper import ACCENT, LIMIT, RULE, SOFT, STYLE, svg
from edgekd.results import Diffed, Layer

matplotlib.use("Agg")

Array = NDArray[Any]

WIDE, SMALL = (4.7, 2.2), (2.6, 2.0)
# dots of a layer; more would only make the page large
DOTS = 160
MOST_NAMES = 12


def overview(diffed: Diffed) -> Figure:
    """The ratio of every layer in order, and the least that one may have."""
    figure = _figure(WIDE)
    axes = figure.add_subplot()
    finite = [layer.snr for layer in diffed.layers if math.isfinite(layer.snr)]
    top, low = max([*finite, diffed.threshold]) + 5, min([*finite, 0.0])
    heights = [min(max(layer.snr, low), top) for layer in diffed.layers]
    colours = [LIMIT if layer.snr < diffed.threshold else ACCENT for layer in diffed.layers]
    axes.vlines(range(len(heights)), low, heights, colors=colours, linewidth=1.2)
    axes.scatter(range(len(heights)), heights, c=colours, s=12, linewidths=0, zorder=3)
    axes.axhline(diffed.threshold, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_ylabel("ratio, dB")
    axes.grid(axis="x", visible=False)
    named = range(0, len(heights), -(-len(heights) // MOST_NAMES))
    axes.set_xticks(list(named), [_short(diffed.layers[i].name) for i in named], rotation=35, ha="right")
    axes.patch.set_alpha(0)
    return figure


def layer(one: Layer, threshold: float, ours: Array, theirs: Array) -> Figure:
    """The file's values over torch's; on the line they are equal."""
    figure = _figure(SMALL)
    axes = figure.add_subplot()
    known = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = _few(ours[known]), _few(theirs[known])
    if len(ours):
        ends = [float(ours.min()), float(ours.max())]
        axes.plot(ends, ends, color=SOFT, linewidth=0.8)
    colour = LIMIT if one.snr < threshold else ACCENT
    axes.plot(ours, theirs, ".", color=colour, markersize=3, markeredgewidth=0, alpha=0.7)
    axes.set_xlabel("torch")
    axes.set_ylabel("file")
    axes.locator_params(nbins=4)
    axes.patch.set_alpha(0)
    axes.spines[:].set_color(RULE)
    return figure


def _few(values: Array) -> Array:
    return values if len(values) <= DOTS else values[np.linspace(0, len(values) - 1, DOTS).astype(np.int64)]


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 16 else "…" + name[-15:]


def described(page: str, what: str) -> str:
    """The same picture with words for those who do not see it."""
    words = what.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return page.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)


def figures(diffed: Diffed, values: Mapping[str, Array]) -> dict[str, str]:
    """Every picture as SVG by name."""
    matplotlib.rcdefaults()
    with matplotlib.rc_context(STYLE | {"font.size": 7.5}):
        drawn = {"overview": described(svg(overview(diffed), "overview"), "ratio in dB of every layer")}
        for i, one in enumerate(diffed.layers):
            pair = values[f"torch:{one.node}"], values[f"file:{one.node}"]
            page = svg(layer(one, diffed.threshold, *pair), f"layer-{i}")
            drawn[f"layer-{i}"] = described(page, f"values of {one.name}: the file's over torch's")
        return drawn


def main(arguments: Sequence[str]) -> int:
    """Draw the answer in the file arguments[0] into the folder arguments[1], with the values in arguments[2]."""
    diffed = Diffed.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    with np.load(arguments[2], allow_pickle=False) as values:
        for name, page in figures(diffed, values).items():
            (Path(arguments[1]) / f"{name}.svg").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
