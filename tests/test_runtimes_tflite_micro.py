"""TensorFlow Lite Micro as a runtime: what it computes, what its arena is, and what it computes wrongly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import plugins
from edgekd.devices import micro as device_of_micro
from edgekd.jobs import Job, Reached
from edgekd.results import Artifact
from edgekd.runtimes import preprocess, tensors
from edgekd.runtimes.fault import Fault
from edgekd.spec import Choice, Device
from edgekd.workspace import locate
from tests import micro as toys

runtime = pytest.importorskip("edgekd.runtimes.tflite_micro", exc_type=ImportError)
MICRO = Device(name="micro", reach=Choice(name="micro"))


def loaded(folder: Path, name: str) -> tuple[Any, Artifact, Path]:
    made = toys.artifact(folder, name)
    file = locate(folder / "entries", made.file)
    return runtime.load(file, 1, made.signature.model_dump(mode="json")), made, file


def outputs(model: Any, made: Artifact, folder: Path) -> np.ndarray:
    """The first output for the golden samples."""
    spec = made.signature.inputs[0].model_dump(mode="json")
    values = toys.samples(folder, made)["image"]
    values = tensors.encode(preprocess.prepare(values, spec["preprocess"]) if spec["preprocess"] else values, spec)
    rows = []
    for row in range(len(values)):
        model.feed([values[row : row + 1]])
        model.invoke()
        rows.append(model.outputs()[0])
    return tensors.decode(np.concatenate(rows), made.signature.outputs[0].model_dump(mode="json"))


@pytest.mark.parametrize("name", ["float32", "int8-full"])
def test_it_computes_what_torch_does(micro: Path, name: str) -> None:
    model, made, _ = loaded(micro, name)
    with np.load(locate(micro / "entries", made.golden)) as stored:
        gap = np.abs(outputs(model, made, micro) - stored["output:logits"]).max()
    assert gap < (1e-5 if name == "float32" else 0.05)


def test_the_arena_is_the_smallest_that_is_enough(micro: Path) -> None:
    model, made, file = loaded(micro, "int8-full")
    outputs(model, made, micro)
    found, signature = runtime.arena(model), made.signature.model_dump(mode="json")
    assert runtime.used(model)["total"] <= found < 16_384
    runtime.Model(file.read_bytes(), signature, found).invoke()
    with pytest.raises((RuntimeError, Fault)):
        runtime.Model(file.read_bytes(), signature, found - 16).invoke()


def test_what_it_lacks_it_refuses_or_computes_wrongly(micro: Path) -> None:
    for name in ("float16", "int8-dynamic"):
        with pytest.raises(Fault, match=r"does not run in TensorFlow Lite Micro: .+; TFLM failed"):
            loaded(micro, name)
    model, made, _ = loaded(micro, "int8")
    with np.load(locate(micro / "entries", made.golden)) as stored:
        assert np.abs(outputs(model, made, micro) - stored["output:logits"]).max() > 0.3
    precisions = plugins.declared("formats", "tflite").precisions
    assert set(precisions) - set(runtime.LACKS) == {"float32", "int8-full"}


def test_files_for_any_number_of_samples_are_refused(micro: Path) -> None:
    """In TFLM they would read beyond their input: its inner tensors have the batch that they were traced with."""
    _, made, file = loaded(micro, "int8-full")
    signature = made.signature.model_dump(mode="json")
    signature["inputs"][0]["shape"] = [-1, *signature["inputs"][0]["shape"][1:]]
    with pytest.raises(Fault, match="any number"):
        runtime.load(file, 1, signature)


def test_the_device_computes_and_weighs_but_does_not_time(micro: Path, tmp_path: Path) -> None:
    facts = device_of_micro.probe(device_of_micro.Settings(), MICRO)
    assert facts.runtimes == {"tflite_micro": runtime.version()} and facts.untimed and not facts.emulated
    assert set(facts.missing) >= set(plugins.names("runtimes")) and facts.name.startswith(
        "micro (TensorFlow Lite Micro"
    )
    made = toys.artifact(micro, "int8-full")
    with Job(tmp_path / "job", made, locate(micro / "entries", made.file), 1, "tflite-micro 1") as job:
        reached = Reached(MICRO)
        found = job.predict(reached, toys.samples(micro, made), 60.0)
        model, _, _ = loaded(micro, "int8-full")
        np.testing.assert_array_equal(found["logits"], outputs(model, made, micro))
        told = job.ask(reached, "memory", 60.0, {"inputs": {"image": "input-0.npy"}})
    assert told["arena"] == runtime.arena(model)
