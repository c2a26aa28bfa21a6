"""Runs on disk: the folders that `edgekd build` wrote."""

from pathlib import Path

from pydantic import ValidationError

from edgekd.catalog import shown
from edgekd.errors import Problem, UsageError
from edgekd.results import Report


def read_report(run: Path) -> Report:
    """The report of a run folder (or of a report.json itself). Raises UsageError."""
    file = run / "report.json" if run.is_dir() else run
    try:
        return Report.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Name the folder that `edgekd build` wrote, for example runs/fashion-mnist-few-labels-tflite"
        raise UsageError(Problem(shown(file), f"cannot be read: {error.strerror}", hint)) from None
    except (ValidationError, UnicodeDecodeError):
        message = f"is not a report of schema version {Report.model_fields['schema_version'].default}"
        raise UsageError(Problem(shown(file), message, "Build again, or use the edgekd that wrote it")) from None
