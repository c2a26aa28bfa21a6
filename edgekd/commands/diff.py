"""A file of a run beside the program that it was made from, layer by layer."""

import json
from dataclasses import dataclass
from pathlib import Path

from edgekd import files
from edgekd import lock as locks
from edgekd.catalog import shown
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import nearest
from edgekd.report.command import command
from edgekd.results import Artifact, Diffed, File, Program, Report, Row
from edgekd.spec import UserFile
from edgekd.steps import Diff, Probe
from edgekd.store import Store


@dataclass(frozen=True)
class Subject:
    """What is compared: a file of a run by its name there, and the user's own in its place if that is another one."""

    name: str
    row: Row
    artifact: Artifact
    file: UserFile | None = None


def subjects(report: Report) -> dict[str, Subject]:
    """Every file of a run by name, what ships first: "onnx-int8" is of the student, others have their role behind."""
    own = next((row.role for row in report.rows if row.ships), "student")
    found: dict[str, Subject] = {}
    for row in sorted(report.rows, key=lambda row: not row.ships):
        role = "" if row.role == own else f"-{row.role.removesuffix('-int8')}"
        name = f"{row.target}-{row.precision}{role}".replace("@", "-at-")
        if row.artifact is not None:
            found[name] = Subject(name, row, row.artifact)
    return found


def subject(artifact: str, run: Path, report: Report) -> Subject:
    """The file that is meant: a bundle, a model file of the run wherever that is, or a file's name in the run.

    A bundle's model is taken as it is on disk. Raises UsageError for what is no file of this run.
    """
    path, known = Path(artifact), subjects(report)
    if not path.exists():
        if artifact in known:
            return known[artifact]
        hint = nearest(artifact, known) or "This run made no file"
        raise UsageError(Problem(artifact, "is neither a file nor the name of one in the run", hint))
    places = [path, *path.absolute().parents[:2]]
    bundle = next((folder for folder in places if (folder / "golden/golden.json").is_file()), None)
    if bundle is None:
        model = path.parent if path.suffix == ".xml" else path
        written = found = files.digest(model)
    else:
        written, model = _recorded(bundle)
        _refuse_others(path, bundle, model)
        found = files.digest(model)
    for one in known.values():
        if one.artifact.file.sha256 == written:
            file = None if found == written else UserFile(path=str(model.absolute()), sha256=found)
            return Subject(one.name, one.row, one.artifact, file)
    hint = "Name a bundle of this run, whose model may be changed, or the run that it is of"
    raise UsageError(Problem(shown(path), f"is no file of the run {shown(run)}", hint))


def _recorded(bundle: Path) -> tuple[str, Path]:
    """The digest of a bundle's model when it was written, and where the model is."""
    try:
        told = json.loads((bundle / "golden/golden.json").read_text(encoding="utf-8"))["model"]
        written, model = str(told["sha256"]), bundle / Path(told["name"]).name
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"Run: edgekd verify {shown(bundle)}"
        raise UsageError(Problem(shown(bundle), f"is not a whole bundle: {error}", hint)) from None
    if not model.exists():
        raise UsageError(Problem(shown(model), "is not there", f"Run: edgekd verify {shown(bundle)}"))
    return written, model


def _refuse_others(path: Path, bundle: Path, model: Path) -> None:
    """Of what is in a bundle only its model can be compared."""
    whole = path.absolute()
    if whole != bundle.absolute() and not whole.is_relative_to(model.absolute()):
        raise UsageError(Problem(shown(path), "is not the bundle's model", f"Name {shown(model)}"))


def diff(wanted: Subject, run: Path, report: Report, store: Store) -> Diffed:
    """Compare a file with its program. Raises UsageError where the store does not have the program any more."""
    artifact, program = wanted.artifact, _program(wanted, run)
    needed = (program.file, program.golden, artifact.file, artifact.layers)
    if not all(_there(store, file) for file in needed if file is not None):
        message = f"{shown(store.root)} does not have what {wanted.name} was made from"
        hint = f"Name the store of that build, or make it again with: {command(report.plan)}"
        raise UsageError(Problem("--store", message, hint))
    device = next(target.device for target in report.plan.targets if target.name == wanted.row.target)
    (facts,) = store.do(Probe(device=device))
    (answer,) = store.do(
        Diff(
            program=program,
            artifact=artifact,
            device=device,
            fingerprint=facts.fingerprint,
            runtime=facts.runtimes.get(artifact.format, ""),
            file=wanted.file,
        )
    )
    return answer


def _program(wanted: Subject, run: Path) -> Program:
    """The program that a file was converted from, as the run's lock says. Raises UsageError."""
    folder = run if run.is_dir() else run.parent
    lock = locks.read(folder)
    asked = {step.key: step.asked for step in lock.steps} if lock else {}
    try:
        return Program.model_validate(asked[wanted.artifact.file.entry]["program"])
    except (KeyError, ValueError):
        message = f"does not say what {wanted.name} was converted from"
        raise UsageError(Problem(shown(folder / locks.NAME), message, "Build the run again")) from None


def _there(store: Store, file: File) -> bool:
    """Whether the store has a file as it was written: a program is code that will be run."""
    path = store.path(file)
    return path.exists() and files.digest(path) == file.sha256
