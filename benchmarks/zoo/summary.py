"""The zoo's cells as totals, and as a page with a table of networks and a list of what is not right and why."""

from collections.abc import Sequence
from typing import Any

from benchmarks.zoo.cells import RIGHT, STATES, Cell
from benchmarks.zoo.entries import Entry

HOW = (
    "{models} networks, {formats} formats, float32 and int8: {cells} cells. float32 is right within the gate of every "
    "build (relative error to torch up to 1e-3, on 8 samples); int8 with at least {right:g} dB between what torch's "
    "outputs tell of the sample and the noise. Seconds are those of the converting workers, on a computer that others "
    "used too."
)
MARKS = {
    "right": "right",
    "lossy": "**lossy**",
    "wrong": "**wrong**",
    "unsuited": "*unsuited*",
    "not verified": "*not verified*",
    "failed": "**failed**",
    "not run": "*not run*",
}


def answer(models: Sequence[Entry], cells: Sequence[Cell]) -> dict[str, Any]:
    """What benchmarks keeps of a run: rows of totals, how it was done, every cell, and a page of Markdown."""
    formats = sorted({cell.format for cell in cells})
    how = HOW.format(models=len(models), formats=len(formats), cells=len(cells), right=RIGHT)
    return {
        "rows": rows(cells),
        "how": how,
        "page": page(models, cells),
        "cells": [cell.model_dump(mode="json", exclude_defaults=True) for cell in cells],
    }


def rows(cells: Sequence[Cell]) -> list[dict[str, str]]:
    """Totals of each format and precision, and of all."""
    found = [_row("all", cells)]
    for precision in sorted({cell.precision for cell in cells}):
        for format in sorted({cell.format for cell in cells}):
            own = [cell for cell in cells if (cell.format, cell.precision) == (format, precision)]
            found.append(_row(f"{format} {precision}", own))
    asked = [cell for cell in cells if cell.state != "not run"]
    silent = [cell for cell in asked if cell.state == "right" and not cell.basis]
    unnamed = [cell for cell in asked if not cell.named]
    found.append(_told("not right, and the reason names no operator", str(len(unnamed)), "cells"))
    found.append(_told("passed without a comparison with torch", str(len(silent)), "cells"))
    return found


def _row(what: str, cells: Sequence[Cell]) -> dict[str, str]:
    """How many of those that were asked are right; the others by what became of them."""
    asked = [cell for cell in cells if cell.state not in ("not run", "unsuited")]
    counts = {state: sum(cell.state == state for cell in cells) for state in STATES}
    others = ", ".join(f"{count} {state}" for state, count in counts.items() if count and state != "right")
    right = counts["right"]
    share = f"{right} of {len(asked)}, {100 * right / len(asked):.1f} %" if asked else "0"
    return _told(f"right, {what}", f"{share}{f' ({others})' if others else ''}", "cells")


def _told(what: str, value: str, unit: str) -> dict[str, str]:
    return {"what": what, "value": value, "unit": unit, "basis": "counted"}


def page(models: Sequence[Entry], cells: Sequence[Cell]) -> str:
    """The whole table, then each cell that is not right with its reason."""
    columns = sorted({(cell.precision, cell.format) for cell in cells})
    by_place = {(cell.model, cell.precision, cell.format): cell for cell in cells}
    names = [f"{format} {precision}" for precision, format in columns]
    lines = ["| network | kind | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(columns)]
    for model in models:
        told = [_cell(by_place.get((model.name, *column))) for column in columns]
        lines.append(f"| {model.name} | {model.kind} | " + " | ".join(told) + " |")
    lines += [
        "",
        "In a cell: dB to torch; seconds to convert; kB; share of operators on the wanted kernels, if it was seen; "
        "the converter, where it was not the format's first one.",
    ]
    return "\n".join([*lines, "", *_reasons(cells), *_staying(cells)]) + "\n"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    found = [MARKS[cell.state]]
    if cell.decibels is not None:
        found.append(f"{cell.decibels:.0f} dB")
    if cell.seconds is not None:
        found.append(f"{cell.seconds:.1f} s")
    if cell.size is not None:
        found.append(f"{cell.size / 1000:.0f} kB")
    if cell.delegated is not None:
        found.append(f"{100 * cell.delegated:.0f} %")
    if cell.route:
        found.append(f"by {cell.route}")
    return ", ".join(found)


def _reasons(cells: Sequence[Cell]) -> list[str]:
    """What is not right, and why."""
    others = [cell for cell in cells if cell.state != "right"]
    if not others:
        return ["Every cell is right."]
    lines = ["## What is not right, and why", "", "| network | file | what | why |", "|---|---|---|---|"]
    for cell in others:
        why = cell.why.replace("|", "/").replace("\n", " ")
        lines.append(f"| {cell.model} | {cell.format} {cell.precision} | {cell.state} | {why} |")
    return lines


def _staying(cells: Sequence[Cell]) -> list[str]:
    """What does not run where one wants it, by file."""
    others = [cell for cell in cells if cell.delegated is not None and cell.delegated < 1]
    if not others:
        return []
    lines = ["", "## What is not delegated", "", "| network | file | share | operators |", "|---|---|---|---|"]
    for cell in others:
        assert cell.delegated is not None
        share = f"{100 * (1 - cell.delegated):.0f} %"
        lines.append(f"| {cell.model} | {cell.format} {cell.precision} | {share} | {cell.stays} |")
    return lines
