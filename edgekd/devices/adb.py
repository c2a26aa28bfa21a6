"""A phone by adb: the runtimes' own benchmark programs time files there; no app, no account, and nothing stays."""

import atexit
import json
import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import StringConstraints

from edgekd import files
from edgekd.devices import _adb, _android, _bench, _jobs
from edgekd.errors import DeviceError
from edgekd.results import DeviceFacts
from edgekd.runtimes import predict, tensors
from edgekd.spec import Device, Value

VERSION = 1
PACKAGES = ()
EXTRA = "android"
REQUIRES = ("adbutils>=2.8",)

SILENT = ("onnx",)

# Where the programs are that people download or build; a card's settings of these names come first.
TOOLS = {"tflite": "benchmark_model", "onnx": "onnxruntime_perf_test"}
WHERE = {"tflite": "EDGEKD_BENCHMARK_MODEL", "onnx": "EDGEKD_ONNXRUNTIME_PERF_TEST"}
LIBRARY = "libonnxruntime.so"
LACKING = ("coreml", "executorch", "openvino")
NOWHERE = "edgekd knows no program that runs such files on phones"
MEASURING = ("clock", "memory")
# What no program tells.
UNKNOWN: dict[str, dict[str, Any]] = {
    "energy": {"joules": None, "why": "adb tells no power"},
    "profile": {"operators": None, "why": "the phone's program is not asked where operators run"},
}
NO_OUTPUTS = (
    "onnxruntime_perf_test tells no outputs: take a TFLite file, the phone's browser (--at browser), "
    "or the application's self-test"
)
NO_MEMORY = "onnxruntime_perf_test tells the memory of the whole process, its own included"
NO_ARENA = "the phone's program does not tell"
FIXED = "cmd power set-fixed-performance-mode-enabled"
PROBE, POLL, MINUTE = 60.0, 2.0, 60.0
# Words of commands hold nothing that a shell could take for its own.
WORD = re.compile(r"[\w=.,:/+-]+")

_open: dict[tuple[int, str, str], _adb.Phone] = {}


class Settings(Value):
    """`benchmark_model`, `onnxruntime_perf_test`: files here that run there. `cores`: a mask for taskset, such as f0.

    `fixed_performance`: clocks that last, where the phone has them. `accelerator`: what LiteRT is asked to use.
    `emulated`: it is no real device, say so everywhere.
    """

    benchmark_model: str = ""
    onnxruntime_perf_test: str = ""
    cores: Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,16}$")] = ""
    fixed_performance: bool = False
    accelerator: Literal["cpu", "gpu", "nnapi"] = "cpu"
    emulated: bool = False


def probe(settings: Settings, device: Device) -> DeviceFacts:
    """What the phone is, by its own word, and which files its programs run. Raises DeviceError."""
    phone = session(device)
    text = phone.shell(_android.FACTS, PROBE).text
    how = (settings.cores, settings.fixed_performance, settings.accelerator)
    told = _android.facts(text, phone.serial, repr(how))
    now = _android.reading(phone.shell(_android.READING, PROBE).text)
    runtimes, missing = {}, dict.fromkeys(LACKING, NOWHERE)
    for format in TOOLS:
        try:
            runtimes[format] = _version(settings, format, _android.abis(text))
        except DeviceError as error:
            missing[format] = str(error)
    emulated = told["emulated"] or ("its card says so" if settings.emulated else "")
    name = f"{device.name} ({'EMULATED ' if emulated else ''}{told['model']})"
    more = {"governor": now["governor"], "temperature": now["temperature"], "emulated": emulated}
    return DeviceFacts(**told | more, name=name, runtimes=runtimes, missing=missing)


def run(settings: Settings, device: Device, folder: Path, timeout: float) -> None:
    """Do the job in `folder` there, which is then left with result.json. Raises DeviceError."""
    (folder / _jobs.RESULT).unlink(missing_ok=True)
    request = json.loads((folder / _jobs.REQUEST).read_text(encoding="utf-8"))
    verb, format = request["verb"], request["runtime"]
    if verb in UNKNOWN:
        answer = UNKNOWN[verb]
    elif format not in TOOLS:
        raise DeviceError(NOWHERE)
    else:
        phone = session(device)
        if verb in MEASURING:
            phone.alone()
        answer = Work(settings, phone, request, folder, timeout).answer()
    files.write(folder / _jobs.RESULT, json.dumps(answer))


def leave(device: Device) -> None:
    """End this thread's connections to a phone: what was set there is undone, what was sent is removed."""
    mine = threading.get_ident(), device.name
    for key in [key for key in list(_open) if key[:2] == mine]:
        _open.pop(key).close()


def session(device: Device) -> _adb.Phone:
    """This thread's connection to a phone, open or new. Raises Unreachable."""
    key = threading.get_ident(), device.name, device.address
    if key not in _open:
        _open[key] = _adb.Phone(device.name, device.address)
    return _open[key]


def program(settings: Settings, format: str) -> Path | None:
    """The file here that runs a format there, None where nobody named one."""
    named = getattr(settings, TOOLS[format]) or os.environ.get(WHERE[format], "")
    return Path(named).expanduser() if named else None


def _version(settings: Settings, format: str, abis: Sequence[str]) -> str:
    """What stands for the version of a program that does not tell any: its content. Raises DeviceError."""
    path = program(settings, format)
    if path is None:
        raise DeviceError(f"no {TOOLS[format]} is named. Write its path into {WHERE[format]} or the device's card")
    made = _bench.abis(path)
    if not set(made) & set(abis):
        raise DeviceError(f"{path.name} is for {' or '.join(made)}, but the phone runs {', '.join(abis) or 'unknown'}")
    return f"{TOOLS[format]}-{settings.accelerator}-{files.digest(path)[:12]}"


class Work:
    """One job on a phone."""

    def __init__(
        self, settings: Settings, phone: _adb.Phone, request: dict[str, Any], folder: Path, timeout: float
    ) -> None:
        self.settings, self.phone, self.request, self.folder, self.timeout = settings, phone, request, folder, timeout
        self.samples = tensors.Samples(request, folder)
        self.format: str = request["runtime"]
        path = program(settings, self.format)
        if path is None:
            raise DeviceError(f"no {TOOLS[self.format]} is named")
        self.program = phone.send(path)
        self.libraries = phone.folder
        if self.format == "onnx" and path.with_name(LIBRARY).is_file():
            phone.send(path.with_name(LIBRARY), LIBRARY)

    def answer(self) -> dict[str, Any]:
        """What the verb of the job wants to know. Raises DeviceError."""
        if self.request["verb"] == "predict":
            return self.predict()
        return self.clock() if self.request["verb"] == "clock" else self.memory()

    def clock(self) -> dict[str, Any]:
        """Time one session, or minutes of sustained load, once the phone is as cool as at `rest`."""
        self._steady()
        waited, rested, rest = self._cool()
        same = {**self._same(), "waited": waited, "rested": rested, "rest": rest}
        if "minutes" in self.request:
            length, minutes, found = float(self.request.get("minute", MINUTE)), [], None
            for _ in range(int(self.request["minutes"])):
                found = self._timed(length)
                kept = found.latencies[:: _stride(found, self.request)]
                minutes.append({"runs": found.runs, "latencies": list(kept), "after": self._reading()})
            assert found is not None
            return {**same, **_warm(found), "minutes": minutes}
        before, found = self._reading(), self._timed(None)
        stride = _stride(found, self.request)
        return {
            **same,
            **_warm(found),
            "runs": math.ceil(found.runs / stride),
            "stride": stride,
            "latencies": list(found.latencies[::stride]),
            "seconds": found.seconds,
            "switches": 0,
            "before": before,
            "after": self._reading(),
        }

    def memory(self) -> dict[str, Any]:
        """Peak memory in a process of its own, by the account of the program."""
        if self.format == "onnx":
            return {"memory": None, "why": NO_MEMORY, "arena": None, "arena_why": NO_ARENA}
        said = self._tflite(["--num_runs=50", "--min_secs=0.1", "--max_secs=10", "--warmup_min_secs=0"])
        peak = _bench.tflite_memory(said)
        why = "" if peak is not None else "benchmark_model told no memory"
        return {**self._same(), "memory": peak, "why": why, "arena": None, "arena_why": NO_ARENA}

    def predict(self) -> dict[str, Any]:
        """Outputs of every sample: the program is started for each, and writes what it computed."""
        if self.format == "onnx":
            raise DeviceError(NO_OUTPUTS)
        signature, count, started = self.request["signature"], self.samples.count, time.monotonic()
        wanted = signature["outputs"] if self.request.get("all") else signature["outputs"][:1]
        arrays = self.samples.prepare(0, count)
        steps = [f"dd if=x{i} of=s{i} bs={array[0].nbytes} skip=$n count=1" for i, array in enumerate(arrays)]
        options = ["--num_runs=1", "--min_secs=0", "--warmup_runs=0", "--warmup_min_secs=0", "--output_filepath=o"]
        each = " && ".join(
            [*(f"{step} 2>/dev/null" for step in steps), f"{self._call(options)} >log 2>&1", "cat o >>all"]
        )
        with self._files(arrays):
            body = f"{{ {each}; }} || {{ cat log; exit 1; }}; n=$((n+1))"
            self._shell(f"rm -f all o; n=0; while [ $n -lt {count} ]; do {body}; done")
            self.phone.fetch(f"{self.phone.folder}/all", self.folder / "all.bin")
        found = _split((self.folder / "all.bin").read_bytes(), signature["outputs"], self._order("outputs"), count)
        (self.folder / "all.bin").unlink()
        for i, spec in enumerate(wanted):
            writer = predict.Writer(self.folder / f"outputs-{i}.npy", count, spec)
            writer.add(found[spec["name"]], count)
            writer.close()
        return {
            **self._same(),
            "count": count,
            "seconds": time.monotonic() - started,
            "outputs": {spec["name"]: f"outputs-{i}.npy" for i, spec in enumerate(wanted)},
        }

    def _timed(self, minute: float | None) -> _bench.Session:
        """One process of the format's program."""
        if self.format == "tflite":
            return _bench.tflite_read(self._tflite(_bench.tflite_session(self.request, minute)))
        warm = 0.0 if minute else min(2.0, float(self.request.get("longest_warmup", 2.0)))
        return self._onnx(minute or warm + float(self.request["seconds"]), warm)

    def _tflite(self, options: list[str]) -> str:
        """What benchmark_model prints of the first sample."""
        with self._files(self.samples.prepare(0, 1), "s"):
            return self._shell(self._call(options))

    def _onnx(self, seconds: float, warm: float) -> _bench.Session:
        """A session of onnxruntime_perf_test on the first sample, which lies beside the model as it wants it."""
        phone, base = self.phone, f"{self.phone.folder}/onnx"
        phone.shell(f"mkdir -p {base}/test_data_set_0")
        model = phone.send(self.folder / self.request["model"])
        with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
            for i, (spec, array) in enumerate(
                zip(self.request["signature"]["inputs"], self.samples.prepare(0, 1), strict=True)
            ):
                source = Path(name) / f"input_{i}.pb"
                source.write_bytes(_bench.tensor_proto(spec["name"], array))
                phone.send(source, f"onnx/test_data_set_0/input_{i}.pb")
            arguments = _bench.onnx_arguments(int(self.request["threads"]), seconds)
            command = self._words([self.program, *arguments, f"{base}/model.onnx", "rows"])
            text = self._shell(f"ln -f {model} {base}/model.onnx && rm -f rows && {command}")
            phone.fetch(f"{phone.folder}/rows", Path(name) / "rows")
            return _bench.onnx_read(text, (Path(name) / "rows").read_text(encoding="utf-8"), warm)

    def _call(self, options: Sequence[str]) -> str:
        """The command of benchmark_model with the inputs s0, s1, ... of one sample."""
        order, specs = self._order("inputs"), self.request["signature"]["inputs"]
        shapes = [_closed(specs[i]["shape"], specs[i]["name"]) for i in order]
        inputs = [(f"s{i}", shape) for i, shape in zip(order, shapes, strict=True)]
        given = _bench.tflite_arguments(int(self.request["threads"]), inputs, self.settings.accelerator)
        return self._words([self.program, *given, *options])

    def _files(self, arrays: Sequence[NDArray[Any]], prefix: str = "x") -> "tempfile.TemporaryDirectory[str]":
        """Send the model, and an array of each input."""
        phone, here = self.phone, tempfile.TemporaryDirectory(prefix="edgekd-")
        for i, array in enumerate(arrays):
            path = Path(here.name) / f"{prefix}{i}"
            path.write_bytes(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes())
            phone.send(path, path.name)
        phone.send(self.folder / self.request["model"], "model")
        return here

    def _words(self, words: Sequence[str]) -> str:
        """A command, whose words are all our own, on the cores that were asked for."""
        pinned = ["taskset", self.settings.cores] if self.settings.cores else []
        for word in (*pinned, *words):
            assert WORD.fullmatch(word), word
        return " ".join((*pinned, *words))

    def _shell(self, command: str) -> str:
        """What a command prints in our folder. Raises DeviceError where it fails."""
        there = f"cd {self.phone.folder} && export LD_LIBRARY_PATH={self.libraries} ORT_DISABLE_TELEMETRY=1 && "
        said = self.phone.shell(there + command, self.timeout)
        if said.status:
            reason = f"was ended by signal {said.status - 128}" if said.status > 128 else f"ended with {said.status}"
            raise DeviceError(f"{TOOLS[self.format]} on {self.phone.name} {reason}{_bench.quoted(said.text)}")
        return said.text

    def _steady(self) -> None:
        """Ask for clocks that last, once a connection; whoever leaves puts that back. Raises DeviceError."""
        phone = self.phone
        if not self.settings.fixed_performance or phone.undoing:
            return
        said = phone.shell(f"{FIXED} true")
        if said.status or "rror" in said.text or "not supported" in said.text.lower():
            raise DeviceError(f"{phone.name} has no fixed performance mode: take fixed_performance out of its card")
        phone.undo(f"{FIXED} false")

    def _cool(self) -> tuple[float, bool, dict[str, Any]]:
        """Wait until the phone is as cool as at `rest`: seconds waited, whether it is, and how it is now."""
        rest, longest = self.request.get("rest"), float(self.request.get("cooling", 0))
        started, now = time.monotonic(), self._reading()
        while rest and not _rested(now, rest):
            if time.monotonic() - started >= longest:
                return time.monotonic() - started, False, now
            time.sleep(min(POLL, longest))
            now = self._reading()
        return time.monotonic() - started, True, now

    def _reading(self) -> dict[str, Any]:
        return _android.reading(self.phone.shell(_android.READING).text)

    def _same(self) -> dict[str, Any]:
        """What all answers have."""
        notes: dict[str, Any] = {"summary": _bench.SUMMARY} if self.format == "tflite" else {}
        path = program(self.settings, self.format)
        assert path is not None
        return {
            "runtime": self.format,
            "version": f"{TOOLS[self.format]}-{self.settings.accelerator}-{files.digest(path)[:12]}",
            "kernel": "Android",
            "affinity": _cores(self.settings.cores),
            "nice": None,
            "batch": 1,
            "notes": notes,
        }

    def _order(self, side: str) -> list[int]:
        """For each tensor of the file in its own order, its place in the signature. Raises DeviceError."""
        specs = self.request["signature"][side]
        if len(specs) == 1:
            return [0]
        try:
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - only for several tensors

            from edgekd.runtimes import tflite_model  # noqa: PLC0415
        except ImportError:
            message = f"to tell its {len(specs)} {side} apart LiteRT is needed here"
            raise DeviceError(f"{message}. Run: pip install 'edgekd[tflite-run]'") from None
        interpreter = Interpreter(model_path=str(self.folder / self.request["model"]))
        own = interpreter.get_input_details() if side == "inputs" else interpreter.get_output_details()
        named = {
            details["index"]: name
            for name, details in tflite_model.named(interpreter)[("inputs", "outputs").index(side)]
        }
        names = [spec["name"] for spec in specs]
        return [names.index(named[details["index"]]) for details in own]


def _stride(found: _bench.Session, request: dict[str, Any]) -> int:
    """One of how many latencies is kept."""
    return math.ceil(len(found.latencies) / int(request["most"]))


def _warm(found: _bench.Session) -> dict[str, Any]:
    return {"load": found.load, "first": found.first, "warmup": found.warmup, "settled": found.settled}


def _rested(now: dict[str, Any], rest: dict[str, Any]) -> bool:
    warm, free = now["temperature"], now["ceiling"]
    cool = warm is None or rest["temperature"] is None or warm <= rest["temperature"] + 2.0
    return cool and (free is None or rest["ceiling"] is None or free >= rest["ceiling"]) and not now["throttled"]


def _cores(mask: str) -> list[int] | None:
    return [bit for bit in range(64) if int(mask, 16) >> bit & 1] if mask else None


def _closed(shape: Sequence[int], name: str) -> list[int]:
    """The shape of one sample. Raises DeviceError where more than the batch is open."""
    if any(size < 0 for size in shape[1:]):
        raise DeviceError(f"{name} has open sizes, which benchmark_model cannot be given")
    return [1, *shape[1:]]


def _split(data: bytes, specs: Sequence[dict[str, Any]], order: Sequence[int], count: int) -> dict[str, NDArray[Any]]:
    """Outputs by name of what the program wrote, sample by sample. Raises DeviceError."""
    shapes = [_closed(spec["shape"], spec["name"])[1:] for spec in specs]
    types = [np.dtype(spec["dtype"]).newbyteorder("<") for spec in specs]
    sizes = [math.prod(shape) * kind.itemsize for shape, kind in zip(shapes, types, strict=True)]
    if len(data) != count * sum(sizes):
        raise DeviceError(f"benchmark_model wrote {len(data)} bytes of outputs, expected {count * sum(sizes)}")
    rows, found, at = np.frombuffer(data, np.uint8).reshape(count, -1), {}, 0
    for i in order:
        piece = np.ascontiguousarray(rows[:, at : at + sizes[i]])
        found[specs[i]["name"]] = piece.view(types[i]).reshape(count, *shapes[i])
        at += sizes[i]
    return found


@atexit.register
def _leave_all() -> None:
    while _open:
        _open.popitem()[1].close()
