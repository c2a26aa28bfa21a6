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

from edgekd import files, jobs, plugins
from edgekd.catalog import shown
from edgekd.errors import DeviceError, Problem, UsageError
from edgekd.results import Artifact, File, Measurement, Signature, TensorSpec
from edgekd.spec import Device, Protocol, Value
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import clock, energy
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


@dataclass(frozen=True)
class How:
    """Threads of an inference, the package that runs it (empty: the format's own), how much, and who is told.

    `power_log` is a file on the device that a power meter's logger writes.
    """

    threads: int
    runtime: str
    protocol: Protocol
    tell: Callable[[float, str], None]
    power_log: str = ""


def bench(paths: Sequence[Path], devices: Sequence[Device], how: How) -> tuple[Benched, ...]:
    """Time every artifact on every device: devices at once, on each of them one artifact after the other.

    Bundles are fed their golden samples, bare files random numbers. On this computer no build works meanwhile. A device
    that cannot be reached is no end for the others: its results say why. Raises UsageError, and DeviceError of this
    computer.
    """
    subjects = [_bundle(path) if (path / "signature.json").is_file() else _bare(path) for path in paths]
    for path, subject in zip(paths, subjects, strict=True):
        known = plugins.alternatives(subject.format)
        if how.runtime and how.runtime not in known:
            hint = f"Choose from: {', '.join(known)}" if known else "Leave it out"
            raise UsageError(Problem("--runtime", f"nothing of edgekd runs {shown(path)} by {how.runtime!r}", hint))

    def on(device: Device) -> list[Benched]:
        try:
            return [_bench(path, one, device, how) for path, one in zip(paths, subjects, strict=True)]
        finally:
            jobs.Reached(device).leave()

    with ThreadPoolExecutor(max_workers=len(devices)) as pool:
        found = list(pool.map(on, devices))
    return tuple(each[i] for i in range(len(paths)) for each in found)


def _bench(path: Path, subject: Subject, device: Device, how: How) -> Benched:
    here, reached = device.name == Device().name, jobs.Reached(device)
    try:
        found = _measured(subject, reached, how)
    except DeviceError as error:
        if here:
            raise
        found = Measurement(basis="not measured", why=str(error))
    return Benched(
        artifact=str(path),
        format=subject.format,
        size=files.size(subject.model),
        inputs=subject.inputs,
        measurement=found,
        at="" if here else device.name,
    )


def _measured(subject: Subject, reached: jobs.Reached, how: How) -> Measurement:
    """Latency and memory of one artifact on one device, or why they cannot be had there. Raises DeviceError."""
    facts = reached.facts()
    module = how.runtime.replace("-", "_") or subject.format
    why = jobs.cannot_time(facts)
    if module not in facts.runtimes:
        missing = facts.missing.get(module, f"{how.runtime} is not installed there")
        why = f"{subject.format} cannot run on {facts.name}: {missing}"
    if why:
        return Measurement(basis="not measured", device=facts, why=why)
    protocol = PROTOCOLS[how.protocol]
    runtime = f"{how.runtime} {facts.runtimes[module]}".strip()
    artifact = _artifact(subject, files.size(subject.model))

    def tell(done: float, text: str) -> None:
        how.tell(done, f"{facts.name}: {text}")

    with (
        tempfile.TemporaryDirectory(prefix="edgekd-") as name,
        jobs.Job(Path(name, "job"), artifact, subject.model, how.threads, runtime) as job,
    ):
        inputs = _filled(job, subject)
        alone = Turns().take(alone=True, waiting=lambda text: tell(0.0, text))
        with alone if reached.device.name == Device().name else nullcontext():
            (taken,) = clock([job], reached, protocol, inputs, tell)
            memory = job.ask(reached, "memory", TIMEOUT, inputs)
            meter = {"name": "log", "file": how.power_log} if how.power_log else None
            power = energy(job, reached, protocol, inputs, meter)
    return measurement(facts, how.threads, protocol, taken, memory, power)


def _filled(job: jobs.Job, subject: Subject) -> dict[str, Any]:
    """Put samples, and an OpenVINO file's weights, into a job; returns the fields of requests that name the samples."""
    weights = subject.model.with_suffix(".bin")
    if subject.model.suffix == ".xml" and weights.is_file():
        job.link(weights.name, weights)
    inputs = {name: f"input-{i}.npy" for i, name in enumerate(subject.samples)}
    for key, array in subject.samples.items():
        job.save(inputs[key], array)
    return {"inputs": inputs}


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
