"""Run an artifact over a whole part in its own runtime on the device."""

import numpy as np

from edgekd import jobs
from edgekd.results import Artifact, Predictions
from edgekd.steps import Predict
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)

OUTPUTS = "outputs.npy"
# A hanging runtime is given up after this many seconds, and as many more for each sample.
TIMEOUT, TIMEOUT_EACH = 120.0, 2.0


def run(step: Predict, out: Workspace) -> Predictions:
    """Predict every sample of the part, one at a time as an application does where the file leaves the batch open.

    Where the device cannot run the format, the basis says so and the outputs hold no sample. Raises DeviceError.
    """
    reached = jobs.Reached(step.device)
    artifact, part = step.artifact, step.splits.parts[step.part]
    facts = reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, artifact.format, step.runtime)
    if why:
        nothing = np.zeros(_empty(artifact), np.float32)
        return Predictions(outputs=out.save(OUTPUTS, nothing), part=step.part, basis="not measured", why=why)
    with jobs.Job(out.path("job"), artifact, out.locate(artifact.file), runtime=step.runtime) as job:
        named = {name: f"input-{i}.npy" for i, name in enumerate(part.inputs)}
        for name, file in part.inputs.items():
            job.link(named[name], out.locate(file))
        answer = job.ask(reached, "predict", TIMEOUT + TIMEOUT_EACH * part.count, {"inputs": named})
        first = answer["outputs"][artifact.signature.outputs[0].name]
        (job.folder / first).replace(out.path(OUTPUTS))
    return Predictions(outputs=out.file(OUTPUTS), part=step.part, basis=jobs.basis(facts), why=facts.emulated)


def _empty(artifact: Artifact) -> tuple[int, ...]:
    """The shape of no predictions."""
    return (0, *(max(0, size) for size in artifact.signature.outputs[0].shape[1:]))
