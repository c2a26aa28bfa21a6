"""Peak memory of a model: resident bytes over those of the process with its runtime imported and nothing loaded."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

from .fault import Fault
from .job import runtime
from .tensors import Samples, pad

STATUS = Path("/proc/self/status")
MAPS = Path("/proc/self/maps")
# madvise(2), Linux 5.14 and later: make all pages of a mapping resident
POPULATE_READ = 22
RUNS, LONGEST = 100, 2.0


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Load, run once, run about 100 times. Bytes over `base`; `memory` is the peak, None (with `why`) without /proc.

    The peak is VmHWM, which counts this process alone (ru_maxrss starts at its parent's); it is reset once the runtime
    is imported (`reset`), else the import's own peak may hide a smaller one of the model. The code of all libraries is
    made resident first (`code`): how much of it a load pages in depends on the system's cache, not on the model.
    """
    kind = runtime(request["runtime"])
    samples = Samples(request, folder)
    one = samples.prepare(0, 1)
    if resident("VmHWM") is None:
        return {"memory": None, "why": f"peak memory is read from {STATUS}, which this system does not have"}
    code = _read_code()
    _trim()
    reset = _reset_peak()
    base, before = _known("VmRSS"), _known("VmHWM")
    model = kind.load(folder / request["model"], request["threads"], request["signature"], 1)
    load = _known("VmRSS")
    inputs = pad(one, model.batch)
    started, runs, first = time.perf_counter(), 0, 0
    while runs < RUNS and (runs < 2 or time.perf_counter() - started < LONGEST):
        model.feed(inputs)
        model.invoke()
        model.outputs()
        runs += 1
        first = first or _known("VmRSS")
    peak = max(0, _known("VmHWM") - base)
    return {
        "runtime": request["runtime"],
        "version": kind.version(),
        "memory": peak,
        "why": "" if reset or before <= base else "the import's peak could not be reset, so this may be too high",
        "base": base,
        "load": load - base,
        "first": first - base,
        "runs": runs,
        "reset": reset,
        "code": code,
        "notes": model.notes,
        **_arena(kind, model),
    }


def _arena(kind: Any, model: Any) -> dict[str, Any]:
    """What the runtime itself says that it keeps for tensors, or why it does not tell."""
    if not hasattr(kind, "arena"):
        return {"arena": None, "arena_why": getattr(kind, "NO_ARENA", "this runtime does not tell")}
    try:
        return {"arena": kind.arena(model), "arena_why": ""}
    except Fault as error:
        return {"arena": None, "arena_why": str(error)}


def resident(field: str) -> int | None:
    """A memory field of /proc/self/status in bytes."""
    try:
        lines = STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith(field + ":")]
    return int(found[0][1]) * 1024 if found else None


def _known(field: str) -> int:
    value = resident(field)
    if value is None:
        raise Fault(f"{STATUS} has no {field}")
    return value


def _reset_peak() -> bool:
    """Set VmHWM back to what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _read_code() -> bool:
    """Make every page of the loaded libraries resident; whether the system could."""
    advise = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)
    if advise is None:
        return False
    done = True
    for line in MAPS.read_text(encoding="utf-8").splitlines():
        span, access, *_, path = line.split(maxsplit=5) if line.count("/") else (line, "", "")
        if access.startswith("r") and ".so" in Path(path).name:
            start, end = (int(address, 16) for address in span.split("-"))
            done = advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), POPULATE_READ) == 0 and done
    return done


def _trim() -> None:
    """Give freed memory back, so that the model does not fill gaps that count as already resident."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
