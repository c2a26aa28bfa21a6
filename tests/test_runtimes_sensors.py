"""Readings from a made-up /sys, a made-up vcgencmd on the PATH, and what macOS prints."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekd.runtimes import sensors
from tests.boards import board, vcgencmd


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A device with no sensor at all."""
    monkeypatch.setattr(sensors, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def test_sensors_that_are_not_there_are_none(root: Path) -> None:
    load = sensors.reading().pop("load")
    assert load is None or load >= 0
    assert {value for name, value in sensors.reading().items() if name != "load"} == {None}
    found = sensors.counters()
    assert (found["steal"], found["waited"], found["busy"]) == (None, None, None)
    assert sensors.cool_down({"temperature": 40.0, "ceiling": 1e9}, 60)[0] < 0.5, "nothing to wait for"


def test_linux_tells_by_files(root: Path) -> None:
    board(root, temperature=61.5, clock=1.5e9, ceiling=1.8e9, governor="schedutil")
    found = sensors.reading()
    assert (found["temperature"], found["frequency"], found["ceiling"]) == (61.5, 1.5e9, 1.8e9)
    assert found["governor"] == "schedutil"
    assert found["pressure"] == 0.0125
    assert found["throttlings"] == 7
    assert found["battery"] is False
    ticks = os.sysconf("SC_CLK_TCK")
    counted = sensors.counters()
    assert (counted["steal"], counted["waited"], counted["busy"]) == (8 / ticks, 2.5, (1 + 2 + 3 + 6 + 7) / ticks)


@pytest.mark.parametrize(
    ("bits", "now", "before"),
    [
        ("0x0", [], []),
        ("0x50005", ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        ("0xe0000", [], ["clock capped", "throttled", "soft temperature limit"]),
        ("0x8", ["soft temperature limit"], []),
    ],
)
def test_a_raspberry_pi_tells_what_throttles_it(root: Path, bits: str, now: list[str], before: list[str]) -> None:
    vcgencmd(root / "bin", bits, clock=2_400_033_792, temperature=48.3)
    assert sensors.throttled() == (now, before)
    assert sensors.frequency() == 2_400_033_792
    assert sensors.temperature() == 48.3


def test_a_vcgencmd_that_fails_tells_nothing(root: Path) -> None:
    program = root / "bin/vcgencmd"
    program.write_text("#!/bin/sh\necho VCHI initialization failed\nexit 255\n")
    program.chmod(0o755)
    assert sensors.throttled() == (None, None)
    assert sensors.frequency() is None


def test_without_vcgencmd_the_kernel_tells_of_under_voltage(root: Path) -> None:
    hwmon = root / "sys/class/hwmon/hwmon1"
    hwmon.mkdir(parents=True)
    (hwmon / "name").write_text("rpi_volt\n")
    (hwmon / "in0_lcrit_alarm").write_text("1\n")
    assert sensors.throttled() == (["under-voltage"], None)
    (hwmon / "in0_lcrit_alarm").write_text("0\n")
    assert sensors.throttled() == ([], None)


@pytest.mark.parametrize(
    ("level", "limit", "held"),
    [("0", "", []), ("2", "", ["throttled"]), ("0", "CPU_Speed_Limit \t= 60", ["throttled"])],
)
def test_macos_tells_without_root(
    root: Path, monkeypatch: pytest.MonkeyPatch, level: str, limit: str, held: list[str]
) -> None:
    said = {
        "notifyutil": f"com.apple.system.thermalpressurelevel {level}\n",
        "therm": f"Note: No thermal warning level has been recorded\n{limit}\n",
        "batt": "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=1) 80%; discharging\n",
    }

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        name = Path(command[0]).name
        return subprocess.CompletedProcess(command, 0, stdout=said[command[-1] if name == "pmset" else name])

    monkeypatch.setattr(sensors.sys, "platform", "darwin")
    monkeypatch.setattr(sensors.shutil, "which", lambda name: None if name == "vcgencmd" else f"/usr/bin/{name}")
    monkeypatch.setattr(sensors.subprocess, "run", run)
    assert sensors.throttled() == (held, None)
    assert sensors.battery() is True


@pytest.mark.parametrize("held", ["heat", "clock", "bits"])
def test_cooling_down_waits_for_heat_for_the_clock_and_for_the_firmware(
    root: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    def state(hot: bool) -> None:
        warm, slow = hot and held == "heat", hot and held == "clock"
        board(root, temperature=70.0 if warm else 45.0, ceiling=1.0e9 if slow else 1.8e9)
        vcgencmd(root / "bin", "0x4" if hot and held == "bits" else "0x0", clock=0, temperature=0)

    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        state(hot=False)

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(sensors, "time", clock)
    state(hot=False)
    rest = sensors.reading()
    assert sensors.cool_down(rest, 60)[1] and not slept
    state(hot=True)
    assert sensors.cool_down(rest, 60)[1] and len(slept) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_counters_do_not_run_backwards() -> None:
    before, after = sensors.counters(), sensors.counters()
    for name, value in before.items():
        assert value is None or after[name] >= value >= 0
