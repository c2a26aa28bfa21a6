"""Time model files and bundles on this computer or on boards, as a build does: fresh processes without torch."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import files, jobs, plugins, timing
from edgekd.catalog import shown
from edgekd.errors import DeviceError, Problem, UsageError
from edgekd.results import Artifact, DeviceFacts, File, Measurement, Signature, TensorSpec
from edgekd.spec import Device, Value
from edgekd.turns import Turns

TIMEOUT = 300.0
SAMPLES = 32


class Benched(Value):
    """What was timed, with which inputs, and what came out; `at` is the name of the board, empty for this computer."""

    artifact: str
    format: str
    size: int
    inputs: str
    measurement: Measurement
    at: str = ""


@dataclass(frozen=True)
class Subject:
    """A model, its format and signature, and samples to feed it; `inputs` says in words what these are."""

    model: Path
    format: str
    signature: Signature
    samples: dict[str, NDArray[Any]]
    inputs: str


def bench_all(
    paths: Sequence[Path], devices: Sequence[Device], threads: int, tell: Callable[[float, str], None]
) -> tuple[Benched, ...]:
    """Time every artifact on every device: devices at once, on each of them one artifact after the other.

    A device that cannot be reached is no end for the others: its results say why. Raises UsageError, and DeviceError of
    this computer.
    """
    subjects = [_subject(path) for path in paths]

    def on(device: Device) -> list[Benched]:
        try:
            return [_bench(path, one, threads, tell, device) for path, one in zip(paths, subjects, strict=True)]
        finally:
            jobs.Reached(device).leave()

    with ThreadPoolExecutor(max_workers=len(devices)) as pool:
        found = list(pool.map(on, devices))
    return tuple(each[i] for i in range(len(paths)) for each in found)


def bench(path: Path, threads: int, tell: Callable[[float, str], None]) -> Benched:
    """Time a bundle with its golden samples, a bare file with random numbers, while no build works on this computer.

    Raises UsageError and DeviceError.
    """
    return _bench(path, _subject(path), threads, tell, Device())


def _subject(path: Path) -> Subject:
    return _bundle(path) if (path / "signature.json").is_file() else _bare(path)


def _bench(path: Path, subject: Subject, threads: int, tell: Callable[[float, str], None], device: Device) -> Benched:
    here = device.name == Device().name
    told = {
        "artifact": str(path),
        "format": subject.format,
        "inputs": subject.inputs,
        "at": "" if here else device.name,
    }
    size = files.size(subject.model)
    reached = jobs.Reached(device)
    try:
        facts = reached.facts()
        why = jobs.cannot_time(facts)
        if subject.format not in facts.runtimes:
            why = f"{subject.format} cannot run on {facts.name}: {facts.missing.get(subject.format, 'no runtime')}"
        if why:
            return Benched(**told, size=size, measurement=Measurement(basis="not measured", device=facts, why=why))
        measurement = _measured(
            subject, size, threads, reached, facts, lambda done, text: tell(done, f"{facts.name}: {text}")
        )
    except DeviceError as error:
        if here:
            raise
        measurement = Measurement(basis="not measured", why=str(error))
    return Benched(**told, size=size, measurement=measurement)


def _measured(
    subject: Subject,
    size: int,
    threads: int,
    reached: jobs.Reached,
    facts: DeviceFacts,
    tell: Callable[[float, str], None],
) -> Measurement:
    """Latency and memory of one artifact on one device."""
    protocol = timing.PROTOCOLS["full"]
    with (
        tempfile.TemporaryDirectory(prefix="edgekd-") as name,
        jobs.Job(Path(name, "job"), _artifact(subject, size), subject.model, threads) as job,
    ):
        weights = subject.model.with_suffix(".bin")
        if subject.model.suffix == ".xml" and weights.is_file():
            job.link(weights.name, weights)
        inputs = {"inputs": {name: f"input-{i}.npy" for i, name in enumerate(subject.samples)}}
        for key, array in subject.samples.items():
            job.save(inputs["inputs"][key], array)
        alone = Turns().take(alone=True, waiting=lambda text: tell(0.0, text))
        with alone if reached.device.name == Device().name else nullcontext():
            (sessions,) = timing.clock([job], reached, protocol, inputs, tell)
            memory = job.ask(reached, "memory", timing.TIMEOUT, inputs)
    return timing.measurement(facts, threads, protocol, sessions, memory)


def _artifact(subject: Subject, size: int) -> Artifact:
    """The model as jobs want it; it is in no store."""
    file = File(entry="", name=subject.model.name, sha256="", size=size)
    return Artifact(
        file=file,
        format=subject.format,
        precision="float32",
        signature=subject.signature,
        golden=file,
        size=size,
        graph="",
        made_by="",
    )


def _bundle(folder: Path) -> Subject:
    """A bundle's model and its golden samples as they were stored, so that preprocessing is its own."""
    try:
        golden = json.loads((folder / "golden/golden.json").read_text(encoding="utf-8"))
        signature = Signature.model_validate_json((folder / "signature.json").read_text(encoding="utf-8"))
        with np.load(folder / "golden/golden.npz", allow_pickle=False) as stored:
            samples = {spec.name: stored[f"raw:{spec.name}"] for spec in signature.inputs}
        model = folder / Path(golden["model"]["name"]).name
        return Subject(model, golden["format"], signature, samples, "the bundle's golden samples")
    except (OSError, ValueError, KeyError) as error:
        hint = f"Run: edgekd verify {shown(folder)}"
        raise UsageError(Problem(shown(folder), f"is not a whole bundle: {error}", hint)) from None


def _bare(path: Path) -> Subject:
    """A model file alone: its own tensors, filled with random numbers."""
    if not path.exists():
        raise UsageError(Problem(shown(path), "this file is not there"))
    suffixes = _suffixes()
    format_name = suffixes.get(path.suffix.lower(), "")
    if not format_name:
        hint = f"Name a bundle, or a file that ends in {', '.join(sorted(suffixes))}"
        raise UsageError(Problem(shown(path), "is no model file that can be timed here", hint))
    command = [sys.executable, "-P", "-m", "edgekd.commands.describe", format_name, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        message = f"cannot be read as {format_name}: its library gave no answer within {TIMEOUT:.0f} s"
        raise UsageError(Problem(shown(path), message)) from None
    try:
        told = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (ValueError, IndexError):
        told = None
    if told is None:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(Problem(shown(path), f"cannot be read as {format_name}: {last}"))
    signature = Signature.model_validate(told)
    samples = {spec.name: _random(spec, path) for spec in signature.inputs}
    return Subject(path, format_name, signature, samples, "random numbers, because a bare file brings no samples")


def _suffixes() -> dict[str, str]:
    """Formats by the endings of files whose runtime can say what a bare one takes."""
    readers = [name for name in plugins.names("runtimes") if "described" in plugins.declared("runtimes", name).offers]
    return {suffix: name for name in readers for suffix in plugins.declared("formats", name).suffixes}


def _random(spec: TensorSpec, path: Path) -> NDArray[Any]:
    """Normal numbers for floats, zeros and ones for others (an id of one is in every vocabulary)."""
    if any(n < 0 for n in spec.shape[1:]):
        message = (
            f"the input {spec.name} has the shape {list(spec.shape)}: the sizes of its open dimensions are unknown"
        )
        raise UsageError(Problem(shown(path), message, "Time a bundle, which brings samples"))
    shape, generator = (SAMPLES, *spec.shape[1:]), np.random.default_rng(0)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)
