"""Time model files and bundles on this computer or on boards."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

from edgekd import files, jobs, plugins
from edgekd.catalog import shown
from edgekd.commands import elsewhere
from edgekd.commands.subjects import Subject, is_bundle, subject
from edgekd.commands.timed import How, cannot, measure, module, together
from edgekd.errors import DeviceError
from edgekd.results import Measurement, Replayed
from edgekd.spec import Device, Value

SILENT = "golden vectors were not replayed there: the program that runs such files on the device tells no outputs"
WRONG = "its golden vectors are not what was recorded, so it computes something else there"


class Benched(Value):
    """What was timed, with which inputs, and what came out; `at` is the name of the board, empty for this computer.

    `replayed` is what a bundle's golden vectors say there; `report` is the page that has a new row for this.
    """

    artifact: str
    format: str
    size: int
    inputs: str
    measurement: Measurement
    at: str = ""
    replayed: Replayed | None = None
    report: str = ""


def bench(paths: Sequence[Path], devices: Sequence[Device], how: How, store: Path) -> tuple[Benched, ...]:
    """Time every artifact on every device: devices at once, on each of them one artifact after the other.

    Bundles are fed their golden samples, bare files random numbers. A bundle must first compute what was recorded of
    it; on other devices than this computer it predicts test samples too, if the `store` has them, and the report of its
    run gets a row. On this computer no build works meanwhile. A device that cannot be reached is no end for the others:
    its results say why. Raises UsageError, and DeviceError of this computer.
    """
    subjects = [subject(path, how.runtime) for path in paths]

    def on(device: Device, stopping: Event) -> list[Benched]:
        pairs = zip(paths, subjects, strict=True)
        try:
            return [_bench(path, one, device, how, store) for path, one in pairs if not stopping.is_set()]
        finally:
            jobs.Reached(device).leave()

    found = together(on, devices)
    return tuple(_reported(paths[i], each[i]) for i in range(len(paths)) for each in found)


def _bench(path: Path, one: Subject, device: Device, how: How, store: Path) -> Benched:
    here, reached = device.name == Device().name, jobs.Reached(device)
    replayed = None
    try:
        replayed = _replayed(path, one, reached, how, None if here else store)
        if replayed is None or replayed.passed:
            (found,) = measure([one], reached, how)
        else:
            found = Measurement(basis="not measured", device=reached.facts(), why=WRONG)
        if is_bundle(path) and _silent(one, device):
            found = found.model_copy(update={"why": "; ".join(filter(None, (found.why, SILENT)))})
    except DeviceError as error:
        if here:
            raise
        found = Measurement(basis="not measured", why=str(error))
    return Benched(
        artifact=str(path),
        format=one.format,
        size=files.size(one.model),
        inputs=one.inputs,
        measurement=found,
        at="" if here else device.name,
        replayed=replayed,
    )


def _replayed(path: Path, one: Subject, reached: jobs.Reached, how: How, store: Path | None) -> Replayed | None:
    """What the golden vectors of a bundle say; None for bare files, and where nothing can run there."""
    facts = reached.facts()
    if not is_bundle(path) or cannot(facts, one, how) or _silent(one, reached.device):
        return None
    how.tell(0.0, f"{facts.name}: golden vectors")
    runtime = f"{how.runtime} {facts.runtimes[module(one, how)]}".strip()
    return elsewhere.replay(path, one, reached, runtime, store)


def _silent(one: Subject, device: Device) -> bool:
    """Whether nobody tells what the device computes of such a file."""
    return one.format in plugins.declared("devices", device.reach.name).silent


def _reported(path: Path, one: Benched) -> Benched:
    """With the report that has a row for it now, if it was on another device and the bundle is in its run."""
    if not one.at or not is_bundle(path) or one.measurement.device is None:
        return one
    page = elsewhere.add(path, one.measurement, one.replayed)
    return one if page is None else one.model_copy(update={"report": shown(page)})
