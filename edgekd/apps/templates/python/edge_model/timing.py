"""How long the model takes here: "look" is 50 runs, "number" at least 1,024 runs and 60 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .engine import Chosen, encoded, once, timed
from .package import Package

RUNS = {"look": 50, "number": 1024}
SECONDS = {"look": 0.0, "number": 60.0}
WARM_UP = 20
# Most values that are kept; beyond, each becomes the mean of more runs.
MOST = 5000


def latency(package: Package, chosen: Chosen, protocol: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of runs of the model alone, each the mean of `means` runs in a row."""
    inputs, count = package.inputs(), int(package.golden["count"])
    samples = [
        encoded(chosen.model, package.signature, {name: values[i : i + 1] for name, values in inputs.items()})
        for i in range(count)
    ]
    for i in range(WARM_UP):
        once(chosen.model, samples[i % count])
    seconds: list[float] = []
    means, runs, begin = 1, 0, time.perf_counter()
    said = begin
    while runs < RUNS[protocol] or time.perf_counter() - begin < SECONDS[protocol]:
        seconds.append(sum(timed(chosen.model, samples[(runs + i) % count]) for i in range(means)) / means)
        runs += means
        if len(seconds) == MOST:
            seconds = [(seconds[i] + seconds[i + 1]) / 2 for i in range(0, MOST, 2)]
            means *= 2
        if time.perf_counter() - said > 2:
            said = time.perf_counter()
            say(f"timing: {runs} runs in {said - begin:.0f} of at least {SECONDS[protocol]:.0f} s")
    return {
        "protocol": protocol,
        "seconds": seconds,
        "means": means,
        "warmup": WARM_UP,
        "load": chosen.load,
        "first": chosen.first,
    }
