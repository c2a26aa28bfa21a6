"""A board or computer reached by ssh: needs python3, numpy and the runtime there, and nothing of edgekd."""

import atexit
import hashlib
import json
import tempfile
import threading
from pathlib import Path

from edgekd import files
from edgekd.devices import _jobs, _said, _ssh
from edgekd.errors import DeviceError, Unreachable
from edgekd.results import DeviceFacts
from edgekd.spec import Device, Value

VERSION = 1
PACKAGES = ()
ADDRESS = "pi@raspberrypi.local"

PROBE_TIMEOUT = 120.0
# Verbs whose answers other work on the board would change.
MEASURING = ("clock", "memory", "profile")
NO_SPACE = "No space left on device"
# A disk with fewer bytes left than that is full: a process may not even be able to say so.
FULL = 64 * 1024

# Of each thread its own: two boards may have one address, and requests of two threads must not mix.
_open: dict[tuple[int, str, str], _ssh.Session] = {}


class Settings(Value):
    """`python`: the interpreter there, a name or a whole path. `emulated`: it is no real device, say so everywhere."""

    python: str = "python3"
    emulated: bool = False


def probe(settings: Settings, device: Device) -> DeviceFacts:
    """What the device is, by its own word. Emulated ones never pass for real ones. Raises DeviceError."""
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        files.write(folder / _jobs.REQUEST, json.dumps({"verb": "facts"}))
        emulator = _run(settings, device, folder, PROBE_TIMEOUT)
        result = _jobs.read_result(folder, 0, "")
    facts = _jobs.facts(f"{device.name} ({result['model']})", result)
    why = f"its programs run in {emulator}" if emulator else "its card says so" if settings.emulated else ""
    if not why:
        return facts
    fingerprint = hashlib.sha256(f"emulated {facts.fingerprint}".encode()).hexdigest()
    name = f"{device.name} (EMULATED {result['model']})"
    return facts.model_copy(update={"name": name, "fingerprint": fingerprint, "emulated": why})


def run(settings: Settings, device: Device, folder: Path, timeout: float) -> None:
    """Run the job in `folder` there, which is then left with result.json. Raises DeviceError.

    The connection stays open for the next job of this process, so that files are sent once.
    """
    _run(settings, device, folder, timeout)


def leave(device: Device) -> None:
    """End this thread's connections to a device, which lets others measure there."""
    mine = threading.get_ident(), device.address
    for key in [key for key in list(_open) if key[:2] == mine]:
        _open.pop(key).close()


def session(settings: Settings, device: Device) -> _ssh.Session:
    """This thread's connection to a device, open or new; its `hello` tells of Python and system. Raises Unreachable."""
    address = device.address
    if not address:
        raise Unreachable(f"{device.name} has no address. Write for example --at {device.name}={ADDRESS}")
    if not _ssh.ADDRESS.fullmatch(address):
        raise Unreachable(f"{address!r} is no address of {device.name}. Write for example {ADDRESS}")
    key = threading.get_ident(), address, settings.python
    if key in _open and _open[key].closed:
        _open.pop(key).close()
    if key not in _open:
        _open[key] = _ssh.Session(device.name, address, settings.python)
    return _open[key]


def _run(settings: Settings, device: Device, folder: Path, timeout: float) -> str:
    """Run a job; returns the program that emulates the board's processor, empty where none was seen."""
    request = _jobs.prepare(folder)
    connection = session(settings, device)
    environment = _jobs.environment(int(request.get("threads", 1)))
    alone = request.get("verb") in MEASURING
    done = connection.run(folder, (_jobs.APP, _jobs.REQUEST), environment, timeout, alone)
    try:
        _jobs.read_result(folder, int(done["status"]), str(done["output"]))
    except DeviceError as error:
        if done["status"] and (NO_SPACE in str(error) or done["free"] < FULL):
            raise Unreachable(_said.full(device.name)) from error
        raise
    return str(done["emulator"])


@atexit.register
def _leave_all() -> None:
    while _open:
        _open.popitem()[1].close()
