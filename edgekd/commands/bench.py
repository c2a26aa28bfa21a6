"""Time model files and bundles on this computer or on boards."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

from edgekd import files, jobs
from edgekd.commands.subjects import Subject, subject
from edgekd.commands.timed import How, measure, together
from edgekd.errors import DeviceError
from edgekd.results import Measurement
from edgekd.spec import Device, Value


class Benched(Value):
    """What was timed, with which inputs, and what came out; `at` is the name of the board, empty for this computer."""

    artifact: str
    format: str
    size: int
    inputs: str
    measurement: Measurement
    at: str = ""


def bench(paths: Sequence[Path], devices: Sequence[Device], how: How) -> tuple[Benched, ...]:
    """Time every artifact on every device: devices at once, on each of them one artifact after the other.

    Bundles are fed their golden samples, bare files random numbers. On this computer no build works meanwhile. A device
    that cannot be reached is no end for the others: its results say why. Raises UsageError, and DeviceError of this
    computer.
    """
    subjects = [subject(path, how.runtime) for path in paths]

    def on(device: Device, stopping: Event) -> list[Benched]:
        pairs = zip(paths, subjects, strict=True)
        try:
            return [_bench(path, one, device, how) for path, one in pairs if not stopping.is_set()]
        finally:
            jobs.Reached(device).leave()

    found = together(on, devices)
    return tuple(each[i] for i in range(len(paths)) for each in found)


def _bench(path: Path, one: Subject, device: Device, how: How) -> Benched:
    here, reached = device.name == Device().name, jobs.Reached(device)
    try:
        (found,) = measure([one], reached, how)
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
    )
