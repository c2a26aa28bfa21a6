"""Phones by adb as users meet them: doctor, bench on two at once, a whole build, and one of arm64."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd.devices import adb
from tests import board, phones
from tests import test_devices_adb as device
from tests import tiny as tiny_files
from tests.e2e import test_app_python, toy

pytest.importorskip("adbutils")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The adb server, and what of the environment leads commands to it."""
    folder = tmp_path_factory.mktemp("adb")
    with (
        pytest.MonkeyPatch.context() as patch,
        phones.adb(patch, folder) as port,
        phones.quick_tools(folder / "tools") as tools,
    ):
        named = {adb.WHERE[format]: str(tools[name]) for format, name in adb.TOOLS.items()}
        yield {"ANDROID_ADB_SERVER_PORT": str(port), "EDGEKD_LOCKS": str(folder / "locks"), **named}


@pytest.fixture
def phone(server: dict[str, str], tmp_path: Path) -> Iterator[phones.Pretend]:
    with phones.phone(tmp_path / "phone") as pretend:
        yield pretend


def ask(home: Path, server: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return toy.ask(*arguments, home=home, env=toy.environment(home) | server, timeout=900)


def test_doctor_looks_at_a_phone(phone: phones.Pretend, server: dict[str, str], tmp_path: Path) -> None:
    done = ask(tmp_path, server, "doctor", "--at", f"phone=adb:{phone.serial}")
    assert done.returncode == 0, done.stderr
    assert "Pretend Stand-in 1, Android 16 (API 36)" in done.stdout and "thermal status none" in done.stdout
    phone.is_throttled(3)
    without = {name: value for name, value in server.items() if name != adb.WHERE["tflite"]}
    done = ask(tmp_path, without, "doctor", "--at", f"phone=adb:{phone.serial}")
    assert done.returncode == 1 and "it is throttled, so that nothing that is timed now counts. Let it" in done.stdout
    assert "Download android_aarch64_benchmark_model" in done.stdout and adb.WHERE["tflite"] in done.stdout
    done = ask(tmp_path, server, "doctor", "--at", f"phone=adb:{phone.serial}", "--provision")
    assert done.returncode == 2 and "--provision: no package has what phone needs" in done.stderr
    assert device.emptied(phone)


def test_two_phones_at_once_give_one_table(
    phone: phones.Pretend, server: dict[str, str], tmp_path: Path, tiny: Path
) -> None:
    with phones.phone(tmp_path / "other", {"ro.product.model": "Stand-in 2"}) as other:
        at = ("--at", f"one=adb:{phone.serial}", "--at", f"two=adb:{other.serial}", "--at", "gone=adb:R5CX")
        files = [str(tiny / f"image-dynamic.{format}") for format in ("tflite", "onnx")]
        done = ask(tmp_path, server, "bench", *files, *at, "--bench", "quick")
        assert done.returncode == 4, done.stderr
        header, *rows = [line for line in done.stdout.splitlines() if not line.startswith("note: ")]
        assert header.split() == ["artifact", "on", "p50", "p90", "p99", "memory"] and len(rows) == 6
        assert sum("Stand-in 1" in row and "µs" in row for row in rows) == 2
        assert sum("Stand-in 2" in row and "µs" in row for row in rows) == 2
        assert sum("gone" in row and "not measured" in row for row in rows) == 2
        assert "gone (R5CX) is not there; adb sees 127.0.0.1:" in done.stdout
        assert "what stands as p90 is its p95" in done.stdout
        assert device.emptied(phone) and device.emptied(other)


def test_a_build_for_a_phone(finished: Path, phone: phones.Pretend, server: dict[str, str], tmp_path: Path) -> None:
    """It is searched, timed and judged there; what was not asked of it before it was unplugged is status 4."""
    home = tmp_path / "home"
    toy.copy(finished / "store", home)
    build = ("build", str(finished / "task/toy.toml"), "--precision", "float32", "--max-params", "2k")
    build += (
        "--bench",
        "quick",
        "--target",
        "tflite@android",
        "--at",
        f"android={phone.serial}",
        "--out",
        str(home / "run"),
    )
    phone.rule(drop="--min_secs")
    done = ask(home, server, *build)
    assert done.returncode == 4 and "was lost in mid-run" in done.stderr, done.stderr
    phone.rule()
    assert device.emptied(phone)
    done = ask(home, server, *build)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [row for row in toy.report(home)["rows"] if row["role"] == "student"]
    assert row["measurement"]["device"]["model"] == "Pretend Stand-in 1"
    assert row["measurement"]["latency"]["p90"] < 1 and "its p95" in row["measurement"]["latency"]["why"]
    assert device.emptied(phone)
    done = ask(home, server, "build", build[1], "--target", "onnx@android", "--at", f"android={phone.serial}")
    assert done.returncode == 2 and "onnx@android cannot be judged" in done.stderr


def test_programs_of_arm64_run_there(server: dict[str, str], tmp_path: Path, tiny: Path) -> None:
    """The real LiteRT for arm64 computes what numpy says; its seconds are an emulator's, and nobody is told them."""
    if board.absent():
        pytest.skip(board.absent())
    folder = tmp_path / "phone"
    with board.alone():
        root = board.root()
        with phones.phone(folder, {"ro.product.cpu.abilist": "arm64-v8a", "ro.boot.qemu": "1"}, root) as pretend:
            (tmp_path / "requirements.txt").write_text("ai-edge-litert==2.3.0\nnumpy\n")
            test_app_python.fetch(tmp_path, folder / "site")
            (folder / "phone_tools.py").write_bytes((phones.TESTS / "phone_tools.py").read_bytes())
            run_by = 'exec python3 /board/phone_tools.py benchmark_model "$@"'
            program = phones.tool(folder / "tools", "benchmark_model", "aarch64", run_by, "/board/tools")
            settings = adb.Settings(benchmark_model=str(program))
            there = device.device(pretend)
            facts = adb.probe(settings, there)
            assert facts.emulated == "it is an Android emulator" and "tflite" in facts.runtimes
            assert "EMULATED" in facts.name
            job = device.ask(tmp_path / "job", tiny, "predict")
            answer = device.told(settings, there, job, timeout=600.0)
            wanted = tiny_files.image_net(
                device.preprocess.prepare(tiny_files.samples()["image"], tiny_files.PREPROCESS)
            )
            np.testing.assert_allclose(np.load(job / answer["outputs"]["logits"]), wanted, atol=1e-4)
            adb.leave(there)
            environment = server | {adb.WHERE["tflite"]: str(program)}
            file = str(tiny / "image-dynamic.tflite")
            done = ask(tmp_path / "home", environment, "bench", file, "--at", f"p=adb:{pretend.serial}", "--json")
            assert done.returncode == 4 and json.loads(done.stdout)["measurement"]["basis"] == "not measured"
