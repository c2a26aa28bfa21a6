"""A microcontroller, by TensorFlow Lite Micro's own kernels and allocator on this computer: accuracy and arena."""

import hashlib
from pathlib import Path

from edgekd.devices import local
from edgekd.results import DeviceFacts
from edgekd.spec import Device, Value

VERSION = 1
PACKAGES = ()
USES = ("devices.local",)
# The runtime of each format there; the memory of a model is its arena.
RUNS = {"tflite": "tflite-micro"}
SINGLE = ("tflite",)
PRECISION = "int8-full"
UNTIMED = "an emulated kernel on this computer says nothing of a microcontroller's seconds"
KERNELS, NOT_THERE = "tflite_micro", "a microcontroller runs no such files"


class Settings(Value):
    """No settings."""


def probe(settings: Settings, device: Device) -> DeviceFacts:
    """What stands in for the microcontroller: the kernels. What they compute is the same on every computer."""
    here = local.probe(local.Settings(), device)
    kernels = here.runtimes.get(KERNELS, "")
    others = dict.fromkeys((here.runtimes.keys() | here.missing.keys()) - {KERNELS}, NOT_THERE)
    absent = {} if kernels else {"tflite": "tflite-micro is not installed. Run: pip install 'edgekd[micro]'"}
    return here.model_copy(
        update={
            "name": f"{device.name} (TensorFlow Lite Micro's reference kernels)",
            "fingerprint": hashlib.sha256(b"tflite-micro reference kernels").hexdigest(),
            "model": "a microcontroller, by its kernels",
            "runtimes": {KERNELS: kernels} if kernels else {},
            "missing": others | absent,
            "untimed": UNTIMED,
        }
    )


def run(settings: Settings, device: Device, folder: Path, timeout: float) -> None:
    """Run the job in `folder` in a process of this computer. Raises DeviceError."""
    local.run(local.Settings(), device, folder, timeout)
