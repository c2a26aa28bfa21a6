"""Extras of pip are what plug-ins declare: nothing else has to be written down for a new one."""

import tomllib
from pathlib import Path

import pytest

from edgekd import plugins
from hatch_build import extras

ROOT = Path(__file__).parents[1]
FORMAT = '"""F."""\nEXTRA = "%s"\nREQUIRES = %r\n'


@pytest.fixture(scope="module")
def made() -> dict[str, list[str]]:
    page = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return extras(ROOT, page["tool"]["hatch"]["metadata"]["hooks"]["custom"]["extras"])


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_extra_that_a_plug_in_names_is_one(kind: str, made: dict[str, list[str]]) -> None:
    named = {plugins.declared(kind, name).extra for name in plugins.names(kind)}
    assert named - {""} <= set(made)


def test_a_format_brings_training_its_runtime_and_what_it_uses(made: dict[str, list[str]]) -> None:
    assert made["onnx"] == ["edgekd[train,onnx-run]", "onnx>=1.20", "onnxscript>=0.6", "onnxconverter-common>=1.16"]
    assert made["onnx-run"] == ["onnxruntime>=1.24"]
    assert made["openvino"] == ["edgekd[train,onnx,openvino-run]", "nncf>=3.0"]
    assert made["coreml"][0] == "edgekd[train]" and made["coreml"][1].startswith("coremltools>=9.0; (sys_platform")
    assert made["all"] == [f"edgekd[{','.join(sorted(set(made) - {'all', 'dev'}))}]"]


def test_a_new_format_has_its_extra_without_another_edit(tmp_path: Path) -> None:
    for kind, extra, requires in (("formats", "new", ("a>=1", "b")), ("runtimes", "new", ("a>=1", "c"))):
        folder = tmp_path / "edgekd" / kind
        folder.mkdir(parents=True)
        (folder / "new.py").write_text(FORMAT % (extra, requires), encoding="utf-8")
    assert extras(tmp_path, {"train": ["t"], "dev": ["d"]}) == {
        "train": ["t"],
        "dev": ["d"],
        "new": ["edgekd[train]", "a>=1", "b", "c"],
        "all": ["edgekd[new,train]"],
    }
