"""Application bundles: folders that drop into a user's project, made of a bundle by the plug-ins of apps/."""

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import plugins
from edgekd.bundle import content
from edgekd.bundle.bundle import refuse_strangers, replace
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import unknown
from edgekd.runtimes import digests


@dataclass(frozen=True)
class Written:
    """One application bundle: its kind, where it is, what it holds, and the mistakes that its self-test sees, by how
    many times what is allowed.
    """

    kind: str
    folder: Path
    content: content.Content
    margins: Sequence[Mapping[str, Any]]


def read_kinds(wanted: Iterable[str], where: str = "--for") -> tuple[str, ...]:
    """Kinds that were named, each once, also several with commas between. Raises UsageError for those that are none."""
    kinds = tuple(dict.fromkeys(name.strip() for one in wanted for name in one.split(",") if name.strip()))
    known = plugins.names("apps")
    wrong = [unknown(where, "kind of application", name, known) for name in kinds if name not in known]
    if wrong:
        raise UsageError(*wrong)
    return kinds


def runs(kind: str, format: str) -> bool:
    """Whether applications of a kind run files of a format."""
    return format in plugins.declared("apps", kind).formats


def check_formats(kinds: Iterable[str], formats: Iterable[str], where: str = "--for") -> None:
    """Raises UsageError for kinds of applications that run none of the formats."""
    formats = tuple(dict.fromkeys(formats))
    problems = [
        Problem(where, f"{kind} runs no {' or '.join(formats)} files", f"It runs: {', '.join(_formats(kind))}")
        for kind in kinds
        if not any(runs(kind, format) for format in formats)
    ]
    if problems:
        raise UsageError(*problems)


def _formats(kind: str) -> tuple[str, ...]:
    return tuple(plugins.declared("apps", kind).formats)


def write(bundle: Path, kind: str, folder: Path) -> Written:
    """Write an application bundle of a bundle to `folder`, whole or not at all; an older one there is replaced.

    Raises UsageError where the bundle is damaged, its file is none that such applications run, or `folder` holds
    something else.
    """
    refuse_strangers(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        work.chmod(0o755)
        held = content.write(bundle, work)
        plugin = plugins.find("apps", kind)
        unfit = plugin.unfit(held)
        if unfit:
            raise UsageError(Problem(f"{kind} of {bundle}", *unfit))
        for name, text in plugin.files(held).items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        digests.record(work)
        replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    narrowed = getattr(plugin, "margins", None)
    return Written(kind, folder, held, narrowed(held) if narrowed else held.golden["margins"])
