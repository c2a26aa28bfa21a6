"""What an application's self-test said on somebody's device, as a row of the run's report."""

import datetime
import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edgekd import units
from edgekd.catalog import shown
from edgekd.errors import Problem, UsageError
from edgekd.report.report import render
from edgekd.results import DeviceFacts, Elsewhere, Interval, Latency, Measurement, Replayed, Report, Row
from edgekd.statistics import spread

# Bytes of a self-test's file: it holds 5,000 latencies at most.
LARGEST = 1 << 20
MOST = 5000


Line = Annotated[str, AfterValidator(lambda text: units.plain(text, 80))]
Long = Annotated[str, AfterValidator(lambda text: units.plain(text, 300))]
Seconds = Annotated[float, Field(gt=0, lt=3600, allow_inf_nan=False)]


class _Said(BaseModel):
    """Part of the file; what is not known is left out, since an application may add to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Model(_Said):
    name: Line
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Device(_Said):
    name: Line = ""
    system: Line = ""
    processor: Line = ""
    cores: Annotated[int, Field(ge=0, lt=10_000)] = 0
    memory: Annotated[int, Field(ge=0)] | None = None
    agent: Long = ""
    emulated: Line = ""


class _Runtime(_Said):
    name: Line
    version: Line


class _Tried(_Said):
    name: Line
    kept: bool
    why: Long = ""


class _Accelerator(_Said):
    used: Line
    threads: Annotated[int, Field(ge=1, lt=10_000)] = 1
    tried: tuple[_Tried, ...] = ()


class _Check(_Said):
    what: Line
    passed: bool | None
    why: Long = ""


class _Latency(_Said):
    protocol: Literal["look", "number"]
    seconds: Annotated[tuple[Seconds, ...], Field(min_length=2, max_length=MOST)]
    means: Annotated[int, Field(ge=1)] = 1
    warmup: Annotated[int, Field(ge=0)] = 0
    load: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    first: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class SelfTest(_Said):
    """The file that an application's self-test writes, selftest.json. One that has no clock says not when."""

    schema_version: Literal[1]
    kind: Literal["edgekd self-test"]
    app: Line
    created: AwareDatetime | None = None
    model: _Model
    device: _Device
    runtime: _Runtime
    accelerator: _Accelerator
    passed: bool
    checks: Annotated[tuple[_Check, ...], Field(min_length=1, max_length=1000)]
    difference: Annotated[float, Field(ge=0)] | None = None
    tolerance: Annotated[float, Field(ge=0)]
    latency: _Latency | None = None


def add(run: Path, report: Report, file: Path) -> Elsewhere:
    """Put what `file` says into the report of a run, as a row of its own; returns the row.

    Raises UsageError for a file that is no self-test, or is that of a model which the run did not ship; nothing is
    written then.
    """
    said = _read(file)
    row = _row(report, said, file)
    found = Elsewhere(
        target=row.target,
        measurement=_measurement(said, row),
        replayed=_replayed(said),
        created=_when(said, file).isoformat(timespec="seconds"),
        app=said.app,
        accelerator=said.accelerator.used,
        failed=tuple(_told(one) for one in said.checks if one.passed is False),
        unseen=tuple(_told(one) for one in said.checks if one.passed is None),
    )
    if found in report.elsewhere:
        raise UsageError(Problem(shown(file), "is in the report already"))
    render(report.model_copy(update={"elsewhere": (*report.elsewhere, found)}), run)
    return found


def _when(said: SelfTest, file: Path) -> datetime.datetime:
    """When it was; where the device does not know, when the file was last written."""
    if said.created is None:
        return datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC)
    return said.created.astimezone(datetime.UTC)


def _read(file: Path) -> SelfTest:
    hint = "Name the selftest.json that the application wrote"
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(Problem(shown(file), f"cannot be read: {error.strerror}", hint)) from None
    if len(data) > LARGEST:
        message = f"is larger than {units.show_size(LARGEST)}, which no self-test is"
        raise UsageError(Problem(shown(file), message, hint))
    try:
        said = SelfTest.model_validate_json(data)
    except ValidationError as error:
        wrong = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()[:5]]
        raise UsageError(
            *(Problem(f"{shown(file)}{f': {key}' if key else ''}", units.plain(text, 200), hint) for key, text in wrong)
        ) from None
    if said.passed != all(one.passed is not False for one in said.checks):
        raise UsageError(Problem(f"{shown(file)}: passed", "is not what its checks say", hint))
    return said


def _row(report: Report, said: SelfTest, file: Path) -> Row:
    """The row whose file was tested."""
    ships = [row for row in report.rows if row.ships and row.artifact]
    for row in ships:
        if row.artifact and row.artifact.file.sha256 == said.model.sha256:
            return row
    shipped = ", ".join(f"{row.artifact.file.name} {row.artifact.file.sha256[:12]}" for row in ships if row.artifact)
    message = f"is of the file {said.model.name} {said.model.sha256[:12]}, and this run shipped {shipped or 'none'}"
    raise UsageError(Problem(shown(file), message, "Name the run that the application was made of"))


def _measurement(said: SelfTest, row: Row) -> Measurement:
    """What the device said of itself and how long inferences took there, measured by the application."""
    assert row.artifact is not None
    device = said.device
    told: dict[str, Any] = {**device.model_dump(mode="json"), "accelerator": said.accelerator.used}
    name = device.name or device.agent or "a device that does not say which"
    facts = DeviceFacts(
        name=name,
        fingerprint=hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest(),
        model=device.name,
        system=", ".join(filter(None, (device.system, said.accelerator.used))),
        processor=device.processor,
        cores=device.cores,
        memory=device.memory or 0,
        python="",
        runtimes={row.artifact.format: f"{said.runtime.name} {said.runtime.version}"},
        emulated=f"its programs run in {device.emulated}" if device.emulated else "",
    )
    if device.emulated:
        return Measurement(basis="not measured", device=facts, why=f"{facts.emulated}, whose seconds are no device's")
    if said.latency is None:
        why = "a check failed, so nothing was timed" if not said.passed else "the application timed nothing"
        return Measurement(basis="not measured", device=facts, why=why)
    return Measurement(basis="measured", device=facts, latency=_latency(said.latency, said.accelerator.threads))


def _latency(said: _Latency, threads: int) -> Latency:
    """One session. Others would tell how much one differs from the next, so it is never called stable."""
    found = spread([np.asarray(said.seconds)])
    spans = found.spans
    why = f"one session of {len(said.seconds) * said.means} inferences, by the application's own self-test"
    return Latency(
        sessions=(said.seconds,),
        warmup_runs=said.warmup,
        threads=threads,
        load=said.load,
        first=said.first,
        **{name: spans[name].value for name in ("p50", "p90", "p99", "quiet")},
        p90_high=spans["p90"].most,
        intervals={name: Interval(value=one.value, low=one.low, high=one.high) for name, one in spans.items()},
        protocol="quick",
        inferences=len(said.seconds) * said.means,
        seconds=float(np.sum(said.seconds)) * said.means,
        stable=False,
        why="; ".join(filter(None, (why, found.why))),
    )


def _replayed(said: SelfTest) -> Replayed | None:
    if said.difference is None:
        return None
    return Replayed(difference=said.difference, tolerance=said.tolerance, why="the self-test sees golden samples only")


def _told(check: _Check) -> str:
    return f"{check.what}: {check.why}" if check.why else check.what
