"""What phones and the runtimes' own programs print, read: published logs, the words of their sources, and nonsense."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from edgekd.devices import _android, _bench
from edgekd.errors import DeviceError
from edgekd.statistics import QUANTILES
from tests.phones import BATTERY, THERMAL

# As the public sources print it (tflite/tools/benchmark/benchmark_model.cc, xla/tsl/util/stats_calculator.h).
NEW = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [4]
INFO: Graph: [model]
INFO: Initialized session in 20.283ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=2 first=339304 curr=266324 min=266324 max=339304 avg=302814 std=36490 p5=266324 median=339304 p95=339304
INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=266100 curr=266900 min=265800 max=1.2e+06 avg=266473 std=900 p5=266000 median=266400 p95=268000
INFO: Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, Inference (avg): 266473
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
INFO: Memory footprint delta from the start of the tool (MB): init=6.7 overall=63.4
"""
# Published at https://github.com/tensorflow/tensorflow/issues/42507 (2020).
PUBLISHED = """STARTING!
Num threads: [4]
Loaded model /data/local/tmp/espcn_harmonic_2x_slim_w_cl.tflite
Initialized session in 0.855ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450

Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference (avg): 33209.4
"""


def test_a_session_of_benchmark_model() -> None:
    told = _bench.tflite_read(NEW)
    assert (told.runs, told.warmup, told.load, told.first) == (50, 2, 0.020283, 0.339304)
    assert told.seconds == pytest.approx(50 * 0.266473) and told.settled is False
    assert _bench.tflite_memory(NEW) == int(63.4 * 2**20) and _bench.tflite_memory(PUBLISHED) is None
    found = {name: float(np.quantile(told.latencies, share)) for name, share in QUANTILES.items()}
    assert found == pytest.approx({"quiet": 0.266, "p50": 0.2664, "p90": 0.268, "p99": 1.2})


def test_one_that_tells_no_percentiles_is_too_old() -> None:
    with pytest.raises(DeviceError, match="tells no percentiles, as benchmark_model does since 2024"):
        _bench.tflite_read(PUBLISHED)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "printed no timings"),
        ("ERROR: Failed to load model\nbad\n", "printed no timings\n    ERROR: Failed to load model\n    bad"),
        (NEW.replace("p5=266000", "p5=0"), "timings that are none"),
        (NEW.replace("median=266400", "median=9e9"), "timings that are none"),
    ],
)
def test_what_is_no_session(text: str, why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        _bench.tflite_read(text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 10**7), min_size=20, max_size=400))
def test_no_quantile_that_edgekd_tells_is_below_the_runs_own(runs: list[int]) -> None:
    """The latencies that stand for all runs are a bound: a budget that they keep is kept."""
    ordered = sorted(runs)
    places = {f"p{q}" if q != 50 else "median": ordered[len(runs) * q // 100] for q in (5, 50, 95)}
    line = f"count={len(runs)} first=1 curr=1 min={ordered[0]} max={ordered[-1]} avg={np.mean(runs):.6f} std=1 "
    line += " ".join(f"{name}={value}" for name, value in places.items())
    told = _bench.tflite_read(f"{line}\nInference timings in us: Init: 1, First inference: 1, Warmup (avg): 1")
    for share in QUANTILES.values():
        rank = max(0, int(np.ceil(share * len(runs))) - 1)
        assert np.quantile(told.latencies, share) >= ordered[rank] * 1e-6 * (1 - 1e-9)


def test_a_session_of_onnxruntime_perf_test() -> None:
    text = "Session creation time cost: 0.0123 s\nFirst inference time cost: 45 ms\nTotal inference requests: 100\n"
    rows = "\n".join(f"model,{0.010 + 0.0001 * (i < 10)},1234,50,{i}" for i in range(100)) + "\n"
    told = _bench.onnx_read(text, rows, warm=0.2)
    assert (told.load, told.first) == (0.0123, pytest.approx(0.045))
    assert told.warmup + told.runs == 100 and 15 <= told.warmup <= 25 and told.settled
    assert told.seconds == pytest.approx(sum(told.latencies)) and set(told.latencies) == {0.01}
    for wrong in ("", "model,fast,1,2,3\n", "model,0,1,2,3\n", "model,inf,1,2,3\n"):
        with pytest.raises(DeviceError, match="onnxruntime_perf_test"):
            _bench.onnx_read("bad model", wrong, warm=0.2)


@pytest.mark.parametrize("name", sorted(_bench.TYPES))
def test_inputs_are_written_as_onnx_itself_reads_them(name: str) -> None:
    array = (np.arange(600) % 7).astype(name).reshape(2, 300)
    tensor = onnx.TensorProto.FromString(_bench.tensor_proto("a name: é", array))
    found = numpy_helper.to_array(tensor)
    assert tensor.name == "a name: é" and found.dtype == array.dtype and np.array_equal(found, array)


def test_inputs_of_other_types_are_refused() -> None:
    with pytest.raises(DeviceError, match="cannot be given complex64 inputs"):
        _bench.tensor_proto("x", np.zeros(2, np.complex64))


def sensed(**parts: str) -> dict[str, object]:
    text = "".join(f"={name}\r\n{told}\r\n" for name, told in parts.items())
    return _android.reading(text)


def test_how_a_phone_fares() -> None:
    now = sensed(
        governor="schedutil\nschedutil",
        current="300000\n2850000",
        ceiling="1704000\n2914000",
        load="1.25 1.0 0.9 1/800 123",
        battery=BATTERY,
        thermal=THERMAL.format(status=0),
    )
    assert (now["temperature"], now["throttled"], now["thermal"]) == (29.3, [], "none")
    assert (now["battery"], now["charge"], now["load"], now["ceiling"]) == (False, 83, 1.25, 2.914e9)
    assert now["governor"] == "schedutil" and now["frequency"] is None, "the clock of a core that sleeps says nothing"
    fixed = sensed(governor="performance", current="300000\n2850000")
    assert fixed["frequency"] == 2.85e9
    hot = sensed(thermal=THERMAL.format(status=3), battery=BATTERY.replace("USB powered: true", "USB powered: false"))
    assert (hot["throttled"], hot["thermal"], hot["battery"]) == (["throttled"], "severe", True)


def test_a_phone_that_tells_nothing() -> None:
    denied = "cat: /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor: Permission denied"
    now = sensed(
        governor=denied, load="cat: /proc/loadavg: Permission denied", battery="Can't find service", thermal=""
    )
    assert {value for name, value in now.items()} == {None}
    assert _android.reading("")["temperature"] is None
    only = sensed(battery=BATTERY)
    assert only["temperature"] == 26.8, "without other sensors that of the battery"


def test_names_of_a_phone_are_plain_text() -> None:
    text = "=properties\n[ro.product.manufacturer]: [Goo\x1b[31mgle]\n[ro.product.model]: [Pixel 8]\n=cores\n0-8\n"
    facts = _android.facts(text, "serial", "")
    assert facts["model"].endswith("Pixel 8") and "\x1b" not in facts["model"] and facts["cores"] == 9
    assert _android.facts("", "serial", "")["model"] == "an Android phone"
    same = _android.facts(
        "=properties\n[ro.product.manufacturer]: [OnePlus]\n[ro.product.model]: [OnePlus 12]", "s", ""
    )
    assert same["model"] == "OnePlus 12"


@pytest.mark.parametrize(("name", "value"), [("ro.kernel.qemu", "1"), ("ro.boot.qemu", "1"), ("ro.hardware", "ranchu")])
def test_an_emulator_is_known(name: str, value: str) -> None:
    assert _android.facts(f"=properties\n[{name}]: [{value}]", "serial", "")["emulated"]
