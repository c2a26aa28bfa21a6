from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.errors import DeviceError
from edgekd.jobs import Reached
from edgekd.results import Artifact, DeviceFacts, Splits
from edgekd.runtimes import preprocess
from edgekd.stages import predict
from edgekd.steps import Predict
from tests import tiny as tiny_files
from tests.bench import DEVICE, Bench


@pytest.fixture
def bench(tmp_path: Path, tiny: Path) -> Bench:
    return Bench(tmp_path, tiny)


@pytest.fixture(scope="module")
def facts() -> DeviceFacts:
    return Reached(DEVICE).facts()


def question(facts: DeviceFacts, artifact: Artifact, splits: Splits, **more: Any) -> Predict:
    known = {"fingerprint": facts.fingerprint, "runtime": facts.runtimes.get(artifact.format, ""), **more}
    return Predict(artifact=artifact, splits=splits, part="test", device=DEVICE, **known)


def predicted(bench: Bench, facts: DeviceFacts, artifact: Artifact, splits: Splits) -> Any:
    answer = predict.run(question(facts, artifact, splits), bench.out)
    assert (answer.basis, answer.part, answer.why) == ("measured", "test", "")
    assert answer.outputs == bench.out.file("outputs.npy")
    assert not bench.out.path("job").exists()
    return np.load(bench.out.path("outputs.npy"))


@pytest.mark.parametrize("name", ["image-dynamic.tflite", "image-dynamic.onnx", "image-dynamic.openvino"])
def test_predictions_of_a_part_are_those_of_the_network(bench: Bench, facts: DeviceFacts, name: str) -> None:
    outputs = predicted(bench, facts, bench.artifact(name, "image"), bench.splits("image"))
    inputs = preprocess.prepare(tiny_files.samples()["image"], tiny_files.PREPROCESS)
    np.testing.assert_allclose(outputs, tiny_files.image_net(inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "batch", "ids"), [("text-fixed.tflite", 1, "int32"), ("text-dynamic.onnx", -1, "int64")]
)
def test_ids_with_a_mask_are_predicted_like_images(
    bench: Bench, facts: DeviceFacts, name: str, batch: int, ids: str
) -> None:
    outputs = predicted(bench, facts, bench.artifact(name, "text", batch, ids), bench.splits("ids", "mask"))
    stored = tiny_files.samples()
    np.testing.assert_allclose(outputs, tiny_files.text_net(stored["ids"], stored["mask"]), rtol=0, atol=1e-4)


def test_the_same_question_gives_the_same_bytes(bench: Bench, facts: DeviceFacts) -> None:
    artifact, splits = bench.artifact("image-dynamic.onnx", "image"), bench.splits("image")
    predicted(bench, facts, artifact, splits)
    first = bench.out.path("outputs.npy").read_bytes()
    predicted(bench, facts, artifact, splits)
    assert bench.out.path("outputs.npy").read_bytes() == first


def test_without_the_runtime_there_are_no_predictions_and_the_reason(
    bench: Bench, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {name: version for name, version in facts.runtimes.items() if name != "onnx"}
    without = facts.model_copy(update={"runtimes": left, "missing": {"onnx": "it only works elsewhere"}})
    monkeypatch.setattr(Reached, "facts", lambda _: without)
    artifact = bench.artifact("image-dynamic.onnx", "image")
    answer = predict.run(question(without, artifact, bench.splits("image")), bench.out)
    assert answer.basis == "not measured"
    assert answer.why == f"onnx cannot run on {facts.name}: it only works elsewhere"
    assert np.load(bench.out.path(answer.outputs.name)).shape == (0, 4)


def test_samples_of_another_size_than_the_network_are_refused(bench: Bench, facts: DeviceFacts) -> None:
    artifact = bench.artifact("text-dynamic.onnx", "text")
    splits = bench.splits("ids", "mask")
    for name in ("ids", "mask"):
        np.save(bench.out.locate(bench.file(f"{name}.npy")), np.ones((7, 6), np.int64))
    with pytest.raises(DeviceError, match=r"the input ids has shape \(N, 5\), the samples \(7, 6\)"):
        predict.run(question(facts, artifact, splits), bench.out)
    assert not bench.out.path("job").exists()
