"""Ask a device what it is."""

from edgekd import jobs
from edgekd.results import DeviceFacts
from edgekd.steps import Probe
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ()


def run(step: Probe, out: Workspace) -> DeviceFacts:
    """The device's facts. Raises DeviceError where it cannot be reached."""
    return jobs.Reached(step.device).facts()
