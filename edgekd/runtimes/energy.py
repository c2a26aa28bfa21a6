"""Joules of one inference over the idle device: idle seconds, seconds of inferences, idle seconds, under a meter.

A meter is a module meter_NAME.py of this package with

    find(settings) -> meter      raises fault.Fault with the reason why there is none here

where the meter has `source` (what it is, in words), `start()` and `stop()`, between which it records, and
`joules(start, end) -> (joules, readings a second)` for a span of time.time(). `settings` are those of the request. A
meter that gives fewer than LEAST readings a second is refused: it would miss what it is to measure.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time
from pathlib import Path
from typing import Any

from .fault import Fault
from .job import runtime
from .tensors import Samples, pad

LEAST = 350.0
SECONDS = 3.0
PREFIX = "meter_"


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Energy of the model of a request; `joules` is None, with `why`, where there is no meter or it is too slow.

    `meter` of the request names one and has its settings; without it each that needs none is tried.
    """
    try:
        meter = find(request.get("meter") or {})
    except Fault as error:
        return {"joules": None, "why": str(error)}
    kind = runtime(request["runtime"])
    samples = Samples(request, folder)
    model = kind.load(folder / request["model"], request["threads"], request["signature"], 1)
    inputs = pad(samples.prepare(0, 1), model.batch)
    model.feed(inputs)
    seconds = float(request.get("seconds", SECONDS))
    _work(model, seconds / 4)
    meter.start()
    try:
        marks = [time.time()]
        time.sleep(seconds / 2)
        marks.append(time.time())
        runs = _work(model, seconds)
        marks.append(time.time())
        time.sleep(seconds / 2)
        marks.append(time.time())
    finally:
        meter.stop()
    return told(meter, marks, runs)


def told(meter: Any, marks: list[float], runs: int) -> dict[str, Any]:
    """What a meter says of idle, busy and idle again, which begin and end at the `marks`."""
    try:
        spans = [meter.joules(marks[i], marks[i + 1]) for i in range(3)]
    except Fault as error:
        return {"joules": None, "why": str(error), "source": meter.source}
    rate = min(one[1] for one in spans)
    if rate < LEAST:
        why = f"{meter.source} gives {rate:.0f} readings a second, and {LEAST:.0f} are the least"
        return {"joules": None, "why": why, "rate": rate, "source": meter.source}
    lengths = [marks[i + 1] - marks[i] for i in range(3)]
    idle = (spans[0][0] + spans[2][0]) / (lengths[0] + lengths[2])
    return {
        "joules": (spans[1][0] - idle * lengths[1]) / runs,
        "idle": idle,
        "busy": spans[1][0] / lengths[1],
        "rate": rate,
        "inferences": runs,
        "source": meter.source,
        "why": "",
    }


def find(settings: dict[str, Any]) -> Any:
    """The meter that is named, or the first that there is. Raises Fault with every meter's reason."""
    known = names()
    wanted = settings.get("name")
    if wanted is not None and wanted not in known:
        raise Fault(f"there is no meter {wanted!r}; choose from: {', '.join(known)}")
    reasons = []
    for name in [wanted] if wanted else known:
        try:
            return importlib.import_module(f".{PREFIX}{name}", __package__).find(settings)
        except Fault as error:
            reasons.append(str(error))
    raise Fault("; ".join(reasons))


def names() -> list[str]:
    """The meters that there are, by the listing of the folder."""
    modules = pkgutil.iter_modules(sys.modules[__package__].__path__)
    return sorted(module.name[len(PREFIX) :] for module in modules if module.name.startswith(PREFIX))


def _work(model: Any, seconds: float) -> int:
    """Inferences one after the other for so many seconds."""
    started, runs = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        model.invoke()
        runs += 1
    return runs
