"""What was measured again as JUnit XML, which CI servers show: a suite for each board, a case for each bundle."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from edgekd import files
from edgekd.catalog import shown
from edgekd.certificate import told
from edgekd.commands.remeasure import Again, Served
from edgekd.errors import EdgekdError, Problem, UsageError

# What a board says may hold characters that XML does not know.
UNSPEAKABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(served: Sequence[Served], path: Path) -> None:
    """Write the file, whole or not at all: broken is a failure, inconclusive an error."""
    suites = ElementTree.Element("testsuites", name="edgekd verify")
    for one in served:
        verdicts = [again.verdict for again in one.tried]
        counts = {"failures": verdicts.count("broken"), "errors": verdicts.count("inconclusive")}
        attributes = {"name": one.board, "tests": str(len(verdicts))} | {k: str(v) for k, v in counts.items()}
        suite = ElementTree.SubElement(suites, "testsuite", attributes)
        for again in one.tried:
            _case(suite, again)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)
    try:
        files.write(path, UNSPEAKABLE.sub("?", text) + "\n")
    except OSError as error:
        raise EdgekdError(f"{path} cannot be written: {error.strerror or error}") from error


def writable(path: Path) -> None:
    """Raise UsageError, before anything is measured, where the file cannot be written."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            Problem(f"--junit {shown(path)}", "cannot be written", "Name a file in a folder that is there")
        )


def _case(suite: ElementTree.Element, again: Again) -> None:
    latency = again.measurement.latency
    seconds = f"{latency.seconds:.3f}" if latency else "0"
    case = ElementTree.SubElement(suite, "testcase", classname=again.board, name=again.bundle, time=seconds)
    lines = [*map(told, again.terms), *again.notes]
    if again.verdict == "holds":
        ElementTree.SubElement(case, "system-out").text = "\n".join(lines)
        return
    kind = "failure" if again.verdict == "broken" else "error"
    bad = next((told(term) for term in again.terms if term.verdict == again.verdict), again.measurement.why)
    ElementTree.SubElement(case, kind, message=f"{again.verdict}: {bad}").text = "\n".join(lines)
