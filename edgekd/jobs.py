"""Jobs that a stage sends to a device: a folder with model, samples and request, and the answer that comes back."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import DeviceError
from edgekd.results import Artifact, Basis, DeviceFacts
from edgekd.spec import Device

VERSION = 1

REQUEST, RESULT = "request.json", "result.json"


@contextmanager
def opened(devices: Iterable[Device], tell: Callable[[str], None]) -> Iterator[None]:
    """Until the end of the block, what has to be opened for a device to be reached is open; `tell` is told of it.

    Raises UsageError and DeviceError.
    """
    with ExitStack() as stack:
        for device in {device.name: device for device in devices}.values():
            if plugins.declared("devices", device.reach.name).opens:
                plugin = plugins.find("devices", device.reach.name)
                settings = plugin.Settings.model_validate(device.reach.settings)
                stack.enter_context(plugin.opened(settings, device, tell))
        yield


class Reached:
    """A device that a stage talks to, with its settings validated. Only workers make one: it imports the plug-in."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._plugin = plugins.find("devices", device.reach.name)
        self._settings = self._plugin.Settings.model_validate(device.reach.settings)

    def facts(self) -> DeviceFacts:
        """What the device is. Raises DeviceError."""
        facts: DeviceFacts = self._plugin.probe(self._settings, self.device)
        return facts

    def run(self, folder: Path, timeout: float) -> None:
        """Run the job in `folder`. Raises DeviceError."""
        self._plugin.run(self._settings, self.device, folder, timeout)

    def leave(self) -> None:
        """End the connection where the way to reach the device keeps one."""
        leave = getattr(self._plugin, "leave", None)
        if leave is not None:
            leave(self.device)


class Job:
    """One artifact's folder on its way to a device; used in a `with` block, it is gone afterwards.

    `runtime` is what a step says of it: a version, behind a name where it is not the format's own.
    """

    def __init__(self, folder: Path, artifact: Artifact, model: Path, threads: int = 1, runtime: str = "") -> None:
        self.folder = folder
        self._request: dict[str, Any] = {
            "runtime": module(artifact.format, runtime),
            "model": artifact.file.name,
            "threads": threads,
            "signature": artifact.signature.model_dump(mode="json"),
        }
        folder.mkdir(parents=True)
        self.link(artifact.file.name, model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def link(self, name: str, path: Path) -> None:
        """Put a file or folder of the store into the job without copying it."""
        (self.folder / name).symlink_to(path.absolute())

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Put an array into the job."""
        np.save(self.folder / name, array, allow_pickle=False)

    def ask(self, reached: Reached, verb: str, timeout: float, more: Mapping[str, Any]) -> dict[str, Any]:
        """Send the job with one verb and its own fields; returns the answer. Raises DeviceError."""
        request = self._request | {"verb": verb} | dict(more)
        (self.folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        reached.run(self.folder, timeout)
        try:
            answer: dict[str, Any] = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DeviceError(f"{reached.device.name} left no readable answer: {error}") from error
        return answer

    def predict(
        self, reached: Reached, inputs: Mapping[str, NDArray[Any]], timeout: float, prepared: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Every output by name for a few samples, as they are stored or `prepared`. Raises DeviceError."""
        named = {name: f"input-{i}.npy" for i, name in enumerate(inputs)}
        for name, file in named.items():
            self.save(file, inputs[name])
        return self.outputs(reached, {"inputs": named, "prepared": prepared}, timeout)

    def outputs(self, reached: Reached, samples: Mapping[str, Any], timeout: float) -> dict[str, NDArray[Any]]:
        """Every output by name for samples that are in the job. Raises DeviceError."""
        answer = self.ask(reached, "predict", timeout, {**samples, "all": True})
        return {name: np.load(self.folder / file, allow_pickle=False) for name, file in answer["outputs"].items()}


def module(format: str, runtime: str) -> str:
    """The module of runtimes/ that runs a format's files: its own, or the one named before a version."""
    return runtime.rpartition(" ")[0].replace("-", "_") or format


def cannot_time(facts: DeviceFacts) -> str:
    """Why latency and memory cannot be had on the device although files run there; empty where they can."""
    return f"{facts.name} is emulated ({facts.emulated}): seconds and bytes there are no device's" * bool(
        facts.emulated
    )


def basis(facts: DeviceFacts) -> Basis:
    """What outputs that were computed on the device are."""
    return "emulated" if facts.emulated else "measured"


def cannot_run(facts: DeviceFacts, fingerprint: str, format: str, runtime: str) -> str:
    """Why `format` cannot run on the device; empty where it can.

    Raises DeviceError where the device or its runtime is not the one that the step was asked about: the answer would be
    kept under the wrong question.
    """
    if facts.fingerprint != fingerprint:
        raise DeviceError(f"{facts.name} is not the device that was there when the build began")
    name, wanted = module(format, runtime), runtime.rpartition(" ")[2]
    if name not in facts.runtimes:
        reason = facts.missing.get(format, "its runtime is not there")
        return f"{format} cannot run on {facts.name}: {reason}"
    if facts.runtimes[name] != wanted:
        found = facts.runtimes[name]
        raise DeviceError(f"the {format} runtime of {facts.name} is {found}, but the build began with {runtime}")
    return ""
