"""What every teacher plug-in must be, also one that nobody has written a test for yet."""

import inspect
from importlib import metadata
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgekd.errors import UsageError
from edgekd.nets.networks import image_spec
from edgekd.plugins import Declared, declared, find, names
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Image, Value

SIGNATURE = Signature(
    inputs=(image_spec("image", Image(size=4), 4),), outputs=(TensorSpec(name="logits", shape=(-1, 3)),)
)


def absent(plugin: Declared, folder: Path) -> tuple[dict[str, object], dict[str, Path]]:
    """Settings that name files which are not there, and those files."""
    written: dict[str, object] = dict.fromkeys(plugin.files, "gone.bin") | dict.fromkeys(plugin.code, "gone:build")
    files = dict.fromkeys(plugin.files, folder / "gone.bin") | dict.fromkeys(plugin.code, folder / "gone.py")
    for setting in plugin.nests:
        each = {"name": "saved", "file": "gone.bin"}
        written[setting] = {"0": each, "1": each} if setting == "heads" else [each, each]
        files |= {f"{setting}.{i}.file": folder / "gone.bin" for i in range(2)}
    return written, files


def test_the_teachers_that_edgekd_offers() -> None:
    assert {"torch", "program", "onnx", "saved", "ensemble", "heads"} <= set(names("teachers"))


@pytest.mark.parametrize("name", names("teachers"))
def test_it_declares_itself(name: str) -> None:
    plugin, module = declared("teachers", name), find("teachers", name)
    assert plugin.version == module.VERSION >= 1
    assert plugin.summary.endswith(".")
    assert all(metadata.version(package) for package in plugin.packages)
    assert issubclass(module.Settings, Value)
    assert {*plugin.files, *plugin.code, *plugin.nests} <= set(module.Settings.model_fields)
    assert list(inspect.signature(module.load).parameters) == ["settings", "files", "signature", "trust"]


@pytest.mark.parametrize("name", names("teachers"))
def test_its_settings_refuse_what_they_do_not_know(name: str, tmp_path: Path) -> None:
    module = find("teachers", name)
    written, _ = absent(declared("teachers", name), tmp_path)
    module.Settings.model_validate(written)
    with pytest.raises(ValidationError, match="no_such_setting"):
        module.Settings.model_validate({**written, "no_such_setting": 1})


@pytest.mark.parametrize("name", names("teachers"))
def test_files_that_are_not_there_are_named(name: str, tmp_path: Path) -> None:
    module = find("teachers", name)
    written, files = absent(declared("teachers", name), tmp_path)
    with pytest.raises(UsageError, match=r"gone\.(bin|py)"):
        module.load(module.Settings.model_validate(written), files, SIGNATURE, True)
