"""Load a file in its runtime and run it on the program's golden samples: does it give what torch gives?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import jobs, plugins
from edgekd.errors import DeviceError, EdgekdError, NotVerified, Unreachable
from edgekd.parity import GATES, is_constant
from edgekd.results import Artifact, Basis, Rehearsed
from edgekd.steps import Rehearse
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)

Array = NDArray[Any]

TIMEOUT = 600.0


def run(step: Rehearse, out: Workspace) -> Rehearsed:
    """Whether the file runs and how far it is from torch, on samples that an untrained network may see too.

    A file that does not run is a fault, not an error. Raises DeviceError where the device is not the one asked about.
    """
    artifact = step.artifact
    with np.load(out.locate(artifact.golden), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    reached: jobs.Reached | None = None
    basis: Basis = "reference"
    if step.runtime:
        reached, basis = _reached(step)
    try:
        outputs = _run(step, reached, out, arrays) if reached else _evaluated(artifact, out, arrays)
    except NotVerified as error:
        return Rehearsed(basis="not measured", fault=f"not verified: {error}")
    except Unreachable:
        raise
    except EdgekdError as error:
        return Rehearsed(basis=basis, fault=f"it does not run: {error}")
    return judged(artifact, outputs, arrays, basis)


def _reached(step: Rehearse) -> tuple[jobs.Reached, Basis]:
    """The device, and what its outputs are. Raises DeviceError where it is not the one that was asked about."""
    reached = jobs.Reached(step.device)
    facts = reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, step.artifact.format, step.runtime)
    if why:
        raise DeviceError(why)
    return reached, jobs.basis(facts)


def _run(step: Rehearse, reached: jobs.Reached, out: Workspace, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Every output by name, from the file's own runtime."""
    artifact = step.artifact
    with jobs.Job(out.path("job"), artifact, out.locate(artifact.file), runtime=step.runtime) as job:
        stored = {spec.name: arrays[f"raw:{spec.name}"] for spec in artifact.signature.inputs}
        return job.predict(reached, stored, TIMEOUT)


def _evaluated(artifact: Artifact, out: Workspace, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Every output by name, by the format's definitions."""
    evaluate = plugins.find("formats", artifact.format).evaluator(out.locate(artifact.file), artifact.signature)
    return dict(evaluate({spec.name: arrays[f"input:{spec.name}"] for spec in artifact.signature.inputs}))


def judged(artifact: Artifact, outputs: Mapping[str, Array], arrays: Mapping[str, Array], basis: Basis) -> Rehearsed:
    """How far outputs by name are from torch's, which `arrays` has under "output:<name>"; the worst one counts."""
    error, faults = 0.0, []
    for spec in artifact.signature.outputs:
        found, wanted = outputs[spec.name].astype(np.float64), arrays[f"output:{spec.name}"].astype(np.float64)
        if found.shape != wanted.shape:
            faults.append(f"{spec.name} has the shape {list(found.shape)}, torch gives {list(wanted.shape)}")
        elif not np.isfinite(found).all():
            faults.append(f"{spec.name} is not finite")
        elif artifact.precision in GATES and is_constant(found) and not is_constant(wanted):
            faults.append(f"{spec.name} is the same for every input")
        else:
            error = max(error, _distance(found, wanted))
    # fewer bits round by design: what that costs is judged on accuracy, and may be won back
    most = GATES[artifact.precision][1] if artifact.precision in GATES else float("inf")
    if error > most:
        faults.append(f"its relative error to torch is {error:.2g}; {artifact.precision} may have {most:g}")
    return Rehearsed(basis=basis, relative_error=error, fault="; ".join(faults))


def _distance(found: Array, wanted: Array) -> float:
    norm, gap = float(np.linalg.norm(wanted)), float(np.linalg.norm(found - wanted))
    return gap / norm if norm else (0.0 if gap == 0 else float("inf"))
