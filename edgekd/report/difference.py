"""A file beside torch, layer by layer: as lines for a prompt, and as one page that needs no network."""

import math
from collections import Counter
from pathlib import Path

import jinja2

from edgekd import files
from edgekd.report import text
from edgekd.report.drawing import draw
from edgekd.report.text import Cell
from edgekd.report.view import Table
from edgekd.results import Diffed, Layer

TEMPLATES = Path(__file__).parent / "templates"
HEADER = ("layer", "ratio", "lost here", "largest difference", "torch's largest", "values")


def verdict(diffed: Diffed) -> str:
    """In one sentence: whether a layer diverges, and where that begins."""
    if diffed.basis == "not measured":
        return f"Nothing was compared: {diffed.why}"
    limit = f"{diffed.threshold:.0f} dB"
    start = first(diffed)
    if start is None:
        lowest = min(diffed.layers, key=lambda layer: layer.snr, default=None)
        told = f"; the lowest is {lowest.name} with {decibels(lowest.snr)}" if lowest else ""
        return f"No layer diverges: all {len(diffed.layers)} that can be seen are above {limit}{told}"
    if start.snr >= diffed.threshold:
        below = next(layer for layer in diffed.layers if layer.snr < diffed.threshold)
        return (
            f"Noise adds up until {below.name} has {decibels(below.snr)} and less than {limit}; most of it comes from "
            f"{start.name}, which loses {start.lost:.1f} dB"
        )
    return f"First divergent layer: {start.name} has {decibels(start.snr)} where {limit} is the least"


def first(diffed: Diffed) -> Layer | None:
    """The first divergent layer."""
    return next((layer for layer in diffed.layers if layer.node == diffed.first), None)


def decibels(value: float) -> str:
    """A ratio in dB, with words for its ends."""
    if math.isinf(value):
        return "no difference" if value > 0 else "nothing right"
    return f"{value:.1f} dB".replace("-", "−")


def basis(diffed: Diffed) -> str:
    """By what the file's values are known."""
    samples = f"{diffed.samples} golden samples"
    return f"measured on {samples}" if diffed.basis == "measured" else f"{diffed.basis} on {samples}: {diffed.why}"


def hidden(diffed: Diffed) -> str:
    """How many layers nothing shows, and why."""
    if not diffed.hidden:
        return "no layer is hidden"
    reasons = Counter(_short(one.why) for one in diffed.hidden)
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    whole = len(diffed.hidden) + len(diffed.layers)
    return f"no tensor shows {len(diffed.hidden)} of {whole} layers: {told}"


def _short(why: str) -> str:
    """The kind of a reason, without the names in it."""
    for start, short in (
        ("it has no tensor of its own", "fused into the next"),
        ("the converter folded it", "folded by the converter"),
        ("the runtime hides it", "hidden by the runtime"),
        ("its tensor has the shape", "of another shape"),
    ):
        if why.startswith(start):
            return short
    return "without a tensor"


def worst(diffed: Diffed) -> Table:
    """The layers that lost most."""
    known = {layer.node: layer for layer in diffed.layers}
    return Table(HEADER[:-1], tuple(_cells(known[node])[:-1] for node in diffed.worst), words=frozenset({0}))


def layers(diffed: Diffed) -> Table:
    """Every layer in the order of the program; those below the threshold stand out."""
    strong = frozenset(i for i, layer in enumerate(diffed.layers) if layer.snr < diffed.threshold)
    return Table(HEADER, tuple(_cells(layer) for layer in diffed.layers), strong, frozenset({0}))


def _cells(layer: Layer) -> tuple[Cell, ...]:
    notes = [f"{100 * layer.clipped:.2g} % clipped"] if layer.clipped else []
    notes += [f"{100 * layer.not_finite:.2g} % not finite"] if layer.not_finite else []
    notes += [f"largest {layer.outliers:.0f} times the bulk"] if layer.outliers >= 4 else []
    notes += [f"channels {layer.channels:.0f} times apart"] if layer.channels and layer.channels >= 4 else []
    return (
        Cell(layer.name, f"{layer.operator}, {layer.kind}"),
        Cell(decibels(layer.snr)),
        Cell(f"{layer.lost:.1f} dB" if layer.lost >= 0.05 else text.NONE),
        Cell("infinite" if math.isinf(layer.difference) else f"{layer.difference:.3g}"),
        Cell(f"{layer.scale:.3g}"),
        Cell(" × ".join(map(str, layer.shape)) or "1", ", ".join(notes)),
    )


def write(diffed: Diffed, title: str, facts: tuple[tuple[str, str], ...], values: Path | None, path: Path) -> None:
    """Write the page; `values` is the .npz of the layers' values, and `facts` what was compared."""
    drawn, missing = draw("edgekd.report.layers", diffed.model_dump_json(), str(values)) if values else ({}, "")
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = pages.get_template("difference.html.jinja").render(
        diffed=diffed,
        title=title,
        facts=(*facts, ("Compared", basis(diffed))),
        verdict=verdict(diffed),
        hidden=hidden(diffed),
        worst=worst(diffed),
        layers=layers(diffed),
        decibels=decibels,
        pictures=drawn,
        missing=missing,
    )
    files.write(path, page)
