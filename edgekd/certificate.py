"""What a bundle promises: its budget, what was measured against it, on which device, and for exactly which files."""

from collections.abc import Mapping
from typing import Literal

from edgekd import units
from edgekd.conditions import Conditions, Noise
from edgekd.gauge import ACCURACY, Gauge
from edgekd.policies import limits
from edgekd.results import Basis, DeviceFacts, Interval, Latency, Measurement, Report, Row
from edgekd.spec import Budget, Protocol, Value

NAME = "certificate.json"
SIGNATURE = f"{NAME}.sig"
Verdict = Literal["holds", "broken", "inconclusive"]
# What a file's budget is held against once more on a device; the rest cannot change there.
AGAIN = ("max_latency", "max_memory", "max_size", "max_arena", "max_flash")
ARENA = "smallest arena of the reference kernels, with pointers of 64 bits"
FLASH = "size of the file, without the code that runs it"
UNITS = {"max_latency": "s", "max_params": "", "max_macs": ""} | dict.fromkeys(AGAIN[1:], "bytes")


class Term(Value):
    """One limit, what it was held against (`held`, None: not known) and what was seen (`found`, with its interval)."""

    limit: str
    allowed: float
    unit: str = ""
    statistic: str
    held: float | None = None
    found: Interval | None = None
    verdict: Verdict
    why: str = ""


class Certificate(Value):
    """A budget and how it was kept. `sha256` are the digests of all other files of the bundle, `created` is a date.

    A latency carries its protocol and its noise floor; `conditions` are what surrounded its sessions.
    """

    schema_version: int = 1
    edgekd: str
    created: str
    target: str
    precision: str
    verdict: Verdict
    terms: tuple[Term, ...]
    budget: Budget
    gauge: Gauge = ACCURACY
    accuracy: Interval | None = None
    basis: Basis
    device: DeviceFacts | None = None
    runtime: str = ""
    threads: int = 1
    protocol: Protocol | None = None
    noise: Noise | None = None
    conditions: Conditions | None = None
    why: str = ""
    model: str
    sha256: dict[str, str]


def certify(report: Report, row: Row, sha256: Mapping[str, str]) -> Certificate:
    """The certificate of a row that ships; `sha256` are the digests of its bundle's files."""
    assert row.artifact is not None
    target = next(target for target in report.plan.targets if target.name == row.target)
    latency, conditions = row.measurement.latency, row.measurement.conditions
    runtime = f"{conditions.runtime} {conditions.version}" if conditions else target.format
    return Certificate(
        edgekd=report.edgekd,
        created=report.created,
        target=row.target,
        precision=row.precision,
        verdict={True: "holds", False: "broken", None: "inconclusive"}[row.fits],
        terms=(*measured(target.budget, row.artifact.size, row.measurement), *_of_network(target.budget, row)),
        budget=target.budget,
        gauge=row.score.gauge if row.score else ACCURACY,
        accuracy=row.score.accuracy if row.score else None,
        basis=row.measurement.basis,
        device=row.measurement.device,
        runtime=runtime,
        threads=target.threads,
        protocol=latency.protocol if latency else None,
        noise=latency.noise if latency else None,
        conditions=conditions,
        why="; ".join(filter(None, (*row.missed, row.measurement.why, latency.why if latency else ""))),
        model=row.artifact.file.name,
        sha256=dict(sorted(sha256.items())),
    )


def measured(budget: Budget, size: int, measurement: Measurement) -> tuple[Term, ...]:
    """Each limit that a device decides, and the file's size, held against what was measured."""
    found = []
    if budget.max_latency is not None:
        found.append(_latency(budget, budget.max_latency, measurement))
    if budget.max_memory is not None:
        memory = measurement.memory
        found.append(_exact("max_memory", budget.max_memory, memory, "peak over the empty runtime's", measurement.why))
    if budget.max_size is not None:
        found.append(_exact("max_size", budget.max_size, size, "size of the file"))
    if budget.max_arena is not None:
        found.append(_exact("max_arena", budget.max_arena, measurement.memory, ARENA, measurement.why))
    if budget.max_flash is not None:
        found.append(_exact("max_flash", budget.max_flash, size, FLASH))
    return tuple(found)


def overall(terms: tuple[Term, ...]) -> Verdict:
    """Broken if any limit is, else inconclusive if any could not be judged."""
    verdicts = {term.verdict for term in terms}
    return "broken" if "broken" in verdicts else "inconclusive" if "inconclusive" in verdicts else "holds"


def told(term: Term) -> str:
    """A term in words: what was held against which limit."""
    shows = {"s": units.show_seconds, "bytes": units.show_size, "": units.show_count, "share": units.show_share}
    show = shows.get(term.unit) or (lambda value: f"{value:.4g} {term.unit}".removesuffix(" plain"))
    allowed, name = show(term.allowed), term.limit.partition("_")[2].replace("_", " ")
    if term.held is None:
        return f"{name}: not known against {allowed}" + (f" ({term.why})" if term.why else "")
    side = "at least" if term.limit.startswith("min_") else "at most"
    span = f", {show(term.found.low)} to {show(term.found.high)}" if term.found else ""
    why = f"; {term.why}" if term.why else ""
    return f"{name}: {show(term.held)} ({term.statistic}{span}), {side} {allowed} is allowed{why}"


def _latency(budget: Budget, allowed: float, measurement: Measurement) -> Term:
    """Kept where the bound is below the limit, broken where the whole interval is above it."""
    latency = measurement.latency
    statistic = "upper 95 % bound of the p90, sessions resampled"
    if latency is None or measurement.basis != "measured":
        why = measurement.why or f"{measurement.basis}, not measured on the device"
        return Term(
            limit="max_latency", allowed=allowed, unit="s", statistic=statistic, verdict="inconclusive", why=why
        )
    if latency.soak is not None:
        statistic += ", after sustained load"
    verdict = _kept(budget, allowed, latency)
    return Term(
        limit="max_latency",
        allowed=allowed,
        unit="s",
        statistic=statistic,
        held=latency.bound,
        found=latency.intervals.get("p90"),
        verdict=verdict,
        why="" if latency.stable or verdict != "inconclusive" else f"unstable: {latency.why}",
    )


def _kept(budget: Budget, allowed: float, latency: Latency) -> Verdict:
    if not limits.conclusive(budget, latency):
        return "inconclusive"
    if latency.bound <= allowed:
        return "holds"
    low = latency.intervals["p90"].low if "p90" in latency.intervals else latency.p90
    return "broken" if low > allowed else "inconclusive"


def _exact(limit: str, allowed: float, value: float | None, statistic: str, why: str = "") -> Term:
    """A limit on a number without an interval; `min_` ones are kept from below."""
    verdict: Verdict = "inconclusive"
    if value is not None:
        verdict = "holds" if (value >= allowed if limit.startswith("min_") else value <= allowed) else "broken"
    return Term(
        limit=limit,
        allowed=allowed,
        unit=UNITS.get(limit, "share"),
        statistic=statistic,
        held=value,
        verdict=verdict,
        why=why if value is None else "",
    )


def _of_network(budget: Budget, row: Row) -> tuple[Term, ...]:
    """Limits that no device decides: on the network's size and on accuracy."""
    size, score = row.size, row.score
    found = []
    if budget.max_params is not None:
        found.append(_exact("max_params", budget.max_params, size.params if size else None, "counted"))
    if budget.max_macs is not None:
        found.append(_exact("max_macs", budget.max_macs, size.macs if size else None, "counted"))
    if budget.min_accuracy is not None:
        accuracy = score.accuracy if score else None
        term = _exact("min_accuracy", budget.min_accuracy, accuracy.value if accuracy else None, "on the test part")
        found.append(term.model_copy(update={"found": accuracy}))
    if budget.max_error is not None:
        error = score.accuracy if score else None
        term = _exact("max_error", budget.max_error, error.value if error else None, "on the test part")
        unit = score.gauge.unit if score else ""
        found.append(term.model_copy(update={"found": error, "unit": unit or "plain"}))
    if budget.max_drop is not None:
        drop = score.drop if score else None
        term = _exact("max_drop", budget.max_drop, score.lost if score else None, "against the teacher, test part")
        found.append(term.model_copy(update={"found": drop if score and not score.gauge.lower else None}))
    return tuple(found)
