"""Every kind of application: its files are plain text, and what people read fits on a screen."""

import ast
import json
from pathlib import Path, PurePosixPath

import pytest

from edgekd import plugins
from edgekd.bundle import apps, content
from edgekd.bundle.verify import verify
from edgekd.errors import UsageError
from edgekd.runtimes import digests
from edgekd.workspace import locate
from tests import micro
from tests.test_apps_python import bundled
from tests.test_bundle import written

KINDS = plugins.names("apps")
SCREEN = 45


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real bundles of an ONNX file: of images, and of ids and a mask."""
    kinds = {"images": True, "words": False}
    return {name: written(tmp_path_factory.mktemp(name), images) for name, images in kinds.items()}


@pytest.fixture
def bundle(kind: str, bundles: dict[str, Path], request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One that the kind runs: of an ONNX file, or of one for microcontrollers."""
    inputs = request.node.callspec.params.get("inputs", "images")
    if "onnx" in plugins.declared("apps", kind).formats:
        return bundles[inputs]
    pytest.importorskip("tflite_micro")
    folder: Path = request.getfixturevalue("micro")
    made = micro.artifact(folder, {"images": "int8-full", "words": "words"}[inputs])
    told = (made.signature, ("tflite", made.precision), micro.samples(folder, made))
    return bundled(tmp_path / "bundled", locate(folder / "entries", made.file), *told)


@pytest.mark.parametrize("kind", KINDS)
def test_it_names_formats_and_says_what_it_is(kind: str) -> None:
    declared = plugins.declared("apps", kind)
    assert declared.formats and set(declared.formats) <= set(plugins.names("formats"))
    assert declared.summary.endswith(".") and {"files", "unfit"} <= declared.offers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", ["images", "words"])
def test_its_files_are_text_in_the_folder(kind: str, inputs: str, bundle: Path, tmp_path: Path) -> None:
    held = content.write(bundle, tmp_path / "app")
    plugin = plugins.find("apps", kind)
    assert plugin.unfit(held) == ()
    found = plugin.files(held)
    for name, text in found.items():
        path = PurePosixPath(name)
        assert not path.is_absolute() and ".." not in path.parts and path.parts[0] != "model", name
        assert (not text or text.endswith("\n")) and "\r" not in text and "{{" not in text and "{%" not in text, name
        if path.suffix == ".py":
            ast.parse(text, feature_version=(3, 9))
        if path.suffix == ".json":
            json.loads(text)
    page = found["README.md"]
    assert len(page.splitlines()) <= SCREEN and "--add selftest.json" in page and held.title in page


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_written_whole_with_digests(kind: str, bundle: Path, tmp_path: Path) -> None:
    made = apps.write(bundle, kind, tmp_path / "out/app")
    assert [one for one in digests.check(made.folder) if one["passed"] is False] == []
    assert {"model", "README.md", "MODEL_CARD.md", "LICENSES", "certificate.json"} <= {
        p.name for p in made.folder.iterdir()
    }
    again = apps.write(bundle, kind, tmp_path / "out/app")
    assert digests.listing(again.folder) == digests.listing(made.folder), "the same bundle gives the same folder"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["app"]
    with pytest.raises(UsageError):
        verify(tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_somebody_else_is_left_alone(kind: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"is there already and is not a bundle"):
        apps.write(bundles["images"], kind, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
