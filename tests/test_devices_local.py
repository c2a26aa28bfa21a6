import hashlib
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.devices import _jobs, local
from edgekd.errors import DeviceError
from edgekd.spec import Device
from tests import tiny as tiny_files

DEVICE, SETTINGS = Device(), local.Settings()


def run(folder: Path, program: str | None, timeout: float = 30.0, **request: Any) -> dict[str, Any]:
    """Run a job; `program` stands in for the device side where it is given."""
    (folder / "request.json").write_text(json.dumps(request))
    if program is not None:
        (folder / "runtimes.pyz").write_text(program)
    local.run(SETTINGS, DEVICE, folder, timeout)
    answer: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return answer


def onnx_job(tiny: Path, folder: Path, **more: Any) -> dict[str, Any]:
    np.save(folder / "image.npy", tiny_files.samples()["image"])
    (folder / "model.onnx").write_bytes((tiny / "image-fixed.onnx").read_bytes())
    request = {"runtime": "onnx", "model": "model.onnx", "threads": 1, "inputs": {"image": "image.npy"}}
    return request | {"signature": tiny_files.signature("image", 1)} | more


def test_the_app_has_the_same_bytes_each_time_and_every_file(tmp_path: Path) -> None:
    first, again = tmp_path / "a.pyz", tmp_path / "b.pyz"
    _jobs.zipapp(first)
    time.sleep(0.01)
    _jobs.zipapp(again)
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert {"__main__.py", "runtimes/__init__.py", "runtimes/job.py", "runtimes/tflite.py"} <= set(names)


def test_the_computer_is_called_by_its_processor() -> None:
    facts = local.probe(SETTINGS, Device())
    assert facts.name == f"this computer ({facts.processor})"
    assert facts.memory > 1 << 28


def test_a_real_job_runs_without_torch_and_leaves_nothing_in_the_home(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime and OpenVINO would leave telemetry files there."""
    home, folder = tmp_path / "home", tmp_path / "job"
    home.mkdir()
    folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    request = onnx_job(tiny, folder, verb="predict")
    assert run(folder, None, **request)["count"] == 7
    signature = {"signature": tiny_files.signature("image")}
    (folder / "model.openvino").symlink_to(tiny / "image-dynamic.openvino")
    assert run(folder, None, **{**request, **signature, "runtime": "openvino", "model": "model.openvino"})["count"] == 7
    assert list(home.rglob("*")) == []
    check = (
        "import json, sys\nsys.path.insert(0, '.app')\nfrom runtimes.job import main\nmain(['request.json'])\n"
        "found = [name for name in ('torch', 'edgekd', 'pydantic') if name in sys.modules]\n"
        "open('result.json', 'w').write(json.dumps({'found': found}))\n"
    )
    _jobs.zipapp(folder / ".app")
    assert run(folder, check, **request) == {"found": []}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "import os, signal\nprint('almost', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)",
            r"ended by SIGSEGV(.|\n)*almost",
        ),
        ("import os\nos.kill(os.getpid(), 9)", "ended by SIGKILL and left no result"),
        ("raise SystemExit(3)", "ended with status 3 and left no result"),
        ("print('bye')", r"ended with status 0 and left no result\n    bye"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("open('result.json', 'w').write('{\"err')", "ended with status 0 and left no result"),
        ("open('result.json', 'w').write('{\"error\": \"no model\"}')\nraise SystemExit(1)", "^no model$"),
    ],
)
def test_a_process_that_dies_is_explained(tmp_path: Path, program: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        run(tmp_path, program)


def test_an_answer_of_before_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"old": 1}')
    with pytest.raises(DeviceError, match="left no result"):
        run(tmp_path, "pass")


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    program = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"
    with pytest.raises(DeviceError, match="did not answer within 1 s and was ended"):
        run(tmp_path, program, timeout=1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_process_gets_little_and_stays_in_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "1")
    program = (
        "import json, os, sys\n"
        "told = {'env': dict(os.environ), 'group': os.getpgid(0), 'stdin': sys.stdin.read()}\n"
        "open('result.json', 'w').write(json.dumps(told))\n"
    )
    told = run(tmp_path, program, threads=3)
    assert told["env"]["OMP_NUM_THREADS"] == "3"
    assert told["env"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert "SECRET_TOKEN" not in told["env"]
    assert told["group"] == os.getpgid(0)
    assert told["stdin"] == ""


def test_a_corrupt_model_is_a_sentence(tiny: Path, tmp_path: Path) -> None:
    request = onnx_job(tiny, tmp_path, verb="memory")
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(DeviceError, match=r"^model\.onnx does not run in ONNX Runtime: ") as caught:
        run(tmp_path, None, **request)
    assert "Traceback" not in str(caught.value)


def test_a_missing_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DeviceError, match="python cannot be started: No such file"):
        run(tmp_path, None)


@pytest.mark.parametrize("verb", ["clock", "memory"])
def test_real_models_are_timed_and_weighed_in_their_own_process(tiny: Path, tmp_path: Path, verb: str) -> None:
    request = onnx_job(tiny, tmp_path, verb=verb, seconds=0.02, least=32, longest=1.0, most=64, longest_warmup=0.2)
    answer = run(tmp_path, None, **request)
    if verb == "clock":
        assert 32 <= len(answer["latencies"]) <= 64
        assert all(0 < value < 1 for value in answer["latencies"])
        assert answer["load"] > 0
        assert answer["first"] > 0
    elif Path("/proc/self/status").is_file():
        assert 1 << 18 < answer["memory"] < 64 << 20
        assert answer["load"] <= answer["memory"]
