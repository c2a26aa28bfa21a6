"""Tell where a model's operators run and, where its runtime watches itself, how long each takes.

Watching slows a run down, so its seconds are for shares and for comparing operators, never a latency.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .job import runtime
from .tensors import Samples, pad

# Runs that are watched: as many as fit into the seconds, and so many at least and at most.
LEAST, MOST, SECONDS = 5, 100, 1.0


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Operators of the model (None, with `why`, where its runtime does not tell), partitions, and why untimed.

    `operators` are as placement.operator makes them, in the order in which they run, also some that do not count.
    """
    kind = runtime(request["runtime"])
    told = {"runtime": request["runtime"], "version": kind.version()}
    if hasattr(kind, "UNPROFILED"):
        return {**told, "operators": None, "why": kind.UNPROFILED}
    samples = Samples(request, folder)
    model = kind.profiled(folder / request["model"], request["threads"], request["signature"], 1)
    inputs = pad(samples.prepare(0, 1), model.batch)
    started, runs = time.perf_counter(), 0
    while runs < LEAST or (runs < MOST and time.perf_counter() - started < SECONDS):
        model.feed(inputs)
        model.invoke()
        runs += 1
    return {**told, **model.placed(), "why": "", "runs": runs, "batch": model.batch, "notes": model.notes}
