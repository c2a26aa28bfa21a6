"""This computer: each job in a fresh process of the same Python, without torch."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edgekd import files
from edgekd.devices import _jobs
from edgekd.errors import DeviceError
from edgekd.results import DeviceFacts
from edgekd.spec import Device, Value

VERSION = 1
PACKAGES = ()

# What a process needs to find its packages and its temporary files; everything else might change what is measured.
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
PROBE_TIMEOUT = 60.0
# Most bytes of a process's output that an error quotes from.
TAIL = 4096


class Settings(Value):
    """No settings."""


def probe(settings: Settings, device: Device) -> DeviceFacts:
    """What this computer is. It is called by its processor, so that nobody takes it for another device."""
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        files.write(folder / _jobs.REQUEST, json.dumps({"verb": "facts"}))
        run(settings, device, folder, PROBE_TIMEOUT)
        result = _jobs.read_result(folder, 0, "")
    return _jobs.facts(f"{device.name.replace('-', ' ')} ({result['processor']})", result)


def run(settings: Settings, device: Device, folder: Path, timeout: float) -> None:
    """Run the job in `folder`, which is then left with result.json. Raises DeviceError.

    The process stays in the caller's process group, so that it ends when a worker and its group are killed. Its output
    goes to a file, because a pipe would have to be read while it is timed.
    """
    request = _jobs.prepare(folder)
    command = [sys.executable, _jobs.APP, _jobs.REQUEST]
    with tempfile.TemporaryFile() as output:
        try:
            status = subprocess.run(
                command,
                cwd=folder,
                env=environment(int(request.get("threads", 1))),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"the runtime did not answer within {timeout:.0f} s and was ended") from error
        except OSError as error:
            raise DeviceError(f"{sys.executable} cannot be started: {error.strerror}") from error
        output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL))
        _jobs.read_result(folder, status, output.read().decode(errors="replace"))


def environment(threads: int) -> dict[str, str]:
    """The environment of a job: little of this process's own, and what every device has."""
    kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return kept | _jobs.environment(threads)
