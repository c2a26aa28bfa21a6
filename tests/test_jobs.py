import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.errors import DeviceError
from edgekd.jobs import Job, Reached, cannot_run
from edgekd.results import DeviceFacts
from tests.bench import DEVICE, Bench

FACTS = DeviceFacts(
    name="board",
    fingerprint="f",
    model="m",
    system="s",
    processor="p",
    cores=4,
    memory=1,
    python="3.11",
    runtimes={"tflite": "2.3"},
    missing={"coreml": "its runtime works on macOS only"},
)


class Answering:
    """A device that answers every job with what it was sent, or not at all."""

    device = DEVICE

    def __init__(self, answer: str | None = None) -> None:
        self._answer = answer

    def run(self, folder: Path, timeout: float) -> None:
        if self._answer is None:
            sent = json.loads((folder / "request.json").read_text())
            names = sorted(p.name for p in folder.iterdir())
            (folder / "result.json").write_text(json.dumps({"sent": sent, "names": names}))
        else:
            (folder / "result.json").write_text(self._answer)


def ask(job: Job, answering: Answering) -> dict[str, Any]:
    return job.ask(answering, "clock", 1.0, {"runs": 3})  # type: ignore[arg-type]


def test_a_job_holds_model_samples_and_request_and_is_gone_afterwards(tmp_path: Path, tiny: Path) -> None:
    artifact = Bench(tmp_path, tiny).artifact("image-fixed.tflite", "image", 1)
    model = tiny / "image-fixed.tflite"
    with Job(tmp_path / "job", artifact, model, threads=2) as job:
        job.save("x.npy", np.zeros(1))
        told = ask(job, Answering())
        assert (job.folder / "image-fixed.tflite").read_bytes() == model.read_bytes()
    assert told["names"] == ["image-fixed.tflite", "request.json", "x.npy"]
    assert told["sent"] == {
        "verb": "clock",
        "runs": 3,
        "runtime": "tflite",
        "model": "image-fixed.tflite",
        "threads": 2,
        "signature": artifact.signature.model_dump(mode="json"),
    }
    assert not job.folder.exists()
    assert model.exists()


def test_an_answer_that_cannot_be_read_is_an_error_of_the_device(tmp_path: Path, tiny: Path) -> None:
    artifact = Bench(tmp_path, tiny).artifact("image-fixed.tflite", "image", 1)
    with (
        Job(tmp_path / "job", artifact, tiny / "image-fixed.tflite") as job,
        pytest.raises(DeviceError, match="this-computer left no readable answer"),
    ):
        ask(job, Answering("{"))


def test_a_device_is_reached_with_its_validated_settings() -> None:
    assert Reached(DEVICE).facts().cores >= 1


def test_what_cannot_run_has_a_reason_and_what_changed_is_refused() -> None:
    assert cannot_run(FACTS, "f", "tflite", "2.3") == ""
    assert cannot_run(FACTS, "f", "coreml", "") == "coreml cannot run on board: its runtime works on macOS only"
    assert cannot_run(FACTS, "f", "new", "") == "new cannot run on board: its runtime is not there"
    with pytest.raises(DeviceError, match="board is not the device"):
        cannot_run(FACTS, "g", "tflite", "2.3")
    with pytest.raises(DeviceError, match=r"tflite runtime of board is 2\.3, but the build began with 2\.2"):
        cannot_run(FACTS, "f", "tflite", "2.2")
