"""What is timed: a bundle's model with its golden samples, or a bare model file with random numbers."""

import json
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import files, jobs, plugins
from edgekd.catalog import shown
from edgekd.errors import Problem, UsageError
from edgekd.results import Artifact, File, Signature, TensorSpec

TIMEOUT = 300.0
SAMPLES = 32
# What is raised by files that were cut off, changed, or are of another kind.
BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Subject:
    """A model, its format and signature, and samples to feed it; `inputs` says in words what these are."""

    model: Path
    format: str
    signature: Signature
    samples: dict[str, NDArray[Any]]
    inputs: str


def is_bundle(path: Path) -> bool:
    """Whether a path is a bundle's folder."""
    return (path / "signature.json").is_file()


def subject(path: Path, runtime: str = "") -> Subject:
    """Read what is to be timed, in another runtime than its format's own if one is named. Raises UsageError."""
    found = _bundle(path) if is_bundle(path) else _bare(path)
    known = plugins.alternatives(found.format)
    if runtime and runtime not in known:
        hint = f"Choose from: {', '.join(known)}" if known else "Leave it out"
        raise UsageError(Problem("--runtime", f"nothing of edgekd runs {shown(path)} by {runtime!r}", hint))
    return found


def fill(job: jobs.Job, subject: Subject) -> dict[str, Any]:
    """Put samples, and an OpenVINO file's weights, into a job; returns the fields of requests that name the samples."""
    weights = subject.model.with_suffix(".bin")
    if subject.model.suffix == ".xml" and weights.is_file():
        job.link(weights.name, weights)
    inputs = {name: f"input-{i}.npy" for i, name in enumerate(subject.samples)}
    for key, array in subject.samples.items():
        job.save(inputs[key], array)
    return {"inputs": inputs}


def artifact(subject: Subject) -> Artifact:
    """The model as jobs want it; it is in no store."""
    size = files.size(subject.model)
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
        with (folder / "golden/golden.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
            samples = {spec.name: stored[f"raw:{spec.name}"] for spec in signature.inputs}
        model = folder / Path(golden["model"]["name"]).name
        return Subject(model, golden["format"], signature, samples, "the bundle's golden samples")
    except BROKEN as error:
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
