"""Is a new model file slower than the old one? Both are timed in turn on one device, so both meet the same noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd import jobs
from edgekd.catalog import shown
from edgekd.commands.subjects import subject
from edgekd.commands.timed import How, measure
from edgekd.conditions import Ratio
from edgekd.results import Latency, Measurement
from edgekd.spec import Device, Value
from edgekd.statistics import QUANTILES, paired_ratio

Judged = Literal["regression", "no regression", "not judged"]


class Compared(Value):
    """Two files on one device: how many times the new one's latency is the old one's, by quantile.

    `floor` is the share by which the files differ from themselves; the verdict is on the quiet latency.
    """

    before: str
    after: str
    device: str
    verdict: Judged
    why: str
    ratios: dict[str, Ratio] = {}
    floor: float = 0.0
    measurements: tuple[Measurement, ...]


def against(
    before: Path,
    after: Path,
    device: Device,
    how: How,
    allowed: float,
) -> Compared:
    """Time two files or bundles in turn; `allowed` is the share of latency that may be lost.

    Raises UsageError and DeviceError.
    """
    subjects, reached = [subject(path, how.runtime) for path in (before, after)], jobs.Reached(device)
    try:
        measurements = measure(subjects, reached, how)
    finally:
        reached.leave()
    return judged((shown(before), shown(after)), measurements, allowed)


def judged(names: tuple[str, str], measurements: Sequence[Measurement], allowed: float) -> Compared:
    """A regression only where the whole interval, and the noise floor, are on the wrong side of what is allowed."""
    old, new = (one.latency for one in measurements)
    facts = measurements[0].device
    told = {
        "before": names[0],
        "after": names[1],
        "device": facts.name if facts else "",
        "measurements": tuple(measurements),
    }
    if old is None or new is None:
        why = "; ".join(dict.fromkeys(one.why for one in measurements if one.why))
        return Compared.model_validate(told | {"verdict": "not judged", "why": why})
    ratios = {name: _ratio(new, old, share) for name, share in QUANTILES.items() if name in ("quiet", "p90")}
    floor, quiet = max(old.floor, new.floor), ratios["quiet"]
    verdict, why = _verdict(quiet, floor, allowed)
    shaky = [f"{name} is unstable: {one.why}" for name, one in zip(names, (old, new), strict=True) if not one.stable]
    if shaky and verdict != "no regression":
        verdict, why = "not judged", "; ".join((why, *shaky))
    return Compared.model_validate(told | {"verdict": verdict, "why": why, "ratios": ratios, "floor": floor})


def _verdict(quiet: Ratio, floor: float, allowed: float) -> tuple[Judged, str]:
    change = f"{100 * (quiet.value - 1):+.1f} % ({100 * (quiet.low - 1):+.1f} to {100 * (quiet.high - 1):+.1f} %)"
    if quiet.low > 1 + allowed and quiet.value > 1 + floor:
        return "regression", f"the quiet latency changed by {change}, more than {100 * allowed:g} %"
    if quiet.high <= 1 + allowed:
        return "no regression", f"the quiet latency changed by {change}, at most {100 * allowed:g} % is allowed"
    return "not judged", f"the quiet latency changed by {change}: the noise is too large to tell {100 * allowed:g} %"


def _ratio(new: Latency, old: Latency, share: float) -> Ratio:
    """Of sessions taken in turn; a session that had to be repeated moves the rest by one, which costs little."""
    count = min(len(new.sessions), len(old.sessions))
    first, second = (_arrays(one, count) for one in (new, old))
    value, low, high = paired_ratio(first, second, share)
    return Ratio(value=value, low=low, high=high)


def _arrays(latency: Latency, count: int) -> list[NDArray[np.float64]]:
    return [np.asarray(session) for session in latency.sessions[:count]]
