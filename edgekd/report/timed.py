"""A measurement in words and rows: quantiles with intervals, noise floor, verdict, conditions, energy."""

from collections.abc import Iterator

from edgekd import units
from edgekd.conditions import Conditions, Energy, Reading, Soak
from edgekd.report.text import NONE
from edgekd.results import Latency, Measurement, Replayed

UNKNOWN = "not known"


def quantiles(latency: Latency) -> list[tuple[str, str]]:
    """Every quantile with its 95 % interval; of the p90 also the bound that budgets are held against."""
    rows = []
    for name in ("p90", "p50", "p99", "quiet"):
        value, interval = units.show_seconds(getattr(latency, name)), latency.intervals.get(name)
        span = f" ({units.show_seconds(interval.low)} to {units.show_seconds(interval.high)})" if interval else ""
        most = f", at most {units.show_seconds(latency.p90_high)}" if name == "p90" else ""
        rows.append((name, f"{value}{span}{most}"))
    return rows


def floor(latency: Latency) -> str:
    """The noise floor: what the file differs from itself."""
    if latency.noise is None:
        return f"{UNKNOWN}: fewer than four sessions"
    quiet, p90 = latency.noise.quiet.margin, latency.noise.p90.margin
    return f"quiet {_percent(quiet)}, p90 {_percent(p90)} (the file against itself; a smaller difference is none)"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def verdict(latency: Latency) -> str:
    """Stable or unstable; the reason stands behind it."""
    word = "stable" if latency.stable else "unstable"
    return f"{word}: {latency.why}" if latency.why else word


def sessions(latency: Latency) -> str:
    """How much was timed, by which protocol."""
    count, runs = len(latency.sessions), latency.inferences or sum(map(len, latency.sessions))
    took = f" in {units.show_seconds(latency.seconds)}" if latency.seconds else ""
    return f"{latency.protocol}: {count} sessions, {runs:,} inferences{took}"


def soak(found: Soak) -> str:
    """The last minute of sustained load against the first."""
    ratio = found.slowdown
    ends = " to ".join(units.show_seconds(one.p90) for one in (found.minutes[0], found.minutes[-1]))
    told = f"p90 {ends} from minute 1 to {len(found.minutes)}: {ratio.value:.3f}x ({ratio.low:.3f} to {ratio.high:.3f})"
    return f"{told}; {found.why}" if found.why else told


def replayed(found: Replayed | None) -> Iterator[str]:
    """What golden vectors and test samples say of a file on a device."""
    if found is None:
        return
    word = "as recorded" if found.passed else "NOT as recorded"
    yield f"golden vectors: {word} (largest difference {found.difference:.3g}, {found.tolerance:.3g} is allowed)"
    if found.accuracy is not None and found.before is not None:
        span = f"{100 * found.accuracy.low:.1f}–{units.show_share(found.accuracy.high)}"
        mine = f"{units.show_share(found.accuracy.value)} ({span})"
        yield f"{found.samples} test samples: {mine} right, by the run's own runtime {units.show_share(found.before)}"
    if found.agreement is not None:
        yield f"{found.samples} test samples: {units.show_share(found.agreement)} are told alike by both"
    if found.test_difference is not None:
        yield f"{found.samples} test samples: outputs differ by up to {found.test_difference:.3g}"
    if found.why:
        yield f"no test samples: {found.why}"


def energy(found: Energy | None) -> str:
    """Joules of one inference, or why they are not known."""
    if found is None:
        return "not measured: nobody asked a meter"
    if found.joules is None:
        return f"not measured: {found.why}"
    return f"{found.joules * 1e3:.3g} mJ over idle ({found.source}, {found.inferences} inferences)"


def arena(measurement: Measurement) -> str:
    """Bytes of the runtime's own arena, or why it does not tell."""
    if measurement.arena is None:
        return f"{UNKNOWN}: {measurement.arena_why}" if measurement.arena_why else UNKNOWN
    return units.show_size(measurement.arena)


def circumstances(found: Conditions) -> list[tuple[str, str]]:
    """What surrounded the sessions, by name; what a device does not tell is said to be not known."""
    cores = UNKNOWN if found.affinity is None else ", ".join(map(str, found.affinity))
    rows = [
        ("runtime", f"{found.runtime} {found.version}"),
        ("kernel", found.kernel),
        ("model", found.model),
        ("threads", f"{found.threads}, may run on cores {cores}"),
        ("precision hint", found.precision or NONE),
        ("governor", found.governor or UNKNOWN),
        ("clock", _change(found, "frequency", 1e-9, "GHz")),
        ("temperature", _change(found, "temperature", 1.0, "°C")),
        ("throttled", f"{_held(found.before)} before, {_held(found.after)} after"),
        ("pressure", f"{_share(found.pressure)} of the time; {_change(found, 'pressure', 100.0, '%')}"),
        ("steal", f"{_share(found.steal)} of the time"),
        ("other programs", UNKNOWN if found.others is None else f"kept {found.others:.2f} cores busy"),
    ]
    return rows + list(_rest(found))


def _rest(found: Conditions) -> Iterator[tuple[str, str]]:
    if found.before.battery:
        yield "power", "from the battery"
    if found.waited >= 1:
        yield "cooling", f"{units.show_seconds(found.waited)} between sessions"


def _change(found: Conditions, name: str, scale: float, unit: str) -> str:
    before, after = getattr(found.before, name), getattr(found.after, name)
    if before is None or after is None:
        return UNKNOWN
    return f"{before * scale:.3g} {unit} before, {after * scale:.3g} {unit} after"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def _held(reading: Reading) -> str:
    return UNKNOWN if reading.throttled is None else ", ".join(reading.throttled) or "no"
