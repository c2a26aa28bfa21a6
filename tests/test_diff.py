"""Which file of a run is meant, and what a store must still have for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekd import files
from edgekd import lock as locks
from edgekd.commands import diff
from edgekd.errors import UsageError
from edgekd.results import Artifact, Diffed, File, Program, Report, Signature, Size, StepRecord
from edgekd.spec import Device
from edgekd.steps import Diff, Probe
from edgekd.store import Store
from tests import synthetic


def artifact(format: str, content: bytes, folder: Path) -> Artifact:
    """A file of a run that is in no store."""
    path = folder / f"student.{format}"
    path.write_bytes(content)
    file = File(entry="a" * 64, name=path.name, sha256=files.digest(path), size=len(content))
    golden = File(entry="b" * 64, name="golden.npz", sha256="0" * 64, size=1)
    return Artifact(
        file=file, format=format, precision="int8", signature=Signature(inputs=(), outputs=()), golden=golden,
        size=1, graph="g", made_by="nobody", layers=file.model_copy(update={"name": "layers.json"}),
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loose").mkdir()
    return tmp_path


@pytest.fixture
def report(home: Path) -> Report:
    """A run whose student ships in int8, beside its float32 file, a teacher's and one row without a file."""
    made = synthetic.report()
    shipped = next(row for row in made.rows if row.ships)
    other = shipped.model_copy(update={"ships": False})
    (home / "loose/other").mkdir()
    twin, teacher = (home / f"loose/other/{name}" for name in ("twin", "teacher"))
    twin.mkdir()
    teacher.mkdir()
    rows = (
        shipped.model_copy(
            update={"role": "teacher-int8", "ships": False, "artifact": artifact("tflite", b"t", teacher)}
        ),
        other.model_copy(update={"precision": "float32", "artifact": artifact("tflite", b"f", twin)}),
        shipped.model_copy(update={"artifact": artifact("tflite", b"model", home / "loose")}),
        other.model_copy(update={"role": "control", "artifact": None}),
    )
    return made.model_copy(update={"rows": rows})


@pytest.fixture
def bundle(home: Path, report: Report) -> Path:
    folder = home / "run/tflite"
    (folder / "golden").mkdir(parents=True)
    model = folder / "student.tflite"
    model.write_bytes(b"model")
    told = {"model": {"name": model.name, "sha256": files.digest(model)}}
    (folder / "golden/golden.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "README.md").write_text("a", encoding="utf-8")
    return folder


def test_files_are_named_by_target_and_precision_and_others_by_role_too(report: Report) -> None:
    target = report.rows[2].target
    assert list(diff.subjects(report)) == [f"{target}-int8", f"{target}-int8-teacher", f"{target}-float32"]


def test_a_files_name_will_do(report: Report, home: Path) -> None:
    found = diff.subject("tflite-float32", home, report)
    assert (found.row.precision, found.file) == ("float32", None)
    with pytest.raises(UsageError, match="Did you mean 'tflite-float32'"):
        diff.subject("tflite-flat32", home, report)


@pytest.mark.parametrize("named", ["run/tflite", "run/tflite/student.tflite", "run/tflite/"])
def test_a_bundle_or_the_model_in_it(report: Report, bundle: Path, named: str) -> None:
    found = diff.subject(named, Path("run"), report)
    assert (found.name, found.row.ships, found.file) == ("tflite-int8", True, None)


@pytest.mark.parametrize("named", ["run/tflite", "run/tflite/student.tflite"])
def test_a_bundles_model_is_taken_as_it_is_on_disk(report: Report, bundle: Path, named: str) -> None:
    model = bundle / "student.tflite"
    model.write_bytes(b"changed")
    found = diff.subject(named, Path("run"), report)
    assert found.name == "tflite-int8" and found.file is not None
    assert (found.file.path, found.file.sha256) == (str(model), files.digest(model))


def test_a_model_file_is_known_by_its_content_wherever_it_is(report: Report, home: Path) -> None:
    found = diff.subject("loose/other/teacher/student.tflite", home, report)
    assert (found.name, found.file) == ("tflite-int8-teacher", None)


@pytest.mark.parametrize(
    ("spoil", "named", "said"),
    [
        (lambda b: None, "run/tflite/README.md", "is not the bundle's model. Name run/tflite/student.tflite"),
        (lambda b: None, "run", "is no file of the run run"),
        (lambda b: (b / "student.tflite").unlink(), "run/tflite", "is not there. Run: edgekd verify"),
        (lambda b: (b / "golden/golden.json").write_text("{}"), "run/tflite", "is not a whole bundle"),
        (lambda b: (b.parent / "x.onnx").write_bytes(b"x"), "run/x.onnx", "is no file of the run"),
        (
            lambda b: (b / "golden/golden.json").write_text('{"model": {"name": "student.tflite", "sha256": "0"}}'),
            "run/tflite",
            "or the run that it is of",
        ),
    ],
)
def test_what_is_no_file_of_the_run_is_refused(report: Report, bundle: Path, spoil: Any, named: str, said: str) -> None:
    spoil(bundle)
    with pytest.raises(UsageError, match=said.replace("(", r"\(")) as caught:
        diff.subject(named, Path("run"), report)
    assert len(caught.value.problems) == 1 and caught.value.problems[0].hint


class Kept(Store):
    """A store that knows a program, and answers by itself."""

    asked: list[Any]

    def do(self, *asked: Any) -> Any:
        self.asked = [*getattr(self, "asked", []), *asked]
        return tuple(synthetic.DEVICE if isinstance(step, Probe) else NOTHING for step in asked)


NOTHING = Diffed(
    layers=(), first=None, worst=(), hidden=(), cause="", advice="", basis="measured", samples=8, threshold=15.0
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Kept]:
    with Kept(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def made(report: Report, home: Path, store: Kept) -> Diff:
    """What the lock of a run says that its int8 file was converted from, and all of it in the store."""
    artifact = diff.subject("tflite-int8", home, report).artifact

    def kept(file: File, content: bytes) -> File:
        path = store.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return file.model_copy(update={"sha256": files.digest(path)})

    layers = artifact.file.model_copy(update={"name": "layers.json"})
    whole = artifact.model_copy(update={"file": kept(artifact.file, b"model"), "layers": kept(layers, b"{}")})
    (folder := home / "run").mkdir(exist_ok=True)
    equalized = File(entry="c" * 64, name="student.pt2", sha256="", size=1)
    golden = kept(artifact.golden, b"golden")
    program = Program(
        file=kept(equalized, b"program"), signature=Signature(inputs=(), outputs=()), golden=golden, reference=golden,
        size=Size(params=1, macs=1), digest="d", trained=True,
    )  # fmt: skip
    asked = {"program": program.model_dump(mode="json"), "format": "tflite"}
    steps = (
        StepRecord(stage="export", key="b" * 64, seconds=1, cached=False, versions={}, files={}),
        StepRecord(stage="convert", key="a" * 64, asked=asked, seconds=1, cached=False, versions={}, files={}),
    )
    lock = locks.Lock(edgekd="0", source="", plan="p", seeds=(0,), devices={}, steps=steps)
    (folder / locks.NAME).write_text(lock.model_dump_json(), encoding="utf-8")
    device = synthetic.DEVICE
    return Diff(
        program=program, artifact=whole, device=Device(), fingerprint=device.fingerprint,
        runtime=device.runtimes["tflite"],
    )  # fmt: skip


def test_the_program_is_the_one_that_the_file_was_converted_from(made: Diff, report: Report, store: Kept) -> None:
    """Not another one of the same golden vectors: an equalized network has other values inside."""
    row = next(row for row in report.rows if row.ships)
    assert diff.diff(diff.Subject("tflite-int8", row, made.artifact), Path("run"), report, store) == NOTHING
    assert [step for step in store.asked if isinstance(step, Diff)] == [made]


@pytest.mark.parametrize("lost", ["program", "golden", "layers", "model"])
def test_a_store_that_has_lost_something_is_told_with_the_command_that_makes_it_again(
    made: Diff, report: Report, store: Kept, lost: str
) -> None:
    artifact, program = made.artifact, made.program
    files_of = {"program": program.file, "golden": program.golden, "layers": artifact.layers, "model": artifact.file}
    wanted = diff.Subject("tflite-int8", next(row for row in report.rows if row.ships), artifact)
    path = store.path(files_of[lost])  # type: ignore[arg-type]
    path.write_bytes(b"damaged")
    with pytest.raises(UsageError, match="does not have what tflite-int8 was made from"):
        diff.diff(wanted, Path("run"), report, store)
    path.unlink()
    with pytest.raises(UsageError, match=r"--store: .*store does not have .*edgekd build .*--target tflite"):
        diff.diff(wanted, Path("run"), report, store)


def test_a_run_without_a_lock_that_says_it_is_refused(made: Diff, report: Report, store: Kept) -> None:
    row = next(row for row in report.rows if row.ships)
    other = made.artifact.model_copy(update={"file": made.artifact.file.model_copy(update={"entry": "9" * 64})})
    with pytest.raises(UsageError, match=r"run/edgekd.lock.json: does not say what tflite-int8 was converted from"):
        diff.diff(diff.Subject("tflite-int8", row, other), Path("run"), report, store)
    (Path("run") / locks.NAME).unlink()
    with pytest.raises(UsageError, match="Build the run again"):
        diff.diff(diff.Subject("tflite-int8", row, made.artifact), Path("run"), report, store)
