"""The runtimes' own benchmark programs for phones: how they are called, and what they print.

benchmark_model is Google's of LiteRT (tflite/tools/benchmark), onnxruntime_perf_test Microsoft's of ONNX Runtime
(onnxruntime/test/perftest). Neither is in a package: people download or build them, and name the file.
"""

import csv
import math
import re
import statistics
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import DeviceError

MACHINES = {
    3: ("x86",),
    40: ("armeabi-v7a", "armeabi"),
    62: ("x86_64",),
    183: ("arm64-v8a",),
    243: ("riscv64",),
}
STAT = re.compile(r"^(?:INFO: )?(count=\d+ .*)$", re.MULTILINE)
TIMINGS = re.compile(r"Inference timings in us: Init: ([\d.e+]+), First inference: ([\d.e+]+)")
FOOTPRINT = re.compile(
    r"Memory footprint delta from the start of the tool \(MB\): init=([\d.e+-]+) overall=([\d.e+-]+)"
)
# What stands for all runs where only these are told: nothing of it is below a quantile that is asked for.
PLACES = {"p5": 11, "median": 90, "p95": 90, "max": 9}
SUMMARY = (
    "benchmark_model tells quantiles only, in whole microseconds: what stands as p90 is its p95, as p99 its slowest run"
)
OLD = "it tells no percentiles, as benchmark_model does since 2024: take a newer one"
# Two phases agree that differ by as much of the median.
AGREE = 0.05
# Types of ONNX's TensorProto.
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float64": 11}


@dataclass(frozen=True)
class Session:
    """What one process of a program told, in seconds; `latencies` may stand for more runs than they are."""

    latencies: tuple[float, ...]
    runs: int
    seconds: float
    load: float
    first: float
    warmup: int
    settled: bool


def abis(program: Path) -> tuple[str, ...]:
    """The kinds of Android that a program is for, by the head of its file. Raises DeviceError where it is none."""
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise DeviceError(f"{program} cannot be read: {error.strerror}") from None
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise DeviceError(f"{program} is no program for Android")
    return MACHINES.get(struct.unpack("<H", head[18:20])[0], ("another processor",))


def tflite_arguments(threads: int, inputs: Sequence[tuple[str, Sequence[int]]], accelerator: str) -> list[str]:
    """What benchmark_model is given in every case: the file, threads, what runs it, and files for all inputs.

    The program takes inputs in the file's order, whatever they are called, so they get names of ours.
    """
    names = [f"i{i}" for i in range(len(inputs))]
    given = ["--graph=model", f"--num_threads={threads}", f"--use_xnnpack={_flag(accelerator == 'cpu')}"]
    given += [f"--use_{accelerator}=true"] if accelerator != "cpu" else []
    given += [f"--input_layer={','.join(names)}"]
    given += [f"--input_layer_shape={':'.join(','.join(str(size) for size in shape) for _, shape in inputs)}"]
    files = ",".join(f"{name}:{file}" for name, (file, _) in zip(names, inputs, strict=True))
    return [*given, f"--input_layer_value_files={files}"]


def tflite_session(request: Mapping[str, Any], seconds: float | None = None) -> list[str]:
    """Options of a session: warm-up and runs as the protocol wants them, or `seconds` of a soak's minute."""
    warm = min(2.0, float(request.get("longest_warmup", 2.0)))
    if seconds is not None:
        return ["--num_runs=1", f"--min_secs={seconds:g}", f"--max_secs={2 * seconds:g}", "--warmup_min_secs=0"]
    least, lasting, longest = (request[name] for name in ("least", "seconds", "longest"))
    return [
        f"--num_runs={int(least)}",
        f"--min_secs={float(lasting):g}",
        f"--max_secs={max(float(longest), warm):g}",
        f"--warmup_min_secs={warm:g}",
    ]


def tflite_read(text: str) -> Session:
    """What benchmark_model printed of a session. Raises DeviceError where that is not what it prints."""
    phases = [_numbers(line) for line in STAT.findall(text)]
    timings = TIMINGS.search(text)
    if not phases or timings is None:
        raise DeviceError(f"benchmark_model printed no timings{quoted(text)}")
    timed, warm = phases[-1], phases[0] if len(phases) > 1 else {}
    if not {"count", "max", "avg", *PLACES} <= timed.keys():
        raise DeviceError(f"this benchmark_model cannot be used: {OLD}")
    if not (timed["count"] >= 1 and 0 < timed["p5"] <= timed["median"] <= timed["p95"] <= timed["max"]):
        raise DeviceError(f"benchmark_model printed timings that are none: {STAT.findall(text)[-1]}")
    latencies = [round(timed[name] * 1e-6, 9) for name, count in PLACES.items() for _ in range(count)]
    settled = "median" in warm and abs(warm["median"] - timed["median"]) <= AGREE * timed["median"]
    return Session(
        latencies=tuple(latencies),
        runs=int(timed["count"]),
        seconds=timed["count"] * timed["avg"] * 1e-6,
        load=float(timings[1]) * 1e-6,
        first=float(timings[2]) * 1e-6,
        warmup=int(warm.get("count", 0)),
        settled=settled,
    )


def tflite_memory(text: str) -> int | None:
    """Peak bytes over those at the program's start, by its own account."""
    told = FOOTPRINT.search(text)
    return None if told is None else int(float(told[2]) * 2**20)


def onnx_arguments(threads: int, seconds: float) -> list[str]:
    """What onnxruntime_perf_test is given: the model's folder holds its inputs, and every run's time goes to a file."""
    return ["-e", "cpu", "-m", "duration", "-t", str(math.ceil(seconds)), "-x", str(threads), "-y", "1", "-o", "99"]


def onnx_read(text: str, rows: str, warm: float) -> Session:
    """What onnxruntime_perf_test printed, and its file of all runs; the first ones, `warm` seconds, are the warm-up."""
    try:
        times = [float(row[1]) for row in csv.reader(rows.splitlines()) if len(row) > 1]
    except ValueError as error:
        raise DeviceError(f"onnxruntime_perf_test wrote a file that is not its own: {error}") from None
    if not times or not all(0 < one < math.inf for one in times):
        raise DeviceError(f"onnxruntime_perf_test told no run's time{quoted(text)}")
    count = int(np.searchsorted(np.cumsum(times), warm)) if warm < sum(times) else 0
    count = min(count, len(times) // 2)
    early, timed = times[:count], times[count:]
    middle = statistics.median(timed)
    load, first = (_after(text, words) for words in ("Session creation time cost:", "First inference time cost:"))
    return Session(
        latencies=tuple(round(one, 9) for one in timed),
        runs=len(timed),
        seconds=sum(timed),
        load=load,
        first=first * 1e-3,
        warmup=count,
        settled=bool(early) and abs(statistics.median(early[count // 2 :]) - middle) <= AGREE * middle,
    )


def tensor_proto(name: str, array: NDArray[Any]) -> bytes:
    """An array as ONNX's TensorProto (onnx/onnx.proto: dims 1, data_type 2, name 8, raw_data 9), little-endian.

    Raises DeviceError for a type that has no number here.
    """
    if array.dtype.name not in TYPES:
        raise DeviceError(f"onnxruntime_perf_test cannot be given {array.dtype.name} inputs")
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    dims = b"".join(b"\x08" + _varint(size) for size in array.shape)
    said, raw = name.encode(), little.tobytes()
    kind = b"\x10" + _varint(TYPES[array.dtype.name])
    return dims + kind + b"\x42" + _varint(len(said)) + said + b"\x4a" + _varint(len(raw)) + raw


def quoted(text: str) -> str:
    """The last lines of what a program printed, for an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(f"\n    {line[:200]}" for line in lines[-4:])


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _numbers(line: str) -> dict[str, float]:
    pairs = re.findall(r"(\w+)=([\d.]+(?:e[+-]?\d+)?)", line)
    return {name: float(value) for name, value in pairs}


def _after(text: str, words: str) -> float:
    """The number behind some words, zero where they are not there."""
    told = re.search(re.escape(words) + r"\s*([\d.]+(?:e[+-]?\d+)?)", text)
    return float(told[1]) if told else 0.0


def _flag(value: bool) -> str:
    return "true" if value else "false"
