"""Write a report: report.json for programs, report.md as text, report.html as one page that needs no network."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from edgekd import files, units
from edgekd.report import text, view
from edgekd.report.command import command, complete
from edgekd.results import Report

FOLDER = Path(__file__).parent
# seconds that drawing may take; the first time on a machine matplotlib lists its fonts
PATIENCE = 120.0
PAGES = ("report.json", "report.md", "report.html")
WITHOUT = "Pictures need matplotlib. Run: pip install 'edgekd[report]'"


def render(report: Report, folder: Path) -> None:
    """Write report.json, report.md and report.html into `folder`; without matplotlib the page says what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "report.json", report.model_dump_json(indent=2) + "\n")
    pictures, missing = _pictures(report)
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
        "latencies": view.latencies(report.rows),
        "headline": re.sub(r"(?<=\d) (?=\S)|(?<=±) ", "\u00a0", report.headline),  # no line ends within 5 ms
        "protocol": view.protocol(report.rows),
        "chosen": report.chosen[:1].upper() + report.chosen[1:].rstrip("."),
        "seeds": view.seeds(report),
        "trials": view.trials(report.trials),
        "candidates": view.candidates(report),
        "devices": [view.facts(device) for device in text.devices(report.rows)],
        "notes": (*text.doubts(report), *text.remarks(report)),
        "samples": judged[0] if judged else None,
        "command": command(report.plan),
        "complete": complete(report.plan),
    }


def _pictures(report: Report) -> tuple[dict[str, Markup], str]:
    """Pictures as SVG by name, drawn in a process of their own; else none, and why."""
    if importlib.util.find_spec("matplotlib") is None:
        return {}, WITHOUT
    root = str(FOLDER.parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as work:
        page = Path(work) / "report.json"
        page.write_text(report.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "edgekd.report.plots", str(page), work]
        environment = os.environ | {"PYTHONPATH": path, "MPLBACKEND": "Agg"}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            return {}, f"Pictures were given up after {PATIENCE:.0f} s."
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return {}, f"Pictures could not be drawn: {last}"
        return {svg.stem: Markup(svg.read_text(encoding="utf-8")) for svg in sorted(Path(work).glob("*.svg"))}, ""
