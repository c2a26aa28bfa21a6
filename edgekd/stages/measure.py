"""Time artifacts of one format on one device, interleaved, each session a fresh process without torch."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from edgekd import files, jobs
from edgekd.results import DeviceFacts, Measured, Measurement
from edgekd.steps import Measure
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS, Answer
from edgekd.timing.sessions import Taken, clock, energy
from edgekd.workspace import Workspace

VERSION = 3
PACKAGES = ("numpy",)

# Samples of the validation part that the runs take in turn.
SAMPLES = 32
# The process that measures memory is given up after this many seconds.
TIMEOUT = 300.0


def run(step: Measure, out: Workspace) -> Measured:
    """Latency and memory of every artifact, or why the device cannot run them. Raises DeviceError."""
    reached = jobs.Reached(step.device)
    facts = reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, step.artifacts[0].format, step.runtime)
    why = why or jobs.cannot_time(facts)
    if why:
        return Measured(measurements=(Measurement(basis="not measured", device=facts, why=why),) * len(step.artifacts))
    if facts.untimed:
        return Measured(measurements=_weighed(step, out, reached, facts))
    protocol = PROTOCOLS[step.protocol]
    with ExitStack() as stack:
        sent = [stack.enter_context(job) for job in _jobs(step, out)]
        taken = clock(sent, reached, protocol, _inputs(step), out.progress)
        memory = [job.ask(reached, "memory", TIMEOUT, _inputs(step)) for job in sent]
        power = [energy(job, reached, protocol, _inputs(step)) for job in sent]
    _keep(out, taken, memory)
    measurements = (measurement(facts, step.threads, protocol, one, memory[i], power[i]) for i, one in enumerate(taken))
    return Measured(measurements=tuple(measurements))


def _weighed(step: Measure, out: Workspace, reached: jobs.Reached, facts: DeviceFacts) -> tuple[Measurement, ...]:
    """What artifacts take where nothing is timed: what the runtime itself keeps for tensors."""
    with ExitStack() as stack:
        sent = [stack.enter_context(job) for job in _jobs(step, out)]
        told = [job.ask(reached, "memory", TIMEOUT, _inputs(step)) for job in sent]
    return tuple(
        Measurement(
            basis="measured",
            device=facts,
            memory=one["arena"],
            arena=one["arena"],
            arena_why=one["arena_why"],
            why=facts.untimed,
        )
        for one in told
    )


def _inputs(step: Measure) -> dict[str, Any]:
    """Names of the sample files of a job."""
    return {"inputs": {name: f"input-{i}.npy" for i, name in enumerate(step.splits.parts["validation"].inputs)}}


def _jobs(step: Measure, out: Workspace) -> Iterator[jobs.Job]:
    """A job folder for each artifact, with a few real samples."""
    part = step.splits.parts["validation"]
    names = _inputs(step)["inputs"]
    for i, artifact in enumerate(step.artifacts):
        job = jobs.Job(out.path(f"job-{i}"), artifact, out.locate(artifact.file), step.threads, step.runtime)
        for name, file in part.inputs.items():
            job.save(names[name], np.asarray(out.load(file)[:SAMPLES]))
        yield job


def _keep(out: Workspace, taken: Sequence[Taken], memory: Sequence[Answer]) -> None:
    """Keep everything else that the processes said (sensors, warm-ups, delegates) beside the result."""
    told = [
        {"sessions": [{k: v for k, v in s.items() if k != "latencies"} for s in each.kept], "memory": memory[i]}
        | {"repeated": each.repeated, "refused": each.refused}
        for i, each in enumerate(taken)
    ]
    files.write(out.path("sessions.json"), json.dumps(told, indent=1))
