"""At which operator a file stops running: real ONNX files in ONNX Runtime, broken wherever a part has the operator."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekd import jobs, plugins
from edgekd.errors import DeviceError
from edgekd.nets import programs
from edgekd.plugins import Conversion, Converted
from edgekd.results import Artifact, Located, Program, Size
from edgekd.spec import Device
from edgekd.stages import locate
from edgekd.steps import Locate
from tests import converted as toy
from tests import test_culprit as culprits

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")


def asked(folder: Path, kind: str = "gamma") -> Locate:
    traced, signature = culprits.program(kind)
    out = toy.entry(folder, "program")
    programs.write(traced, out.path("student.pt2"))
    np.savez(out.path("golden.npz"), **{"input:x": np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)})
    golden, facts = out.file("golden.npz"), jobs.Reached(Device()).facts()
    program = Program(
        file=out.file("student.pt2"), signature=signature, golden=golden, reference=golden,
        size=Size(params=1, macs=1), digest="d" * 64, trained=False,
    )  # fmt: skip
    artifact = Artifact(
        file=out.file("student.pt2"), format="onnx", precision="float32", signature=signature, golden=golden,
        size=1, graph="d" * 64, made_by="nobody",
    )  # fmt: skip
    return Locate(
        program=program, artifact=artifact, device=Device(), fingerprint=facts.fingerprint,
        runtime=facts.runtimes["onnx"],
    )  # fmt: skip


def found(folder: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, step: Locate) -> Located:
    real, find = plugins.find("formats", "onnx"), plugins.find

    def convert(conversion: Conversion) -> Converted:
        made: Converted = real.convert(conversion)
        if any(breaks in str(node.target) for node in programs.load(conversion.program).graph.nodes):
            (conversion.folder / made.name).write_bytes(b"no model at all")
        return made

    fake = SimpleNamespace(convert=convert)
    monkeypatch.setattr(plugins, "find", lambda kind, name: fake if kind == "formats" else find(kind, name))
    return locate.run(step, toy.entry(folder, "located"))


@pytest.mark.slow
def test_the_first_operator_with_which_a_part_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = found(tmp_path, monkeypatch, "abs", asked(tmp_path))
    assert told.operator == "aten.abs in blocks.2 (Odd)" and told.advice.startswith("write it with")
    left = sorted(p.name for p in toy.entry(tmp_path, "located").folder.iterdir())
    assert left == ["progress.json"], "no part of the network is left"


@pytest.mark.slow
def test_where_every_part_runs_no_operator_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path, monkeypatch, "no such operator", asked(tmp_path)) == Located()


def test_parts_of_an_onnx_file_are_not_looked_for(tmp_path: Path) -> None:
    step = asked(tmp_path)
    file = step.program.file.model_copy(update={"name": "student.onnx"})
    step = step.model_copy(update={"program": step.program.model_copy(update={"file": file})})
    assert locate.run(step, toy.entry(tmp_path, "located")) == Located()


def test_another_device_than_the_one_asked_about_is_refused(tmp_path: Path) -> None:
    step = asked(tmp_path).model_copy(update={"fingerprint": "another"})
    with pytest.raises(DeviceError, match="not the device that was there"):
        locate.run(step, toy.entry(tmp_path, "located"))
