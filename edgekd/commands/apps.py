"""Application bundles of a run, or of one bundle."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekd.bundle.apps import Written, check_formats, runs, write
from edgekd.catalog import shown
from edgekd.errors import Problem, UsageError
from edgekd.results import Report


def make(place: Path, kinds: Sequence[str], out: Path | None = None) -> tuple[Written, ...]:
    """Write an application bundle of each kind for each bundle at `place` whose file it runs.

    `place` is a bundle or a run; they go beside the bundle, or into the folder `out`. Raises UsageError.
    """
    if not kinds:
        raise UsageError(Problem("--for", "is missing", "Name what to write, for example --for web,python"))
    bundles = {folder: _format(folder) for folder in _bundles(place)}
    check_formats(kinds, bundles.values())
    return tuple(
        write(bundle, kind, (out or bundle.parent) / f"{bundle.name}-for-{kind}")
        for kind in kinds
        for bundle, format in bundles.items()
        if runs(kind, format)
    )


def of_run(report: Report, run: Path, kinds: Iterable[str]) -> tuple[Written, ...]:
    """The application bundles of a run that was just built; nothing where no file ships."""
    return make(run, tuple(kinds)) if report.bundles and kinds else ()


def _bundles(place: Path) -> list[Path]:
    """A bundle itself, or all of a run."""
    if (place / "signature.json").is_file():
        return [place]
    try:
        report = Report.model_validate_json((place / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        hint = "Name a folder that `edgekd build` wrote, or one of the bundles in it"
        raise UsageError(Problem(shown(place), "is neither a run nor a bundle", hint)) from None
    if not report.bundles:
        raise UsageError(Problem(shown(place), "is a run that shipped no file", "Build with a budget that can be kept"))
    return [place / name for name in report.bundles.values()]


def _format(bundle: Path) -> str:
    try:
        return str(json.loads((bundle / "golden/golden.json").read_text(encoding="utf-8"))["format"])
    except (OSError, ValueError, KeyError, TypeError):
        message = "is no whole bundle: golden/golden.json cannot be read"
        raise UsageError(Problem(shown(bundle), message, "Build it again, or take another copy")) from None
