"""`edgekd bench`: time a model file or a bundle on this computer."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd import units
from edgekd.cli import options as o
from edgekd.cli import output
from edgekd.cli.progress import display
from edgekd.commands.bench import Benched, bench
from edgekd.report import text
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
    count = sum(map(len, latency.sessions))
    output.answer(f"{measurement.basis} on {place}, {latency.threads} thread(s), {count} inferences")
    rows = [(name, units.show_seconds(getattr(latency, name))) for name in ("p50", "p90", "p99", "first", "load")]
    rows.append(("memory", "not measured" if measurement.memory is None else units.show_size(measurement.memory)))
    output.answer(output.lines(rows))
    for note in (f"inputs: {found.inputs}", latency.why, measurement.why):
        if note:
            output.answer(f"note: {note}")


@app.command("bench")
def bench_artifact(
    artifact: Annotated[Path, typer.Argument(help="A bundle, or a .tflite, .onnx or OpenVINO .xml file.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of an inference.")] = 1,
    json: o.Json = False,
) -> None:
    """Time a model file or a bundle on this computer."""
    with display() as observer:
        observer(Event(kind="start", stage="bench"))
        found = bench(artifact, threads, lambda done, what: observer(progress(done, what)))
    if json:
        output.show_json(found.model_dump(mode="json"))
    else:
        show(found)
    latency = found.measurement.latency
    raise typer.Exit(0 if latency and latency.stable else 4)
