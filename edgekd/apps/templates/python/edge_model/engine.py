"""The model in its runtime: on the CPU, or on an accelerator that was seen to give the same and to be faster."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelError
from .package import Package
from .runtime.fault import Fault
from .runtime.tensors import decode, encode, pad

Array = np.ndarray[Any, Any]
CPU = "cpu"
# Runs by whose median an accelerator has to be faster than the CPU.
RUNS = 20


@dataclass(frozen=True)
class Candidate:
    """Something that may run the model: `open(file, threads, signature)` gives an object with the methods of a model
    of runtime/: feed, invoke, outputs, and `batch`, the samples that a run takes.
    """

    name: str
    open: Callable[[Path, int, dict[str, Any]], Any]


@dataclass
class Chosen:
    """What runs the model, and what else was tried; `wrong` says why the CPU's answers are not those recorded."""

    used: str
    model: Any
    threads: int
    load: float = 0.0
    first: float = 0.0
    wrong: str = ""
    tried: list[dict[str, Any]] = field(default_factory=list)


def backend(format: str) -> Any:
    """The module of runtime/ that runs files of a format. Raises ModelError where its package is not installed."""
    try:
        return importlib.import_module(f".runtime.{format}", __package__)
    except ModuleNotFoundError as error:
        raise ModelError(f"{error.name} is not installed. Run: pip install -r requirements.txt") from None


def run(model: Any, signature: dict[str, Any], inputs: dict[str, Array]) -> tuple[list[Array], float]:
    """Outputs of one sample, float32 (1, ...), in the signature's order, and the seconds that the model took."""
    arrays = encoded(model, signature, inputs)
    start = time.perf_counter()
    found = once(model, arrays)
    seconds = time.perf_counter() - start
    return [decode(found[i][:1], spec) for i, spec in enumerate(signature["outputs"])], seconds


def encoded(model: Any, signature: dict[str, Any], inputs: dict[str, Array]) -> list[Array]:
    """Prepared inputs of one sample as the file takes them."""
    return pad([encode(inputs[spec["name"]], spec) for spec in signature["inputs"]], model.batch)


def once(model: Any, arrays: list[Array]) -> list[Array]:
    """One run: inputs in, outputs out. This is what is timed."""
    model.feed(arrays)
    model.invoke()
    return list(model.outputs())


def recorded(model: Any, package: Package) -> list[Array]:
    """Outputs for the recorded inputs, one sample at a time, so that an answer of the run before is noticed."""
    inputs = package.inputs()
    rows = [
        run(model, package.signature, {name: values[i : i + 1] for name, values in inputs.items()})[0]
        for i in range(int(package.golden["count"]))
    ]
    return [np.concatenate([row[i] for row in rows]) for i in range(len(package.signature["outputs"]))]


def unlike(found: Array, wanted: Array, tolerance: float) -> str:
    """Why outputs are not those that were recorded; empty where they are."""
    if found.shape != wanted.shape:
        return f"outputs have the shape {found.shape}, recorded was {wanted.shape}"
    if not np.isfinite(found).all():
        return "some outputs are not finite numbers"
    gap = difference(found, wanted)
    return "" if gap <= tolerance else f"outputs differ by {gap:.3g}, {tolerance:.3g} is allowed"


def difference(found: Array, wanted: Array) -> float:
    """The largest difference of two arrays of a shape."""
    return float(np.abs(found.astype(np.float64) - wanted).max())


def choose(package: Package, candidates: Iterable[Candidate], threads: int) -> Chosen:
    """The first candidate that gives what was recorded and is faster than the CPU, else the CPU. Raises ModelError."""
    module, signature = backend(package.page["format"]), package.signature
    cpu = Candidate(CPU, lambda path, threads, signature: module.load(path, threads, signature))
    chosen = _open(cpu, package, threads)
    try:
        reference = recorded(chosen.model, package)
    except Fault as error:
        raise ModelError(str(error)) from None
    outputs = package.outputs()
    wanted = [outputs.get(spec["name"], reference[i]) for i, spec in enumerate(signature["outputs"])]
    chosen.wrong = _unlike(reference, wanted, package.tolerance)
    slowest = _median(chosen.model, package)
    for candidate in candidates:
        try:
            other = _open(candidate, package, threads)
            why, seconds = _refused(other, package, wanted, slowest)
        except Exception as error:  # whatever a driver raises, the CPU still works
            other, why, seconds = chosen, f"it failed: {error}".splitlines()[0][:200], None
        chosen.tried.append({"name": candidate.name, "kept": not why, "why": why, "seconds": seconds})
        if not why:
            other.tried = chosen.tried
            return other
    return chosen


def _open(candidate: Candidate, package: Package, threads: int) -> Chosen:
    start = time.perf_counter()
    try:
        model = candidate.open(package.file(), threads, package.signature)
        load = time.perf_counter() - start
        first = run(model, package.signature, {name: values[:1] for name, values in package.inputs().items()})[1]
    except Fault as error:
        raise ModelError(str(error).splitlines()[0]) from None
    return Chosen(candidate.name, model, threads, load, first)


def _refused(other: Chosen, package: Package, wanted: list[Array], slowest: float) -> tuple[str, float | None]:
    """Why a candidate is not kept, and the seconds of a run."""
    why = _unlike(recorded(other.model, package), wanted, package.tolerance)
    if why:
        return why, None
    seconds = _median(other.model, package)
    if seconds < slowest:
        return "", seconds
    return f"it takes {seconds * 1e3:.3g} ms a run, the CPU {slowest * 1e3:.3g} ms", seconds


def _unlike(found: list[Array], wanted: list[Array], tolerance: float) -> str:
    return next(filter(None, (unlike(found[i], wanted[i], tolerance) for i in range(len(wanted)))), "")


def _median(model: Any, package: Package) -> float:
    arrays = encoded(model, package.signature, {name: values[:1] for name, values in package.inputs().items()})
    return statistics.median(timed(model, arrays) for _ in range(RUNS))


def timed(model: Any, arrays: list[Array]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    once(model, arrays)
    return time.perf_counter() - start
