"""Made-up answers of timing sessions."""

from typing import Any

import numpy as np

QUIET = {"throttled": [], "occurred": [], "throttlings": 0, "temperature": 45.0, "frequency": 1.8e9, "ceiling": 1.8e9,
         "governor": "performance", "battery": None, "load": 0.1, "pressure": 0.0}  # fmt: skip
NOWHERE = dict.fromkeys(QUIET)


def session(seconds: float = 1.0, latency: float = 1e-3, seed: int = 0, runs: int = 200, **more: Any) -> dict[str, Any]:
    """A session of a quiet board: `rest`, `before` and `after` are changed by dictionaries of those names."""
    steady = {"steal": 0.0, "waited": 0.0, "busy": 10.0, "own": 1.0}
    spent = {"busy": 10.0 + seconds, "own": 1.0 + seconds}
    latencies = latency * np.random.default_rng(seed).lognormal(0, 0.02, runs)
    rest, before, after = (more.pop(name, {}) for name in ("rest", "before", "after"))
    return {
        "runtime": "onnx",
        "version": "1.2",
        "kernel": "Linux 6.1",
        "affinity": [0, 1],
        "nice": 0,
        "load": 0.1,
        "first": 0.2,
        "warmup": 32,
        "settled": True,
        "batch": 1,
        "notes": {},
        "waited": 0.0,
        "rested": True,
        "rest": QUIET | rest,
        "runs": runs,
        "stride": 1,
        "latencies": latencies.tolist(),
        "seconds": seconds,
        "switches": 0,
        "before": QUIET | steady | before,
        "after": QUIET | steady | spent | after,
    } | more
