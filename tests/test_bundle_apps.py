"""Names of kinds are read with care, and what a kind cannot run is said before anything is written."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekd import plugins
from edgekd.bundle import apps
from edgekd.bundle.verify import verify
from edgekd.commands.apps import make, of_run
from edgekd.errors import UsageError
from edgekd.report.report import render
from edgekd.results import Report
from tests.test_bundle import report, shipped, small, written


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bundle"), images=True)


@pytest.fixture
def run(bundle: Path, tmp_path: Path) -> tuple[Path, Report]:
    """A run whose one bundle is of an ONNX file."""
    row, _ = shipped(small.Store(tmp_path / "store"), small.device_facts(), images=True)
    told = report(row).model_copy(update={"bundles": {"onnx": "onnx"}})
    render(told, tmp_path / "run")
    shutil.copytree(bundle, tmp_path / "run/onnx")
    return tmp_path / "run", told


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two kinds: one takes what it is given, the other refuses every file."""
    plain = SimpleNamespace(files=lambda held: {"src/main.txt": f"{held.title}\n"}, unfit=lambda held: ())
    never = SimpleNamespace(
        files=lambda held: {}, unfit=lambda held: ("it is too large for a watch", "Build a smaller one")
    )
    made = {"plain": (plain, ("onnx", "tflite")), "never": (never, ("onnx",)), "other": (plain, ("tflite",))}
    monkeypatch.setattr(plugins, "names", lambda kind: tuple(made))
    monkeypatch.setattr(plugins, "declared", lambda kind, name: SimpleNamespace(formats=made[name][1]))
    monkeypatch.setattr(plugins, "find", lambda kind, name: made[name][0])
    return plain


def test_kinds_are_read_once_each_with_commas_or_without(kinds: SimpleNamespace) -> None:
    assert apps.read_kinds(["plain,other", "plain"]) == ("plain", "other") and apps.read_kinds([]) == ()
    with pytest.raises(UsageError) as error:
        apps.read_kinds(["plane,foo"])
    assert len(error.value.problems) == 2 and "plain" in error.value.problems[0].hint


def test_a_kind_that_runs_none_of_the_formats_is_told_at_once(kinds: SimpleNamespace) -> None:
    apps.check_formats(["plain", "never"], ["onnx", "coreml"])
    with pytest.raises(UsageError, match=r"--for: other runs no onnx or coreml files. It runs: tflite"):
        apps.check_formats(["plain", "other"], ["onnx", "coreml"])


def test_every_bundle_of_a_run_gets_one_beside_it(run: tuple[Path, Report], kinds: SimpleNamespace) -> None:
    folder, told = run
    (made,) = of_run(told, folder, ("plain",))
    assert (
        made.folder == folder / "onnx-for-plain"
        and (made.folder / "src/main.txt").read_text() == f"{made.content.title}\n"
    )
    (elsewhere,) = make(folder / "onnx", ["plain"], folder / "out")
    assert elsewhere.folder == folder / "out/onnx-for-plain"
    assert of_run(told.model_copy(update={"bundles": {}}), folder, ("plain",)) == ()


def test_a_file_that_cannot_run_there_leaves_nothing_behind(run: tuple[Path, Report], kinds: SimpleNamespace) -> None:
    folder, _ = run
    before = sorted(folder.iterdir())
    with pytest.raises(UsageError, match=r"it is too large for a watch. Build a smaller one"):
        make(folder, ["never"])
    assert sorted(folder.iterdir()) == before


def test_an_application_is_verified_by_its_digests_and_its_certificate(
    run: tuple[Path, Report], kinds: SimpleNamespace
) -> None:
    folder = make(run[0], ["plain"])[0].folder
    (folder / "node_modules").mkdir()
    (folder / "node_modules/own.txt").write_text("a user's")
    told = {one.what: one.passed for one in verify(folder)}
    assert told == {"digests": True, "student.onnx": True, "self-test": None}
    with (folder / "model/student.onnx").open("ab") as model:
        model.write(b"more")
    apps.digests.record(folder)
    assert {one.what: one.why for one in verify(folder)}["student.onnx"] == "the certificate is of another file"
    (folder / "src/main.txt").write_text("changed")
    assert [one.what for one in verify(folder) if one.passed is False] == ["src/main.txt", "student.onnx"]


def test_what_is_neither_run_nor_bundle_is_refused(tmp_path: Path, kinds: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match=r"is neither a run nor a bundle"):
        make(tmp_path, ["plain"])
    with pytest.raises(UsageError, match=r"--for: is missing"):
        make(tmp_path, [])
    (tmp_path / "signature.json").write_text("{}")
    with pytest.raises(UsageError, match=r"golden/golden\.json cannot be read"):
        make(tmp_path, ["plain"])


def test_a_bundle_of_an_earlier_edgekd_is_refused_with_what_to_do(
    bundle: Path, tmp_path: Path, kinds: SimpleNamespace
) -> None:
    old = Path(shutil.copytree(bundle, tmp_path / "old"))
    page = (old / "golden/golden.json").read_text()
    (old / "golden/golden.json").write_text(page.replace('"margins"', '"nothing"'))
    apps.digests.record(old)
    with pytest.raises(
        UsageError, match=r"is a bundle of an earlier edgekd.*The same build with this edgekd writes it anew"
    ):
        make(old, ["plain"])
