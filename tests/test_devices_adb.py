"""Phones by adb: the real adb server and client, and pretend phones (tests/adbd.py) that run the real runtimes."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import jobs
from edgekd.devices import _adb, adb
from edgekd.errors import DeviceError, Unreachable
from edgekd.runtimes import preprocess
from edgekd.spec import Choice, Device
from edgekd.timing.disturbances import refusal
from tests import phones
from tests import tiny as tiny_files

pytest.importorskip("adbutils")
QUICK = {"seconds": 0.1, "least": 16, "longest": 1.0, "most": 512, "longest_warmup": 0.2, "cooling": 0.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, phones.adb(patch, tmp_path_factory.mktemp("adb")):
        yield


@pytest.fixture
def phone(server: None, tmp_path: Path) -> Iterator[phones.Pretend]:
    with phones.phone(tmp_path / "phone") as pretend:
        yield pretend
        adb.leave(device(pretend))
        _adb.server().disconnect(pretend.serial)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tools")
    return {name: str(phones.tool(folder, name)) for name in adb.TOOLS.values()}


def device(pretend: phones.Pretend, name: str = "phone") -> Device:
    return Device(name=name, reach=Choice(name="adb"), address=pretend.serial)


def ask(folder: Path, files: Path, verb: str, format: str = "tflite", **more: Any) -> Path:
    """A job's folder: seven images for the tiny network."""
    folder.mkdir(exist_ok=True)
    if not (folder / "image.npy").exists():
        np.save(folder / "image.npy", tiny_files.samples()["image"])
    name = f"$(touch owned) a'b.{format}"  # whatever a file is called, no shell gets to see it
    (folder / name).write_bytes((files / f"image-dynamic.{format}").read_bytes())
    request = {
        "verb": verb,
        "runtime": format,
        "model": name,
        "threads": 1,
        "signature": tiny_files.signature("image"),
        "inputs": {"image": "image.npy"},
        "all": True,
    }
    (folder / "request.json").write_text(json.dumps(request | more))
    return folder


def told(settings: adb.Settings, there: Device, folder: Path, timeout: float = 60.0) -> dict[str, Any]:
    adb.run(settings, there, folder, timeout)
    answer: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return answer


def test_a_phone_says_what_it_is_and_what_it_runs(phone: phones.Pretend, tools: dict[str, str]) -> None:
    facts = jobs.Reached(device(phone).model_copy(update={"reach": Choice(name="adb", settings=tools)})).facts()
    assert (facts.name, facts.model, facts.processor) == (
        "phone (Pretend Stand-in 1)",
        "Pretend Stand-in 1",
        "Nobody P1",
    )
    assert facts.system.startswith("Android 16 (API 36), Linux ") and facts.temperature == 29.3 and not facts.emulated
    assert set(facts.runtimes) == {"tflite", "onnx"} and facts.runtimes["tflite"].startswith("benchmark_model-cpu-")
    assert " " not in facts.runtimes["tflite"], "steps name a runtime and its version with a blank between"
    assert set(facts.missing) == {"coreml", "executorch", "openvino"}
    other = adb.probe(adb.Settings(**tools, cores="f0"), device(phone))
    assert other.fingerprint != facts.fingerprint, "other cores are another device to time"


def test_what_a_tflite_file_computes_there_is_what_numpy_says(
    phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path
) -> None:
    folder = ask(tmp_path / "job", tiny, "predict")
    answer = told(adb.Settings(**tools), device(phone), folder)
    assert answer["count"] == 7
    wanted = tiny_files.image_net(preprocess.prepare(tiny_files.samples()["image"], tiny_files.PREPROCESS))
    np.testing.assert_allclose(np.load(folder / answer["outputs"]["logits"]), wanted, atol=1e-4)


def test_inputs_find_their_places_whatever_the_order(
    phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    samples = tiny_files.samples()
    for name in ("ids", "mask"):
        np.save(folder / f"{name}.npy", samples[name])
    (folder / "model").write_bytes((tiny / "text-fixed.tflite").read_bytes())
    for names in (("ids", "mask"), ("mask", "ids")):
        signature = tiny_files.signature("text", 1, ids="int32")
        signature["inputs"] = sorted(signature["inputs"], key=lambda spec: names.index(spec["name"]))
        request = {"verb": "predict", "runtime": "tflite", "model": "model", "threads": 1, "signature": signature}
        named = {name: f"{name}.npy" for name in names}
        (folder / "request.json").write_text(json.dumps(request | {"inputs": named}))
        answer = told(adb.Settings(**tools), device(phone), folder)
        found = np.load(folder / answer["outputs"]["logits"])
        np.testing.assert_allclose(found, tiny_files.text_net(samples["ids"], samples["mask"]), atol=1e-4)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_session_is_timed_by_the_runtimes_own_program(
    phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path, format: str
) -> None:
    settings = adb.Settings(**tools, cores="1", fixed_performance=True)
    folder = ask(tmp_path / "job", tiny, "clock", format, **QUICK)
    answer = told(settings, device(phone), folder)
    assert answer["runs"] * answer["stride"] >= 16 and answer["seconds"] > 0.01 and answer["warmup"] > 0
    latencies = np.array(answer["latencies"])
    assert 0 < len(latencies) <= QUICK["most"] and (latencies > 0).all() and answer["first"] > 0 and answer["load"] > 0
    assert answer["affinity"] == [0] and (phone.folder / "masks").read_text().split() == ["1"]
    assert answer["before"]["temperature"] == 29.3 and answer["before"]["battery"] is False and not refusal(answer)
    assert phone.left() != []
    adb.leave(device(phone))
    assert emptied(phone), "nothing is left there"
    lines = (phone.folder / "commands").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["true", "false"], "the mode is put back"
    assert not list(tmp_path.rglob("owned"))


def emptied(phone: phones.Pretend) -> bool:
    """Whether nothing lies there any more; the phone clears up by itself, a moment later."""
    for _ in range(50):
        if not phone.left():
            return True
        time.sleep(0.1)
    return False


def test_a_process_that_is_killed_leaves_nothing_there(phone: phones.Pretend, tools: dict[str, str]) -> None:
    words = f"""
from edgekd.devices import adb
from edgekd.spec import Choice, Device
import os, signal
phone = adb.session(Device(name="phone", reach=Choice(name="adb"), address="{phone.serial}"))
phone.undo("cmd mode false")
print(len(phone.shell("ls {_adb.TEMPORARY}").text.split()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (-9, "1"), done.stderr
    assert emptied(phone) and (phone.folder / "commands").read_text() == "mode false\n"


def test_minutes_of_sustained_load(phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path) -> None:
    folder = ask(tmp_path / "job", tiny, "clock", **QUICK, minutes=2, minute=0.3)
    answer = told(adb.Settings(**tools), device(phone), folder)
    assert [minute["runs"] > 10 and minute["after"]["temperature"] == 29.3 for minute in answer["minutes"]] == [
        True
    ] * 2


def test_memory_is_told_by_one_program_only(
    phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path
) -> None:
    settings = adb.Settings(**tools)
    answer = told(settings, device(phone), ask(tmp_path / "job", tiny, "memory"))
    assert answer["memory"] == 2.5 * 2**20 and answer["arena"] is None and answer["arena_why"]
    answer = told(settings, device(phone), ask(tmp_path / "job", tiny, "memory", "onnx"))
    assert answer["memory"] is None and "whole process" in answer["why"]
    with pytest.raises(DeviceError, match=r"tells no outputs"):
        told(settings, device(phone), ask(tmp_path / "job", tiny, "predict", "onnx"))
    for verb in ("energy", "profile"):
        assert told(settings, device(phone), ask(tmp_path / "job", tiny, verb))["why"]


def test_a_throttled_phone_is_refused(phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path) -> None:
    phone.is_throttled(2)
    answer = told(adb.Settings(**tools), device(phone), ask(tmp_path / "job", tiny, "clock", **QUICK))
    assert refusal(answer) == "throttled" and answer["after"]["thermal"] == "moderate"
    rest = answer["rest"] | {"throttled": []}
    answer = told(adb.Settings(**tools), device(phone), ask(tmp_path / "job", tiny, "clock", **QUICK, rest=rest))
    assert answer["rested"] is False


def test_which_phone_is_meant(phone: phones.Pretend, tmp_path: Path) -> None:
    alone = Device(name="phone", reach=Choice(name="adb"))
    subprocess.run([_adb.package().adb_path(), "connect", phone.serial], capture_output=True, check=True)
    assert adb.session(alone).serial == phone.serial
    adb.leave(alone)
    with phones.phone(tmp_path / "other") as other:
        subprocess.run([_adb.package().adb_path(), "connect", other.serial], capture_output=True, check=True)
        with pytest.raises(Unreachable, match=rf"several phones: .*{other.port}.*example --at phone=127"):
            adb.session(alone)
        _adb.server().disconnect(other.serial)
    with pytest.raises(Unreachable, match=r"phone \(R5CX\) is not there; adb sees"):
        adb.session(alone.model_copy(update={"address": "R5CX"}))


def test_without_a_phone(server: None) -> None:
    for serial in [one.serial for one in _adb.server().list()]:
        _adb.server().disconnect(serial)
    with pytest.raises(Unreachable, match=r"adb sees no phone. Switch USB debugging on"):
        adb.session(Device(name="phone", reach=Choice(name="adb")))


def test_a_phone_that_does_not_trust_this_computer(server: None, tmp_path: Path) -> None:
    with phones.phone(tmp_path / "phone") as pretend:
        pretend.rule(authorized=False)
        with pytest.raises(Unreachable, match=r"it does not trust this computer.* Unlock it and allow USB debugging"):
            adb.session(device(pretend))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # adbutils leaves its socket open then
def test_a_phone_that_is_unplugged_in_mid_run(
    phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path
) -> None:
    folder = ask(tmp_path / "job", tiny, "clock", **QUICK)
    phone.rule(drop="--graph=model")
    with pytest.raises(Unreachable, match=r"was lost in mid-run.*Plug it in again; the same command goes on"):
        told(adb.Settings(**tools), device(phone), folder)
    assert not (folder / "result.json").exists()


def test_a_full_phone(phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path) -> None:
    folder = ask(tmp_path / "job", tiny, "clock", **QUICK)
    adb.session(device(phone))
    phone.rule(room=False)
    phones.script(phone.folder / "system/df", "echo Filesystem Used", "echo x 9 9 0 100% /")
    with pytest.raises(Unreachable, match=r"phone is full .*Free some space there; the same command goes on"):
        told(adb.Settings(**tools), device(phone), folder)


def test_programs_that_the_phone_cannot_run(phone: phones.Pretend, tmp_path: Path) -> None:
    other = phones.tool(tmp_path / "tools", "benchmark_model", machine="aarch64")
    text = tmp_path / "text"
    text.write_text("#!/bin/sh\n")
    cases = {
        str(other): "benchmark_model is for arm64-v8a, but the phone runs x86_64, x86",
        str(text): "is no program for Android",
        str(tmp_path / "none"): "cannot be read: No such file",
        "": "no benchmark_model is named. Write its path into EDGEKD_BENCHMARK_MODEL",
    }
    for path, why in cases.items():
        facts = adb.probe(adb.Settings(benchmark_model=path), device(phone))
        assert why in facts.missing["tflite"] and "tflite" not in facts.runtimes


def test_a_program_that_fails_or_hangs(
    phone: phones.Pretend, tools: dict[str, str], tmp_path: Path, tiny: Path
) -> None:
    folder = ask(tmp_path / "job", tiny, "clock", **QUICK)
    broken = phones.tool(tmp_path / "broken", "benchmark_model", run_by="echo ERROR: no such op; exit 3")
    with pytest.raises(DeviceError, match=r"benchmark_model on phone ended with 3\n    ERROR: no such op"):
        told(adb.Settings(benchmark_model=str(broken)), device(phone), folder)
    killed = phones.tool(tmp_path / "killed", "benchmark_model", run_by="kill -9 $$")
    with pytest.raises(DeviceError, match=r"was ended by signal 9"):
        told(adb.Settings(benchmark_model=str(killed)), device(phone), folder)
    slow = phones.tool(tmp_path / "slow", "benchmark_model", run_by="exec sleep 30")
    with pytest.raises(DeviceError, match=r"did not answer within 1 s"):
        told(adb.Settings(benchmark_model=str(slow)), device(phone), folder, timeout=1.0)
    wrong = adb.Settings(benchmark_model=str(broken))
    with pytest.raises(DeviceError, match=r"\n    ERROR: no such op"):
        told(wrong, device(phone), ask(tmp_path / "job", tiny, "predict"))


def test_one_command_at_a_time_measures_on_a_phone(phone: phones.Pretend) -> None:
    mine = adb.session(device(phone))
    mine.alone()
    waiting = threading.Thread(target=lambda: (_other(device(phone, "same")).alone(), order.append("other")))
    order: list[str] = []
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive() and not order
    order.append("mine")
    adb.leave(device(phone))
    waiting.join(10)
    assert order == ["mine", "other"]


def _other(there: Device) -> _adb.Phone:
    return adb.session(there)
