"""Time a model: load, first inference, warm-up until steady, then timed runs with real inputs. Nothing is removed."""

from __future__ import annotations

import array
import gc
import math
import os
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from . import sensors
from .job import runtime
from .tensors import Array, Samples, pad

# A window of the warm-up has so many runs and seconds; the warm-up ends when two windows in a row have medians that
# differ by at most AGREE of one.
WINDOW_RUNS, WINDOW_SECONDS, AGREE, LONGEST_WARMUP = 16, 0.04, 0.05, 2.0


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Time one session, once the device is as cool as at `rest` (an earlier session's; `cooling` seconds at most).

    Either `runs` and `stride` are given, or they are chosen after the warm-up so that the session lasts `seconds`, has
    at least `least` runs, but does not exceed `longest` seconds; of many runs every stride-th is kept, at most `most`.
    With `minutes`, that many minutes of sustained load are timed instead. All times in the result are seconds.
    """
    waited, rested = sensors.cool_down(request.get("rest"), float(request.get("cooling", 0)))
    rest = sensors.reading()
    kind = runtime(request["runtime"])
    samples = Samples(request, folder)
    started = time.perf_counter_ns()
    model = kind.load(folder / request["model"], request["threads"], request["signature"], 1)
    load = time.perf_counter_ns() - started
    inputs = _batches(samples, model.batch)
    first = _timed(model, inputs, 1)[0]
    warm, settled = _warm_up(model, inputs, float(request.get("longest_warmup", LONGEST_WARMUP)))
    typical = statistics.median(warm[-WINDOW_RUNS:]) * 1e-9
    typical = typical if "runs" in request else _pace(model, inputs, typical)
    told = {
        "runtime": request["runtime"],
        "version": kind.version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "affinity": sensors.affinity(),
        "nice": os.nice(0),
        "load": load * 1e-9,
        "first": first * 1e-9,
        "warmup": len(warm),
        "settled": settled,
        "batch": model.batch,
        "notes": model.notes,
        "waited": waited,
        "rested": rested,
        "rest": rest,
    }
    if "minutes" in request:
        return told | {"minutes": soaked(model, inputs, request, typical)}
    return told | _session(model, inputs, *choose(typical, request))


def _session(model: Any, inputs: list[list[Array]], runs: int, stride: int) -> dict[str, Any]:
    """The timed runs, with sensors and counters before and after them."""
    before, switches = sensors.reading() | sensors.counters(), _switches()
    started = time.perf_counter_ns()
    times = _timed(model, inputs, runs * stride)
    seconds = (time.perf_counter_ns() - started) * 1e-9
    switches, counted = _switches() - switches, sensors.counters()
    return {
        "runs": runs,
        "stride": stride,
        "latencies": [round(t * 1e-9, 9) for t in times[::stride]],
        "seconds": seconds,
        "switches": switches,
        "before": before,
        "after": sensors.reading() | counted,
    }


def soaked(model: Any, inputs: list[list[Array]], request: dict[str, Any], typical: float) -> list[dict[str, Any]]:
    """Minutes of sustained load (each of `minute` seconds): runs, evenly spaced latencies of them, and the sensors."""
    length, found = float(request.get("minute", 60.0)), []
    chunk = max(1, int(min(1.0, length / 4) / max(typical, 1e-9)))
    for _ in range(int(request["minutes"])):
        started, times = time.perf_counter(), array.array("q")
        while time.perf_counter() - started < length:
            times.extend(_timed(model, inputs, chunk, len(times)))
        stride = math.ceil(len(times) / int(request["most"]))
        kept = [round(t * 1e-9, 9) for t in times[::stride]]
        found.append({"runs": len(times), "latencies": kept, "after": sensors.reading()})
    return found


def choose(typical: float, request: dict[str, Any]) -> tuple[int, int]:
    """(runs to keep, one of how many) for a session whose runs take `typical` seconds."""
    if "runs" in request:
        return int(request["runs"]), int(request.get("stride", 1))
    typical = max(typical, 1e-9)
    wanted = max(int(request["least"]), math.ceil(float(request["seconds"]) / typical))
    total = max(2, min(wanted, int(float(request["longest"]) / typical)))
    stride = math.ceil(total / int(request["most"]))
    return math.ceil(total / stride), stride


def _batches(samples: Samples, batch: int) -> list[list[Array]]:
    """All given samples as inputs of single runs; a last, smaller batch is filled up."""
    inputs = samples.prepare(0, samples.count)
    return [pad([a[i : i + batch] for a in inputs], batch) for i in range(0, samples.count, batch)]


def _timed(model: Any, inputs: list[list[Array]], count: int, offset: int = 0) -> list[int]:
    """Nanoseconds of `count` inferences, inputs in turn; feeding them is not timed.

    A runtime that tells how long a run took (`invoke` returns it) is believed, since that leaves out what its Python
    package does around the run.
    """
    times, size = [0] * count, len(inputs)
    feed, invoke, clock = model.feed, model.invoke, time.perf_counter_ns
    gc.disable()
    for i in range(count):
        feed(inputs[(offset + i) % size])
        start = clock()
        told = invoke()
        taken = clock() - start
        times[i] = told if isinstance(told, int) else taken
    gc.enable()
    return times


def _warm_up(model: Any, inputs: list[list[Array]], longest: float) -> tuple[list[int], bool]:
    """Run until two windows in a row agree, or for `longest` seconds; returns the times and whether they agreed."""
    times: list[int] = []
    started = time.perf_counter()
    last = math.inf
    while True:
        window, opened = 0, time.perf_counter()
        while window < WINDOW_RUNS or time.perf_counter() - opened < WINDOW_SECONDS:
            times += _timed(model, inputs, 1, len(times))
            window += 1
            if time.perf_counter() - started > longest and len(times) > 1:
                return times, False
        median = statistics.median(times[-window:])
        if abs(median - last) <= AGREE * median:
            return times, True
        last = median


def _pace(model: Any, inputs: list[list[Array]], typical: float) -> float:
    """Seconds of one run with the feeding of its inputs, which of tiny models takes longer than the inference."""
    count = max(1, min(WINDOW_RUNS, int(WINDOW_SECONDS / 4 / max(typical, 1e-9))))
    started = time.perf_counter()
    _timed(model, inputs, count)
    return max(typical, (time.perf_counter() - started) / count)


def _switches() -> int:
    """How often this process had to give up its core so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
