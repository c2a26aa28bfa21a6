import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekd.errors import DeviceError
from edgekd.jobs import Reached
from edgekd.results import Artifact, DeviceFacts, Measurement, Splits
from edgekd.stages import measure
from edgekd.steps import Measure
from tests.bench import DEVICE, Bench
from tests.boards import vcgencmd
from tests.sessions import session


@pytest.fixture
def bench(tmp_path: Path, tiny: Path) -> Bench:
    return Bench(tmp_path, tiny)


@pytest.fixture(scope="module")
def facts() -> DeviceFacts:
    return Reached(DEVICE).facts()


def question(facts: DeviceFacts, *artifacts: Artifact, splits: Splits, **more: Any) -> Measure:
    runtime = facts.runtimes.get(artifacts[0].format, "")
    known = {"device": DEVICE, "fingerprint": facts.fingerprint, "runtime": runtime, **more}
    return Measure(artifacts=artifacts, splits=splits, **known)


def test_quick_prices_every_artifact_in_order(bench: Bench, facts: DeviceFacts) -> None:
    first, second = bench.artifact("image-dynamic.onnx", "image"), bench.artifact("image-four.onnx", "image", 4)
    step = question(facts, first, second, splits=bench.splits("image"), protocol="quick")
    one, two = measure.run(step, bench.out).measurements
    assert one.basis == two.basis == "measured"
    assert one.device == facts
    assert one.latency is not None
    assert two.latency is not None
    assert len(one.latency.sessions) == 4
    assert one.latency.inferences >= 64
    assert 0 < one.latency.quiet <= one.latency.p50 <= one.latency.p90 <= one.latency.p90_high
    assert one.memory is None or 1 << 18 < one.memory < 64 << 20
    assert "one inference takes 4 samples" in two.latency.why
    told = json.loads(bench.out.path("sessions.json").read_text())
    assert told[0]["sessions"][0]["notes"] == {"providers": ["CPUExecutionProvider"]}
    assert sorted(p.name for p in bench.out.folder.iterdir()) == ["progress.json", "sessions.json"]


def test_ids_with_a_mask_are_measured_like_images(bench: Bench, facts: DeviceFacts) -> None:
    artifact = bench.artifact("text-fixed.tflite", "text", 1, "int32")
    splits = bench.splits("ids", "mask")
    step = question(facts, artifact, splits=splits, protocol="quick", threads=2)
    (found,) = measure.run(step, bench.out).measurements
    assert found.latency is not None
    assert found.latency.threads == 2


def test_reportable_has_1024_inferences_and_a_minute_interleaved(
    bench: Bench, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the processes and their number, with answers made up; the real ones are in the other tests."""
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def ask(job: Any, reached: Any, verb: str, timeout: float, more: dict[str, Any]) -> dict[str, Any]:
        asked.append((job.folder.name, verb, dict(more)))
        slow = job.folder.name == "job-1"
        if verb == "memory":
            return {"memory": 5, "why": ""}
        if verb == "energy":
            return {"joules": None, "why": "no meter"}
        return session(seconds=5.0 if slow else 6.3, runs=80 if slow else 205, seed=len(asked), settled=not slow)

    monkeypatch.setattr(measure.jobs.Job, "ask", ask)
    first, second = bench.artifact("image-dynamic.onnx", "image"), bench.artifact("image-four.onnx", "image", 4)
    step = question(facts, first, second, splits=bench.splits("image"), protocol="reportable")
    one, two = measure.run(step, bench.out).measurements
    clocked = [name for name, verb, _ in asked if verb == "clock"]
    assert clocked == ["job-0", "job-1"] * 10 + ["job-1"] * 3
    assert [name for name, verb, _ in asked if verb == "memory"] == ["job-0", "job-1"]
    assert asked[0][2]["least"] == 103
    assert one.latency is not None
    assert two.latency is not None
    assert (one.latency.inferences, two.latency.inferences) == (2050, 1040)
    assert one.latency.seconds >= 60 and two.latency.seconds >= 60
    assert one.latency.stable and one.latency.why == ""
    assert two.latency.why == "13 of 13 warm-ups did not settle"
    assert one.memory == 5
    assert one.energy is not None and one.energy.why == "no meter"
    assert [name for name, verb, _ in asked if verb == "energy"] == ["job-0", "job-1"]
    assert one.conditions is not None and one.conditions.sessions == 10


@pytest.mark.skipif(sys.platform != "linux", reason="a made-up vcgencmd is a shell script")
def test_an_under_volted_board_is_refused_by_what_its_own_sensor_says(
    bench: Bench, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vcgencmd(tmp_path / "bin", "0x50005")
    monkeypatch.setitem(measure.PROTOCOLS, "quick", replace(measure.PROTOCOLS["quick"], cooling=0.1))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    step = question(facts, bench.artifact("image-dynamic.onnx", "image"), splits=bench.splits("image"))
    (found,) = measure.run(step, bench.out).measurements
    assert (found.basis, found.latency) == ("not measured", None)
    assert found.why.startswith("every session was refused: under-voltage, throttled. Then use the board's own power")


@pytest.mark.skipif(sys.platform != "linux", reason="a made-up vcgencmd is a shell script")
def test_a_board_that_throttles_in_the_middle_loses_that_session_only(
    bench: Bench, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its firmware is asked three times a session (and once in a while in between): the fifth answer is a bad one."""
    asked = tmp_path / "asked"
    vcgencmd(tmp_path / "bin", f"$(echo x >> {asked}; if [ $(wc -l < {asked}) = 5 ]; then echo 0x4; else echo 0x0; fi)")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    step = question(facts, bench.artifact("image-dynamic.onnx", "image"), splits=bench.splits("image"))
    (found,) = measure.run(step, bench.out).measurements
    assert found.latency is not None and len(found.latency.sessions) == 4
    assert found.conditions is not None and found.conditions.refused == ("throttled",)
    assert "one session was refused: throttled" in found.latency.why
    assert found.conditions.before.frequency == 2.4e9, "what the firmware says, not what the kernel asked for"


def core_ml(bench: Bench, monkeypatch: pytest.MonkeyPatch, facts: DeviceFacts) -> tuple[Artifact, DeviceFacts]:
    """An artifact whose runtime is not on the device."""
    left = {name: version for name, version in facts.runtimes.items() if name != "onnx"}
    without = facts.model_copy(update={"runtimes": left, "missing": {"onnx": "it only works elsewhere"}})
    monkeypatch.setattr(measure.jobs.Reached, "facts", lambda _: without)
    return bench.artifact("image-dynamic.onnx", "image"), without


def test_a_format_that_cannot_run_is_not_measured_with_the_reason(
    bench: Bench, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, without = core_ml(bench, monkeypatch, facts)
    why = f"onnx cannot run on {facts.name}: it only works elsewhere"
    splits = bench.splits("image")
    found = measure.run(question(without, artifact, artifact, splits=splits), bench.out).measurements
    assert found == (Measurement(basis="not measured", device=without, why=why),) * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "other"}, "is not the device that was there when the build began"),
        ({"runtime": "0.1"}, r"the onnx runtime of this computer .* but the build began with 0\.1"),
    ],
)
def test_another_device_or_runtime_than_asked_about_is_refused(
    bench: Bench, facts: DeviceFacts, change: dict[str, str], message: str
) -> None:
    artifact = bench.artifact("image-dynamic.onnx", "image")
    with pytest.raises(DeviceError, match=message):
        measure.run(question(facts, artifact, splits=bench.splits("image"), **change), bench.out)


def test_a_model_that_does_not_run_is_an_error_that_names_it(bench: Bench, facts: DeviceFacts, tmp_path: Path) -> None:
    artifact = bench.artifact("image-dynamic.onnx", "image")
    path = bench.out.locate(artifact.file)
    path.unlink()
    path.write_bytes(b"nonsense")
    with pytest.raises(DeviceError, match=r"image-dynamic\.onnx does not run in ONNX Runtime"):
        measure.run(question(facts, artifact, splits=bench.splits("image")), bench.out)
    assert not bench.out.path("job-0").exists()
