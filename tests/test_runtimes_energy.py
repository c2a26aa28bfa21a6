"""Joules by made-up meters: counters and chips below a made-up /sys, and a logger's file."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.runtimes import energy, meter_log, meter_powercap, sampling, sensors
from edgekd.runtimes.fault import Fault

SPEC = {"name": "x", "shape": [-1, 1], "dtype": "float32"}
IDLE, BUSY = 2.0, 5.0
FULL = 1_000_000


class World:
    """A device on a clock of its own: 2 W when idle, 5 W while the model runs, an inference a millisecond.

    What its power is stands in `log`, a line each `pause` seconds.
    """

    notes, batch = {}, 1

    def __init__(self) -> None:
        self.now, self.pause, self.log, self._due = 1000.0, 0.001, ["seconds,watts"], 1000.0

    def passes(self, seconds: float, watts: float = IDLE) -> None:
        self.now += seconds
        while self._due <= self.now:
            self.log.append(f"{self._due:.6f},{watts}")
            self._due += self.pause

    def feed(self, arrays: Any) -> None:
        pass

    def invoke(self) -> None:
        self.passes(0.001, BUSY)

    def load(self, path: Path, threads: int, signature: dict[str, Any], batch: int) -> "World":
        return self


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    found = World()
    clock = SimpleNamespace(time=lambda: found.now, perf_counter=lambda: found.now, sleep=found.passes)
    monkeypatch.setattr(energy, "runtime", lambda name: found)
    monkeypatch.setattr(energy, "time", clock)
    monkeypatch.setattr(sensors, "ROOT", tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((1, 1), np.float32))
    return found


@pytest.fixture
def logged(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that the world's logger writes, up to date whenever it is read."""
    log, honest = tmp_path / "power.csv", meter_log.Meter._readings
    log.write_text("")

    def readings(meter: meter_log.Meter) -> Any:
        log.write_text("\n".join([*world.log, "12"]))
        return honest(meter)

    monkeypatch.setattr(meter_log.Meter, "_readings", readings)
    return log


def ask(folder: Path, **more: Any) -> dict[str, Any]:
    request = {"runtime": "fake", "model": "m", "threads": 1, "inputs": {"x": "x.npy"}, "seconds": 0.5}
    return energy.run(request | {"signature": {"inputs": [SPEC], "outputs": [SPEC]}} | more, folder)


def test_without_a_meter_it_is_null_with_every_reason(world: World, tmp_path: Path) -> None:
    found = ask(tmp_path)
    assert found["joules"] is None
    for reason in ("no energy counters (powercap)", "no power monitor (INA219", "no log of a power meter was named"):
        assert reason in found["why"]
    assert "there is no meter 'x'; choose from: hwmon, log, powercap" in ask(tmp_path, meter={"name": "x"})["why"]


def test_a_logger_beside_the_board_is_read(logged: Path, tmp_path: Path) -> None:
    found = ask(tmp_path, meter={"name": "log", "file": str(logged)})
    assert found["source"] == "power.csv" and found["rate"] == pytest.approx(1000, rel=0.01)
    assert found["idle"] == pytest.approx(IDLE, rel=0.01)
    assert found["busy"] == pytest.approx(BUSY, rel=0.01)
    assert found["inferences"] == pytest.approx(500, abs=2)
    assert found["joules"] == pytest.approx((BUSY - IDLE) * 0.001, rel=0.01)


@pytest.mark.parametrize(("rate", "kept"), [(340, False), (360, True), (10, False)])
def test_a_slow_meter_is_refused(world: World, logged: Path, tmp_path: Path, rate: int, kept: bool) -> None:
    world.pause = 1 / rate
    found = ask(tmp_path, meter={"name": "log", "file": str(logged)})
    assert (found["joules"] is not None) is kept
    if not kept:
        assert found["why"].startswith("power.csv gives ") and found["why"].endswith("and 350 are the least")


def test_a_log_that_is_silent_or_not_there_is_told(world: World, tmp_path: Path) -> None:
    silent = tmp_path / "silent.csv"
    silent.write_text("1.0,2.0\n")
    assert "the meter gave 0 readings" in ask(tmp_path, meter={"name": "log", "file": str(silent)})["why"]
    assert "is not there" in ask(tmp_path, meter={"name": "log", "file": str(tmp_path / "none")})["why"]


class Board:
    """A device on the real clock whose counters tell 2 W when idle and 5 W while the model runs."""

    notes, batch = {}, 1

    def __init__(self) -> None:
        self._joules, self._last, self._working = 0.0, time.perf_counter(), False
        self._turn = threading.Lock()

    def joules(self, working: bool | None = None) -> float:
        """What was spent so far; from now on it works or not."""
        with self._turn:
            now = time.perf_counter()
            self._joules += (BUSY if self._working else IDLE) * (now - self._last)
            self._last = now
            self._working = self._working if working is None else working
            return self._joules

    def feed(self, arrays: Any) -> None:
        pass

    def invoke(self) -> None:
        self.joules(working=True)
        time.sleep(0.001)
        self.joules(working=False)

    def load(self, path: Path, threads: int, signature: dict[str, Any], batch: int) -> "Board":
        return self


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Board:
    found = Board()
    monkeypatch.setattr(energy, "runtime", lambda name: found)
    monkeypatch.setattr(sensors, "ROOT", tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((1, 1), np.float32))
    return found


def test_a_power_monitor_on_the_board_gives_no_more_readings_than_it_makes(real: Board, tmp_path: Path) -> None:
    chip = tmp_path / "sys/class/hwmon/hwmon2"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina226\n")
    (chip / "power1_input").write_text("2500000\n")
    (chip / "update_interval").write_text("35\n")
    found = ask(tmp_path)
    assert found["why"].startswith("ina226 (hwmon) gives ") and found["why"].endswith("and 350 are the least")
    assert found["rate"] <= 1000 / 35
    (chip / "update_interval").write_text("1\n")
    found = ask(tmp_path)
    if found["rate"] >= 350:  # a machine under load may not read so often
        assert found["idle"] == found["busy"] == pytest.approx(2.5)
        assert found["joules"] == pytest.approx(0.0, abs=1e-6)
    (chip / "name").write_text("k10temp\n")
    assert ask(tmp_path)["joules"] is None


def counters(root: Path, *values: int) -> list[Path]:
    zones = [root / f"sys/class/powercap/intel-rapl:{i}" for i in range(len(values))]
    for i, zone in enumerate(zones):
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "max_energy_range_uj").write_text(f"{FULL}\n")
        (zone / "energy_uj").write_text(f"{values[i]}\n")
    (root / "sys/class/powercap/intel-rapl:0:0").mkdir(exist_ok=True)  # a part of the first, which must not count twice
    return zones


@given(st.lists(st.integers(1, FULL - 1), min_size=1, max_size=30), st.integers(0, FULL - 1))
def test_a_counter_that_begins_again_loses_nothing(steps: list[int], start: int) -> None:
    zone = SimpleNamespace(value=start)
    meter = meter_powercap.Meter.__new__(meter_powercap.Meter)
    meter._files, meter._full, meter._last, meter._sum = [Path()], [FULL], [start], 0
    meter._count = lambda i: zone.value  # type: ignore[method-assign]
    for step in steps:
        zone.value = (zone.value + step) % FULL
        joules = meter._read()
    assert joules == pytest.approx(sum(steps) * 1e-6)


def test_counters_of_the_processor_are_read_by_their_changes(
    real: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two packages, each with half of the joules; they begin again at zero every half second or so."""
    zones = counters(tmp_path, 0, 0)
    meter = meter_powercap.find({})
    honest = meter_powercap.text

    def text(path: Path) -> str | None:
        if path.name != "energy_uj":
            return honest(path)
        return str(int(real.joules() * 1e6 / 2) % FULL)

    monkeypatch.setattr(meter_powercap, "text", text)
    monkeypatch.setattr(energy.importlib, "import_module", lambda *_: SimpleNamespace(find=lambda _: meter))
    found = ask(tmp_path)
    assert len(zones) == len(meter._files) == 2
    if found["joules"] is None:  # a machine under load may not read so often
        assert "readings a second" in found["why"]
    else:
        assert found["idle"] == pytest.approx(IDLE, rel=0.05)
        assert found["joules"] == pytest.approx((found["busy"] - IDLE) * 0.5 / found["inferences"], rel=0.2)


def test_counters_that_must_not_be_read_or_stand_still_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "ROOT", tmp_path)
    (zone,) = counters(tmp_path, 7)
    meter = meter_powercap.find({})
    meter._sampler.readings += [(0.1 * i, 3.0) for i in range(10)]
    with pytest.raises(Fault, match="do not change"):
        meter.joules(0.0, 1.0)
    (zone / "energy_uj").unlink()
    with pytest.raises(Fault, match="chmod a"):
        meter_powercap.find({})


@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=20))
def test_an_integral_lies_between_the_least_and_the_most_power(watts: list[float]) -> None:
    readings = [(1.0 + i / len(watts), value) for i, value in enumerate(watts)]
    found = sampling.integral(readings, 1.0, 2.0)
    assert min(watts) - 1e-9 <= found <= max(watts) + 1e-9
    steady = [(at, 4.0) for at, _ in readings]
    assert sampling.integral(steady, 1.0, 2.0) == pytest.approx(4.0)


def test_a_line_that_is_being_written_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "power.csv"
    log.write_text("# t,w\n1.0,2.0\nbroken\n2.0,4.0\n3.0,9")
    meter = meter_log.find({"file": str(log)})
    assert meter.joules(1.0, 2.0) == (pytest.approx(3.0), 2.0)
