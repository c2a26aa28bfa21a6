"""Write a report: report.json for programs, report.md as text, report.html as one page that needs no network."""

import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from edgekd import files, units
from edgekd.report import kept, searched, text, view, where
from edgekd.report.command import command, complete
from edgekd.report.drawing import draw
from edgekd.results import Report

FOLDER = Path(__file__).parent
PAGES = ("report.json", "report.md", "report.html")


def render(report: Report, folder: Path) -> None:
    """Write report.json, report.md and report.html into `folder`; without matplotlib the page says what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "report.json", report.model_dump_json(indent=2) + "\n")
    pictures, missing = draw("edgekd.report.plots", report.model_dump_json())
    files.write(folder / "report.md", _page("report.md.jinja", report, {}, ""))
    files.write(folder / "report.html", _page("report.html.jinja", report, pictures, missing))


def _page(template: str, report: Report, pictures: dict[str, Markup], missing: str) -> str:
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=template.endswith("html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return pages.get_template(template).render(_view(report) | {"pictures": pictures, "missing": missing})


def _view(report: Report) -> dict[str, Any]:
    """What the templates print."""
    judged = [row.score for row in report.rows if row.score]
    return {
        "report": report,
        "text": text,
        "units": units,
        "markdown": view.markdown,
        "device": ", ".join(text.device(device) for device in text.devices(report.rows)),
        "status": view.STATUS[report.status],
        "table": view.main(report),
        "accuracies": view.accuracies(report.rows),
        "heads": view.heads(report),
        "latencies": view.latencies(report.rows),
        "headline": re.sub(r"(?<=\d) (?=\S)|(?<=±) ", "\u00a0", report.headline),  # no line ends within 5 ms
        "protocol": view.protocol(report.rows),
        "chosen": report.chosen[:1].upper() + report.chosen[1:].rstrip("."),
        "seeds": view.seeds(report),
        "trials": view.trials(report.trials, report.gauge),
        "methods": view.methods(report),
        "lessons": view.lessons(report),
        "candidates": searched.candidates(report),
        "front": searched.front(report),
        "predictors": searched.predictors(report.predictors),
        "rungs": view.rungs(report),
        "places": where.shares(report.rows),
        "operators": where.details(report),
        "elsewhere": view.elsewhere(report),
        "devices": [view.facts(device) for device in text.devices(report.rows)],
        "notes": (*text.doubts(report), *text.remarks(report)),
        "kept": kept.shown(report.kept, report.gauge, report.rows) if report.kept else None,
        "samples": judged[0] if judged else None,
        "command": command(report.plan),
        "complete": complete(report.plan),
    }
