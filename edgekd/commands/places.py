"""Where runs and answers go, and folders that are refused before anything is spent."""

import os
from pathlib import Path

from edgekd.catalog import shown
from edgekd.errors import Problem, UsageError
from edgekd.spec import Plan


def default_out(plan: Plan) -> Path:
    """Where a run goes that does not say: runs/RECIPE-TARGETS."""
    targets = "-".join(target.name.replace("@", "-at-") for target in plan.targets)
    return Path("runs") / f"{plan.name}-{targets}"


def check_out(folder: Path) -> None:
    """Refuse, before anything is spent, a folder that cannot be written."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError(Problem("--out", f"{shown(there)} is a file, not a folder", "Choose another folder"))
    if not os.access(there, os.W_OK | os.X_OK):
        hint = "Give yourself the permission, or choose another folder with --out"
        raise UsageError(Problem("--out", f"{shown(there)} cannot be written", hint))


def store_root(given: Path | None) -> Path:
    """Where answers are kept: as given or in EDGEKD_STORE, else the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return given or Path(os.environ.get("EDGEKD_STORE") or cache / "edgekd" / "store")
