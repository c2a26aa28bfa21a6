"""Write a bundle: everything that an application needs of a model, and everything that proves it."""

import ast
import json
import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from edgekd import files, units
from edgekd.bundle import words
from edgekd.bundle.pages import pages
from edgekd.certificate import NAME as CERTIFICATE
from edgekd.certificate import certify
from edgekd.errors import Problem, UsageError
from edgekd.lock import NAME as LOCK
from edgekd.lock import Lock
from edgekd.report import text
from edgekd.results import GoldenSet, Report, Row
from edgekd.runtimes import digests
from edgekd.workspace import locate

RUNTIMES = Path(digests.__file__).parent
# modules of runtimes/ that run.py imports besides its runtime; what these import comes along
SAMPLE_NEEDS = ("digests", "preprocess", "replay")
PAGES = pages(Path(__file__).parent / "templates")


def write(report: Report, row: Row, golden: GoldenSet, entries: Path, folder: Path, lock: Lock) -> Path:
    """Write the bundle of a row that ships to `folder`, whole or not at all; an older bundle there is replaced.

    `entries` is where the store keeps its files. Raises UsageError where `folder` holds something else than a bundle.
    """
    artifact = row.artifact
    if artifact is None:
        raise UsageError(Problem(str(folder), f"{text.label(row)} has no file, so there is nothing to bundle"))
    refuse_strangers(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        work.chmod(0o755)
        files.copy(locate(entries, artifact.file), work / artifact.file.name)
        files.copy(locate(entries, golden.folder), work / "golden")
        copy_runtime(artifact.format, work / "runtime")
        for name, page in _pages(report, row).items():
            (work / name).write_text(page, encoding="utf-8")
        (work / LOCK).write_text(lock.model_dump_json(indent=1) + "\n", encoding="utf-8")
        certificate = certify(report, row, digests.listing(work))
        (work / CERTIFICATE).write_text(certificate.model_dump_json(indent=1) + "\n", encoding="utf-8")
        digests.record(work)
        replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def refuse_strangers(folder: Path) -> None:
    """A folder that is there already is only replaced if a bundle is what it holds."""
    if folder.exists() and not (folder / digests.NAME).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            Problem(str(folder), "is there already and is not a bundle", "Choose another --out, or move it away")
        )


def replace(work: Path, folder: Path) -> None:
    """Put the finished folder in place; between the two renames there is none, never half of one."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
        folder.replace(old / "bundle")
        work.replace(folder)
        shutil.rmtree(old)
    else:
        work.replace(folder)


def copy_runtime(format: str, folder: Path) -> None:
    """Copy the sources that run a format."""
    folder.mkdir()
    for name, source in runtime_sources(format).items():
        (folder / name).write_text(source, encoding="utf-8")


def runtime_sources(format: str, needs: Iterable[str] = SAMPLE_NEEDS) -> dict[str, str]:
    """Sources that run a format, by file name: the runtime's module, what is needed besides, and what these import."""
    left, found = ["__init__", format, *needs], dict[str, str]()
    while left:
        name = left.pop()
        if f"{name}.py" in found:
            continue
        source = (RUNTIMES / f"{name}.py").read_text(encoding="utf-8")
        found[f"{name}.py"] = source
        left += _siblings(source)
    return found


def _siblings(source: str) -> list[str]:
    """Modules of the same package that a source imports at its top: `from .x import y`, `from . import x`."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found += [node.module] if node.module else [alias.name for alias in node.names]
    return found


def runtime_package(format: str) -> str:
    """The distribution that runs a format, as its runtime module declares it."""
    for node in ast.parse((RUNTIMES / f"{format}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "PACKAGES":
            return str(ast.literal_eval(node.value)[0])
    raise UsageError(Problem(format, "its runtime module declares no PACKAGES"))


def _pages(report: Report, row: Row) -> dict[str, str]:
    """The bundle's text files by name."""
    assert row.artifact is not None
    signature = row.artifact.signature
    view = _view(report, row)
    return {
        "signature.json": json.dumps(signature.model_dump(mode="json"), indent=2) + "\n",
        "labels.txt": "".join(f"{' '.join(name.split())}\n" for name in signature.classes),
        "MODEL_CARD.md": PAGES.get_template("MODEL_CARD.md.jinja").render(view),
        "README.md": PAGES.get_template("README.md.jinja").render(view),
        "run.py": PAGES.get_template("run.py.jinja").render(view),
        "LICENSES": PAGES.get_template("LICENSES.jinja").render(view | {"apache": _licence()}),
    }


def _view(report: Report, row: Row) -> dict[str, Any]:
    """What the templates print."""
    assert row.artifact is not None
    return {
        "report": report,
        "row": row,
        "artifact": row.artifact,
        "signature": row.artifact.signature,
        "image": words.is_image(row.artifact.signature),
        "raw": any(spec.is_raw for spec in row.artifact.signature.inputs),
        "pixels": words.is_pixels(row.artifact.signature),
        "front": words.front(row.artifact.signature),
        "numbers": bool(row.artifact.signature.columns),
        "heads": bool(row.artifact.signature.heads),
        "package": runtime_package(row.artifact.format),
        "teacher": next((r for r in report.rows if r.role == "teacher" and r.target == row.target), None),
        "text": text,
        "units": units,
        "words": words,
    }


def _licence() -> str:
    """The text of the licence of the sources in runtime/."""
    checkout = Path(__file__).parents[2] / "LICENSE"
    if checkout.is_file():
        return checkout.read_text(encoding="utf-8")
    try:
        return distribution("edgekd").read_text("licenses/LICENSE") or "https://www.apache.org/licenses/LICENSE-2.0"
    except PackageNotFoundError:
        return "https://www.apache.org/licenses/LICENSE-2.0"
