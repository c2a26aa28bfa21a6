"""Bundles of a format that cannot run here are replayed by its definitions, and that is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgekd import plugins
from edgekd.bundle import replay
from edgekd.runtimes import job
from edgekd.runtimes.fault import Fault
from tests import converted as toy

NAME = "coreml"


@pytest.fixture
def bundle(converted, tmp_path: Path) -> Path:
    """A real Core ML package with golden vectors that its own evaluator gave."""
    folder = converted(NAME)
    made = toy.artifact(folder, NAME, "words", "float32")
    entries = folder / "entries"
    package = entries / made.file.entry[:2] / made.file.entry / made.file.name
    (tmp_path / made.file.name).symlink_to(package)
    (tmp_path / "golden").mkdir()
    golden = entries / made.golden.entry[:2] / made.golden.entry / made.golden.name
    arrays = dict(np.load(golden, allow_pickle=False))
    evaluate = plugins.find("formats", NAME).evaluator(package, made.signature)
    found = evaluate({spec.name: arrays[f"input:{spec.name}"] for spec in made.signature.inputs})
    np.savez(tmp_path / "golden/golden.npz", **arrays, **{f"runtime:{name}": v for name, v in found.items()})
    signature = made.signature.model_dump(mode="json")
    (tmp_path / "signature.json").write_text(json.dumps(signature))
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in made.signature.classes))
    page = {"format": NAME, "model": {"name": made.file.name}, "signature": signature, "tolerance": 1e-4, "images": []}
    (tmp_path / "golden/golden.json").write_text(json.dumps(page))
    return tmp_path


def model(bundle: Path) -> dict[str, object]:
    """The finding about the model."""
    assert replay.main([str(bundle), str(bundle / "found.json")]) == 0
    (found,) = (f for f in json.loads((bundle / "found.json").read_text()) if f["what"].startswith(("golden", "model")))
    return found


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core ML cannot run, wherever this test does."""

    def runtime(name: str) -> object:
        raise Fault(f"{name} cannot run here")

    monkeypatch.setattr(job, "runtime", runtime)


def test_the_evaluator_stands_in_and_is_named(bundle: Path) -> None:
    found = model(bundle)
    assert found["passed"] is True and found["what"] == "golden samples, logits, by reference"


def test_another_answer_than_the_recorded_one_is_wrong(bundle: Path) -> None:
    arrays = dict(np.load(bundle / "golden/golden.npz", allow_pickle=False))
    arrays["runtime:logits"] = arrays["runtime:logits"] + 1e-2
    np.savez(bundle / "golden/golden.npz", **arrays)
    assert model(bundle)["passed"] is False


def test_a_package_that_cannot_be_evaluated_is_not_sound(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = json.loads((bundle / "golden/golden.json").read_text())
    page["model"]["name"] = "other.mlpackage"
    (bundle / "golden/golden.json").write_text(json.dumps(page))
    assert model(bundle)["passed"] is False


def test_a_format_without_an_evaluator_is_not_checked(bundle: Path) -> None:
    page = json.loads((bundle / "golden/golden.json").read_text())
    (bundle / "golden/golden.json").write_text(json.dumps(page | {"format": "onnx"}))
    found = model(bundle)
    assert found["passed"] is None and "onnx cannot run here" in str(found["why"])
