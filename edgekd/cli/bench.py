"""`edgekd bench`: time model files and bundles on this computer or on boards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display, opened
from edgekd.commands.bench import Benched
from edgekd.commands.bench import bench as time_artifacts
from edgekd.commands.timed import How
from edgekd.recipes.targets import read_boards
from edgekd.report import text, timed
from edgekd.spec import Device, Protocol
from edgekd.store import Event

app = typer.Typer(add_completion=False)


def progress(done: float, what: str) -> Event:
    """How far the timing is, for a display."""
    return Event(kind="progress", stage="bench", done=done, what=what)


def show(found: Benched) -> None:
    """Print every number with device and basis."""
    measurement = found.measurement
    latency, place = measurement.latency, text.device(measurement.device)
    output.answer(f"{found.artifact}: {found.format}, {units.show_size(found.size)}")
    for text_of in timed.replayed(found.replayed):
        output.answer(text_of)
    if latency is None:
        output.answer(f"not measured: {measurement.why}")
        return
    output.answer(f"{measurement.basis} on {place}, {latency.threads} thread(s), {timed.sessions(latency)}")
    rows = [*timed.quantiles(latency), ("noise floor", timed.floor(latency)), ("verdict", timed.verdict(latency))]
    rows += [("soak", timed.soak(latency.soak))] if latency.soak else []
    rows += [(name, units.show_seconds(getattr(latency, name))) for name in ("first", "load")]
    rows.append(("memory", text.memory(measurement).main))
    rows.append(("arena", timed.arena(measurement)))
    rows.append(("energy", timed.energy(measurement.energy)))
    output.answer(
        output.lines([*rows, *(timed.circumstances(measurement.conditions) if measurement.conditions else ())])
    )
    for note in (f"inputs: {found.inputs}", measurement.why):
        if note:
            output.answer(f"note: {note}")
    if found.report:
        output.answer(f"report: {found.report} has a row of this now")


def show_table(found: Sequence[Benched]) -> None:
    """Print one line for each artifact on each device, and what must be known of them."""
    rows: list[tuple[str, ...]] = [("artifact", "on", "p50", "p90", "p99", "memory", "")]
    notes: dict[str, None] = {}
    for one in found:
        measurement, latency = one.measurement, one.measurement.latency
        place = measurement.device.name if measurement.device else one.at
        numbers = [text.seconds(measurement, quantile).main for quantile in ("p50", "p90", "p99")]
        shaky = "unstable" if latency and not latency.stable else ""
        rows.append((one.artifact, place, *numbers, text.memory(measurement).main, shaky))
        for why in (latency.why if latency else "", measurement.why):
            notes |= {f"{one.artifact} on {place}: {why}": None} if why else {}
        notes |= {f"{one.artifact} on {place}: {line}": None for line in timed.replayed(one.replayed)}
    output.answer(output.lines(rows))
    for note in notes:
        output.answer(f"note: {note}")


@app.command("bench")
def bench_artifact(
    artifact: Annotated[list[Path], typer.Argument(help="Bundles, or .tflite, .onnx or OpenVINO .xml files.")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at", metavar="NAME=ADDRESS", help="A board by ssh, a phone by adb, or browser; none: this computer."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of an inference.")] = 1,
    bench: Annotated[
        Protocol,
        typer.Option("--bench", help="quick: seconds; reportable: over a minute; soak: that and 10 minutes more."),
    ] = "reportable",
    power_log: Annotated[
        str, typer.Option(metavar="FILE", help="A power meter's log on the device: a line of seconds,watts a reading.")
    ] = "",
    runtime: o.Runtime = None,
    https: o.Https = False,
    store: o.StoreAt = None,
    json: o.Json = False,
) -> None:
    """Time model files and bundles on this computer, on several boards, or in browsers, all at once."""
    devices = read_boards(at or (), https) or (Device(),)
    with display() as observer, opened(devices, observer):
        observer(Event(kind="start", stage="bench"))
        how = How(threads, runtime or "", bench, lambda done, what: observer(progress(done, what)), power_log)
        found = time_artifacts(artifact, devices, how, o.store_root(store))
    alone = found[0] if len(found) == 1 else None
    if json:
        output.show_json(alone.model_dump(mode="json") if alone else [one.model_dump(mode="json") for one in found])
    elif alone:
        show(alone)
    else:
        show_table(found)
    latencies = [one.measurement.latency for one in found]
    if any(one.replayed and not one.replayed.passed for one in found):
        raise typer.Exit(1)
    raise typer.Exit(0 if all(latency and latency.stable for latency in latencies) else 4)
