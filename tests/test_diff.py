"""Which file of a run is meant, and what a store must still have for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekd import files
from edgekd.commands import diff
from edgekd.errors import UsageError
from edgekd.results import Artifact, Diffed, File, Program, Report, Signature, Size
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


def program(report: Report) -> Program:
    golden = report.rows[2].artifact.golden  # type: ignore[union-attr]
    return Program(
        file=golden, signature=Signature(inputs=(), outputs=()), golden=golden, reference=golden,
        size=Size(params=1, macs=1), digest="d", trained=True,
    )  # fmt: skip


def test_the_program_is_the_one_that_the_artifacts_golden_vectors_are_of(
    report: Report, home: Path, store: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = diff.subject("tflite-int8", home, report)
    known = {"b" * 64: program(report)}
    monkeypatch.setattr(store, "recall", lambda key, kind: known.get(key) if kind is Program else None)
    for name in ("student.tflite", "layers.json"):
        path = store.path(File(entry="a" * 64, name=name, sha256="", size=0))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    golden = store.path(wanted.artifact.golden)
    golden.parent.mkdir(parents=True)
    golden.write_bytes(b"x")
    assert diff.diff(wanted, report, store) == NOTHING
    (step,) = [step for step in store.asked if isinstance(step, Diff)]
    assert (step.program, step.artifact, step.file) == (program(report), wanted.artifact, None)
    assert (step.fingerprint, step.runtime) == (synthetic.DEVICE.fingerprint, synthetic.DEVICE.runtimes["tflite"])
    golden.unlink()
    with pytest.raises(UsageError, match="does not have what tflite-int8 was made from"):
        diff.diff(wanted, report, store)


def test_a_store_that_has_lost_it_is_told_with_the_command_that_makes_it_again(
    report: Report, home: Path, store: Kept
) -> None:
    wanted = diff.subject("tflite-int8", home, report)
    with pytest.raises(UsageError, match=r"--store: .*store does not have .*edgekd build .*--target tflite"):
        diff.diff(wanted, report, store)
