"""Front ends from the data set to the bundle's checks: what is recorded is compared, and a change is found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import plugins
from edgekd.bundle import words
from edgekd.errors import UsageError
from edgekd.nets import networks
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Signature, TensorSpec
from edgekd.runtimes import replay
from edgekd.runtimes.fault import Fault
from edgekd.spec import KEY
from edgekd.stages import split
from edgekd.steps import Split
from edgekd.workspace import Workspace
from tests import tasks

ENTRY = "ab" * 32


def without(format: str) -> Any:
    raise Fault("no runtime here")


def recorded(folder: Path, task: str) -> tuple[Path, Signature]:
    """What a split of the toy records, laid out as in a bundle without a model."""
    plan = load_plan(tasks.write(folder / "page", task), Flags(target=("onnx",)))
    place = folder / "entries" / ENTRY[:2] / ENTRY
    place.mkdir(parents=True)
    out = Workspace(place, folder / "entries", ENTRY)
    splits = split.run(Split(data=plan.data, images=()), out)
    signature = networks.signature(splits, None, out)
    golden = folder / "bundle/golden"
    golden.mkdir(parents=True)
    for name, file in splits.attached.items():
        (golden / name).write_bytes(out.locate(file).read_bytes())
    told = signature.model_dump(mode="json")
    (folder / "bundle/signature.json").write_text(json.dumps(told))
    (folder / "bundle/labels.txt").write_text("".join(f"{name}\n" for name in signature.classes))
    (golden / "golden.json").write_text(json.dumps({"signature": told, "format": "onnx"}))
    np.savez(golden / "golden.npz", nothing=np.zeros(1))
    return folder / "bundle", signature


def finding(bundle: Path, kind: str) -> dict[str, Any]:
    (found,) = [one for one in replay.replay(bundle, without) if one["what"].startswith(kind)]
    return found


def test_recorded_sounds_are_prepared_again(tmp_path: Path) -> None:
    bundle, _ = recorded(tmp_path, "sound")
    assert finding(bundle, "log-mel")["passed"] is True
    with np.load(bundle / "golden/sounds.npz") as stored:
        np.savez(bundle / "golden/sounds.npz", sound=stored["sound"], input=stored["input"] + 0.1)
    found = finding(bundle, "log-mel")
    assert found["passed"] is False and "differ by up to 0.1" in found["why"]


def test_recorded_texts_are_cut_into_the_same_ids(tmp_path: Path) -> None:
    bundle, _ = recorded(tmp_path, "text")
    assert finding(bundle, "tokens")["passed"] is True
    examples = json.loads((bundle / "golden/texts.json").read_text())
    examples[0]["ids"][0] += 1
    (bundle / "golden/texts.json").write_text(json.dumps(examples))
    assert "other ids" in finding(bundle, "tokens")["why"]
    (bundle / "golden/tokenizer.json").write_text("{}")
    found = finding(bundle, "front end")
    assert found["passed"] is False and "is not the tokenizer" in found["why"]


def test_a_device_without_tokenizers_says_what_it_could_not_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = recorded(tmp_path, "text")
    monkeypatch.setattr(replay.tokens, "Tokenizer", None)
    found = finding(bundle, "front end")
    assert found["passed"] is None and "pip install tokenizers" in found["why"]


@pytest.mark.parametrize(
    ("task", "front", "told"),
    [("text", "text", "WordLevel, 24 ids"), ("sound", "sound", "20 mel triangles from 20 to 2000 Hz")],
)
def test_a_bundle_says_it_in_words(task: str, front: str, told: str, tmp_path: Path) -> None:
    _, signature = recorded(tmp_path, task)
    assert words.front(signature) == front
    assert told in " ".join(words.steps(signature.inputs[0]))


def test_the_students_vocabulary_is_the_tokenizers(tmp_path: Path) -> None:
    _, signature = recorded(tmp_path, "text")
    family = plugins.find("students", "transformer")
    net = family.build(family.Settings(width=16), signature.inputs, signature.outputs)
    assert net.words.num_embeddings == 24
    bare = tuple(spec.model_copy(update={"front_end": None}) for spec in signature.inputs)
    with pytest.raises(UsageError, match="vocabulary"):
        family.build(family.Settings(width=16), bare, signature.outputs)


def test_what_has_no_front_end_asks_what_it_always_asked() -> None:
    spec = TensorSpec(name="x", shape=(-1, 3))
    assert "front_end" not in spec.model_dump(mode="json", context=KEY)
