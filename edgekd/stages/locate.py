"""Find the operator with which a file stops running: parts of its program, converted and run as the whole was."""

import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from edgekd import jobs, plugins
from edgekd.errors import DeviceError, EdgekdError, Unreachable
from edgekd.nets import programs
from edgekd.nets.culprit import culprit, instead, told
from edgekd.plugins import Conversion
from edgekd.results import Located, Signature
from edgekd.steps import Locate
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "numpy")

# a runtime that hangs at a part is as good as one that ends at it
TIMEOUT = 120.0


def run(step: Locate, out: Workspace) -> Located:
    """The first operator such that the part of the program up to it does not run on the device.

    8-bit parts are calibrated on the golden samples: they shall run, what they compute is of no matter. Raises
    DeviceError where the device is not the one that was asked about, or cannot be reached.
    """
    torch.set_num_threads(1)
    artifact = step.artifact
    if step.program.file.name.endswith(".onnx"):
        return Located()
    reached = jobs.Reached(step.device)
    why = jobs.cannot_run(reached.facts(), step.fingerprint, artifact.format, step.runtime)
    if why:
        raise DeviceError(why)
    with np.load(out.locate(artifact.golden), allow_pickle=False) as golden:
        inputs = {spec.name: golden[f"input:{spec.name}"] for spec in step.program.signature.inputs}
    convert, tries = plugins.find("formats", artifact.format).convert, count()

    def fails(part: ExportedProgram, signature: Signature) -> bool:
        number = next(tries)
        out.progress(1 - 0.7**number, f"part {number + 1} of the network is run")
        with tempfile.TemporaryDirectory(dir=out.folder) as name:
            folder = Path(name)
            programs.write(part, folder / "part.pt2")
            conversion = Conversion(
                program=folder / "part.pt2",
                signature=signature,
                precision=artifact.precision,
                calibration=inputs,
                folder=folder,
                route=artifact.route,
            )
            try:
                made = convert(conversion)
            except Exception:  # whatever a converter raises: a part that cannot be converted shows nothing
                return False
            file = artifact.file.model_copy(update={"name": made.name})
            there = artifact.model_copy(update={"signature": made.signature, "file": file})
            try:
                with jobs.Job(folder / "job", there, folder / made.name, runtime=step.runtime) as job:
                    job.predict(reached, inputs, TIMEOUT, prepared=True)
            except Unreachable:
                raise
            except EdgekdError:
                return True
            return False

    node = culprit(programs.load(out.locate(step.program.file)), step.program.signature, "", fails)
    return Located() if node is None else Located(operator=told(node), advice=instead(node))
