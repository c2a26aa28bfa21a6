"""Pictures drawn in a process of their own, so that nothing else waits for matplotlib."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

ROOT = str(Path(__file__).parents[2])
# seconds that drawing may take; the first time on a machine matplotlib lists its fonts
PATIENCE = 120.0
WITHOUT = "Pictures need matplotlib. Run: pip install 'edgekd[report]'"


def draw(module: str, page: str, *more: str) -> tuple[dict[str, Markup], str]:
    """Pictures as SVG by name; else none, and why.

    Runs python -m MODULE PAGE.json FOLDER MORE..., which writes one .svg a picture into FOLDER; `page` is the JSON.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return {}, WITHOUT
    with tempfile.TemporaryDirectory() as work:
        told = Path(work) / "page.json"
        told.write_text(page, encoding="utf-8")
        missing = _run([sys.executable, "-P", "-m", module, str(told), work, *more])
        pictures = {svg.stem: Markup(svg.read_text(encoding="utf-8")) for svg in sorted(Path(work).glob("*.svg"))}
        return ({}, missing) if missing else (pictures, "")


def _run(command: Sequence[str]) -> str:
    """Why nothing was drawn; empty where all is well."""
    path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return f"Pictures were given up after {PATIENCE:.0f} s."
    if not done.returncode:
        return ""
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return f"Pictures could not be drawn: {last}"
