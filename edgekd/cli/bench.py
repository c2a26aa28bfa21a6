"""`edgekd bench`: time a model file or a bundle on this computer."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.commands.bench import Benched
from edgekd.commands.bench import bench as time_artifact
from edgekd.report import text, timed
from edgekd.spec import Protocol
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


@app.command("bench")
def bench_artifact(
    artifact: Annotated[Path, typer.Argument(help="A bundle, or a .tflite, .onnx or OpenVINO .xml file.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of an inference.")] = 1,
    bench: Annotated[
        Protocol,
        typer.Option("--bench", help="quick: seconds; reportable: over a minute; soak: that and 10 minutes more."),
    ] = "reportable",
    power_log: Annotated[
        str, typer.Option(metavar="FILE", help="A power meter's log on the device: a line of seconds,watts a reading.")
    ] = "",
    json: o.Json = False,
) -> None:
    """Time a model file or a bundle on this computer."""
    with display() as observer:
        observer(Event(kind="start", stage="bench"))
        found = time_artifact(artifact, threads, bench, lambda done, what: observer(progress(done, what)), power_log)
    if json:
        output.show_json(found.model_dump(mode="json"))
    else:
        show(found)
    latency = found.measurement.latency
    raise typer.Exit(0 if latency and latency.stable else 4)
