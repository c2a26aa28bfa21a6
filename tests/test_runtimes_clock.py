import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.runtimes import clock, sensors

AUTO = {"seconds": 0.05, "least": 20, "longest": 1.0, "most": 64}


class Model:
    """Sleeps as told; the first run is slower, and what it was fed is recorded."""

    notes: dict[str, Any] = {"kind": "fake"}

    def __init__(self, seconds: float, batch: int = 1, jitter: bool = False) -> None:
        self.batch, self._seconds, self._jitter, self.runs = batch, seconds, jitter, 0
        self.fed: list[Any] = []

    def feed(self, arrays: Any) -> None:
        self.fed.append(arrays[0][:, 0].tolist())
        time.sleep(0.0002)  # not to be counted

    def invoke(self) -> int | None:
        self.runs += 1
        slow = 20 if self.runs == 1 else 1 + self.runs % 2 * 3 * self._jitter * (self.runs // 16 % 2)
        end = time.perf_counter() + self._seconds * slow
        while time.perf_counter() < end:
            pass
        return None


class Runtime:
    def __init__(self, model: Model) -> None:
        self._model = model

    def version(self) -> str:
        return "1.2"

    def load(self, path: Path, threads: int, signature: dict[str, Any], batch: int) -> Model:
        time.sleep(0.01)
        return self._model


def session(monkeypatch: pytest.MonkeyPatch, folder: Path, model: Model, **more: Any) -> dict[str, Any]:
    monkeypatch.setattr(clock, "runtime", lambda name: Runtime(model))
    np.save(folder / "x.npy", np.arange(3, dtype=np.float32)[:, None])
    spec = {"name": "x", "shape": [-1, 1], "dtype": "float32"}
    request = {"runtime": "fake", "model": "m", "threads": 1, "inputs": {"x": "x.npy"}}
    return clock.run(request | {"signature": {"inputs": [spec], "outputs": [spec]}} | more, folder)


def test_a_runtime_that_tells_what_a_run_took_is_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Telling(Model):
        def invoke(self) -> int:
            super().invoke()
            return 123_000

    found = session(monkeypatch, tmp_path, Telling(0.0003), runs=8)
    assert found["latencies"] == [0.000123] * 8 and found["first"] == 0.000123


def test_only_the_inference_is_timed_and_load_and_first_stand_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = session(monkeypatch, tmp_path, Model(0.0003), **AUTO)
    assert found["load"] >= 0.01
    assert found["first"] >= 0.006
    assert 0.0003 <= np.quantile(found["latencies"], 0.2) < 0.0005  # feeding takes another 0.0002
    assert len(found["latencies"]) == found["runs"]
    assert found["runs"] * found["stride"] >= AUTO["least"]
    assert found["version"] == "1.2"
    assert found["notes"] == {"kind": "fake"}


def test_a_session_lasts_as_long_as_it_shall_with_its_feeding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Feeding takes five times as long as the inference, and counts towards the seconds of a session."""
    found = session(monkeypatch, tmp_path, Model(0.00004), **AUTO | {"least": 1, "seconds": 0.2})
    assert found["runs"] * found["stride"] <= 0.2 / 0.0002


def test_real_inputs_take_turns_in_warm_up_and_timing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = Model(0.0002)
    found = session(monkeypatch, tmp_path, model, runs=7, stride=1)
    assert model.fed[-7:] == [[float(i % 3)] for i in range(7)]
    assert model.fed[1:4] == [[0.0], [1.0], [2.0]]
    assert found["warmup"] == len(model.fed) - 1 - 7


def test_every_stride_th_run_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = Model(0.0001)
    found = session(monkeypatch, tmp_path, model, runs=10, stride=3)
    assert len(found["latencies"]) == 10
    assert model.runs == 1 + found["warmup"] + 30


def test_a_batch_is_filled_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = Model(0.0001, batch=2)
    found = session(monkeypatch, tmp_path, model, runs=2)
    assert model.fed[-2:] == [[0.0, 1.0], [2.0, 2.0]]
    assert found["batch"] == 2


def test_a_warm_up_that_never_settles_ends_in_time_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "AGREE", -1.0)
    found = session(monkeypatch, tmp_path, Model(0.001), runs=2, longest_warmup=0.2)
    assert not found["settled"]
    assert found["warmup"] * 0.001 < 0.3


def test_a_slow_model_is_not_run_for_a_whole_window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = session(monkeypatch, tmp_path, Model(0.02), runs=2, longest_warmup=0.05)
    assert found["warmup"] <= 4


def test_sensors_are_read_before_and_after(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = session(monkeypatch, tmp_path, Model(0.0001), runs=2)
    assert set(found["before"]) == set(found["after"]) == set(sensors.reading()) | set(sensors.counters())
    assert set(found["rest"]) == set(sensors.reading())
    assert found["switches"] >= 0
    assert found["rested"] and found["waited"] < 0.2, "there is nothing to wait for"
    assert found["affinity"] is None or found["affinity"]
    assert found["kernel"].split()[0] in ("Linux", "Darwin")


def test_a_session_waits_until_the_device_is_as_cool_as_at_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("61000\n")
    monkeypatch.setattr(sensors, "ROOT", tmp_path)
    monkeypatch.setattr(sensors.time, "sleep", lambda _: (zone / "temp").write_text("47000\n"))
    rest = {"temperature": 46.0, "ceiling": None}
    found = session(monkeypatch, tmp_path, Model(0.0001), runs=2, rest=rest, cooling=30.0)
    assert found["rested"] and found["rest"]["temperature"] == 47.0
    (zone / "temp").write_text("61000\n")
    monkeypatch.setattr(sensors.time, "sleep", lambda _: None)
    found = session(monkeypatch, tmp_path, Model(0.0001), runs=2, rest=rest, cooling=0.05)
    assert not found["rested"] and found["waited"] < 1.0


def test_sustained_load_is_told_by_the_minute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = Model(0.0005)
    found = session(monkeypatch, tmp_path, model, minutes=3, minute=0.05, most=20)["minutes"]
    assert len(found) == 3
    assert sum(one["runs"] for one in found) + 1 < model.runs
    for one in found:
        assert one["runs"] * 0.0005 < 0.2 and 1 <= len(one["latencies"]) <= 20
        assert min(one["latencies"]) >= 0.0005
        assert set(one["after"]) == set(sensors.reading())


@given(typical=st.floats(1e-6, 20), least=st.integers(1, 500), most=st.integers(100, 2000))
def test_runs_are_enough_but_bounded_in_time_and_number(typical: float, least: int, most: int) -> None:
    request = {"seconds": 0.4, "least": least, "longest": 8.0, "most": most}
    runs, stride = clock.choose(typical, request)
    total = runs * stride
    assert 1 <= runs <= most
    assert total * typical <= 8.0 + 2 * stride * typical or total == 2
    assert (total >= least and total * typical >= 0.4 - 1e-9) or (total + 1) * typical > 8.0


def test_runs_that_are_given_are_not_chosen() -> None:
    assert clock.choose(1.0, {"runs": 12, "stride": 5, **AUTO}) == (12, 5)
