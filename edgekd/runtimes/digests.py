"""Are the files of a bundle the ones that were written? Standard library only: bundles hold a copy."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

NAME = "digests.json"
UNLISTED = "it is not listed in digests.json"
Finding = dict[str, Any]


def finding(what: str, passed: bool | None, why: str = "") -> Finding:
    """One answer of a check: what was looked at, whether it is right (None: could not be looked at here), and why."""
    return {"what": what, "passed": passed, "why": why}


def sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def listing(folder: Path) -> dict[str, str]:
    """The sha256 of every file in a folder but digests.json."""
    found = {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    found.pop(NAME, None)
    return found


def record(folder: Path) -> None:
    """Write digests.json: the sha256 of every other file in a folder."""
    text = json.dumps({"schema_version": 1, "sha256": listing(folder)}, indent=2, sort_keys=True)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def check(folder: Path) -> list[Finding]:
    """Compare every file of a folder with digests.json: changed, missing, unlisted files and links are each named."""
    try:
        listed = json.loads((folder / NAME).read_text(encoding="utf-8"))["sha256"]
        wanted = {str(name): str(value) for name, value in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [finding(NAME, False, f"it cannot be read: {type(error).__name__}: {error}")]
    bad = [finding(name, False, why) for name in sorted(wanted) for why in _problem(folder, name, wanted[name])]
    bad += [finding(name, False, UNLISTED) for name in _unlisted(folder, wanted)]
    return bad or [finding("digests", True, f"{len(wanted)} files are as they were written")]


def _problem(folder: Path, name: str, wanted: str) -> list[str]:
    """What is wrong with one listed file: nothing, or one sentence. A path that leaves the folder is never opened."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or ":" in parts[0] or ".." in parts:
        return ["digests.json names a path outside the bundle; it was not opened"]
    path = folder / name
    if any((folder / Path(*parts[: i + 1])).is_symlink() for i in range(len(parts))):
        return ["it is a link; bundles hold plain files only"]
    if not path.is_file():
        return ["it is missing"]
    return [] if sha256(path) == wanted else ["its content is not what was written"]


def _unlisted(folder: Path, wanted: dict[str, str]) -> list[str]:
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(name for name in found if name not in wanted and name != NAME)
