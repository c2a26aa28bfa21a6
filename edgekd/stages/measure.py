"""Time artifacts of one format on one device, interleaved, each session a fresh process without torch."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd import files, jobs
from edgekd.results import DeviceFacts, Latency, Measured, Measurement
from edgekd.statistics import spread
from edgekd.steps import Measure
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("numpy",)

# Samples of the validation part that the runs take in turn.
SAMPLES = 32
# A session, and the process that measures memory, are given up after this many seconds.
TIMEOUT = 300.0
# Shares of a session's time from which on a disturbance is named.
WAITING, STOLEN = 0.10, 0.02

Answer = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """How an artifact is timed: `inferences` at least, in `sessions` at least and `most_sessions` at most.

    A session lasts `seconds` or longer, but not above `longest`, and keeps at most `most` runs, evenly spaced.
    """

    sessions: int
    most_sessions: int
    inferences: int
    seconds: float
    longest: float
    most: int
    longest_warmup: float

    def first(self) -> Answer:
        """Fields of the request of an artifact's first session, which chooses its number of runs after its warm-up."""
        return {
            "seconds": self.seconds,
            "least": math.ceil(self.inferences / self.sessions),
            "longest": self.longest,
            "most": self.most,
            "longest_warmup": self.longest_warmup,
        }

    def wanted(self, runs: int) -> int:
        """How many sessions of so many runs an artifact gets."""
        return min(self.most_sessions, max(self.sessions, math.ceil(self.inferences / runs)))


PROTOCOLS = {
    "full": Protocol(5, 16, 1024, seconds=0.4, longest=8.0, most=1024, longest_warmup=2.0),
    "quick": Protocol(2, 2, 64, seconds=0.3, longest=2.0, most=1024, longest_warmup=0.5),
}


def run(step: Measure, out: Workspace) -> Measured:
    """Latency and memory of every artifact, or why the device cannot run them. Raises DeviceError."""
    reached = jobs.Reached(step.device)
    facts = reached.facts()
    why = jobs.cannot_run(facts, step.fingerprint, step.artifacts[0].format, step.runtime)
    if why:
        return Measured(measurements=(Measurement(basis="not measured", device=facts, why=why),) * len(step.artifacts))
    protocol = PROTOCOLS[step.protocol]
    with ExitStack() as stack:
        sent = [stack.enter_context(job) for job in _jobs(step, out)]
        sessions = _sessions(sent, reached, protocol, _inputs(step), out)
        memory = [job.ask(reached, "memory", TIMEOUT, _inputs(step)) for job in sent]
    _keep(out, sessions, memory)
    measurements = (
        _measurement(facts, step.threads, protocol, told, peak) for told, peak in zip(sessions, memory, strict=True)
    )
    return Measured(measurements=tuple(measurements))


def _inputs(step: Measure) -> Answer:
    """Names of the sample files of a job."""
    return {"inputs": {name: f"input-{i}.npy" for i, name in enumerate(step.splits.parts["validation"].inputs)}}


def _jobs(step: Measure, out: Workspace) -> Iterator[jobs.Job]:
    """A job folder for each artifact, with a few real samples."""
    part = step.splits.parts["validation"]
    names = _inputs(step)["inputs"]
    for i, artifact in enumerate(step.artifacts):
        job = jobs.Job(out.path(f"job-{i}"), artifact, out.locate(artifact.file), step.threads)
        for name, file in part.inputs.items():
            job.save(names[name], np.asarray(out.load(file)[:SAMPLES]))
        yield job


def _sessions(
    sent: Sequence[jobs.Job], reached: jobs.Reached, protocol: Protocol, inputs: Answer, out: Workspace
) -> list[list[Answer]]:
    """Clock the artifacts in turn, A B A B; the runs of an artifact's first session are those of its later ones."""
    answers: list[list[Answer]] = [[] for _ in sent]
    wanted = [protocol.sessions] * len(sent)
    while any(len(told) < wanted[i] for i, told in enumerate(answers)):
        for i, job in enumerate(sent):
            if len(answers[i]) == wanted[i]:
                continue
            again = {key: answers[i][0][key] for key in ("runs", "stride")} if answers[i] else {}
            answers[i].append(job.ask(reached, "clock", TIMEOUT, inputs | protocol.first() | again))
            wanted[i] = protocol.wanted(answers[i][0]["runs"])
            done = sum(map(len, answers))
            out.progress(done / (sum(wanted) + len(sent)), f"session {done} of {sum(wanted)}")
    return answers


def _measurement(
    facts: DeviceFacts, threads: int, protocol: Protocol, told: Sequence[Answer], memory: Answer
) -> Measurement:
    """What the sessions and the memory process of one artifact say together."""
    found = spread([np.asarray(session["latencies"]) for session in told])
    latency = Latency(
        sessions=tuple(tuple(session["latencies"]) for session in told),
        warmup_runs=min(session["warmup"] for session in told),
        threads=threads,
        load=float(np.median([session["load"] for session in told])),
        first=float(np.median([session["first"] for session in told])),
        p50=found.p50,
        p90=found.p90,
        p90_high=found.p90_high,
        p99=found.p99,
        quiet=found.quiet,
        stable=found.stable,
        why="; ".join(filter(None, (found.why, *_remarks(protocol, told)))),
    )
    return Measurement(
        basis="measured", device=facts, latency=latency, memory=memory["memory"], why=memory.get("why", "")
    )


def _remarks(protocol: Protocol, told: Sequence[Answer]) -> Iterator[str]:
    """What to know about a latency: too few runs, a batch, a warm-up that never settled, other work on the device."""
    runs = sum(session["runs"] for session in told)
    if runs < protocol.inferences:
        yield f"{runs} inferences only, because each takes long"
    if told[0]["batch"] != 1:
        yield f"one inference takes {told[0]['batch']} samples"
    restless = sum(not session["settled"] for session in told)
    if restless:
        yield f"{restless} of {len(told)} warm-ups did not settle"
    seconds = sum(session["seconds"] for session in told)
    for name, limit, text in (
        ("pressure", WAITING, "processes waited for a core {:.0f} % of the time"),
        ("steal", STOLEN, "the hypervisor took {:.0f} % of the time"),
    ):
        both = [(s["before"][name], s["after"][name]) for s in told]
        share = sum(after - before for before, after in both if before is not None and after is not None) / seconds
        if share > limit:
            yield text.format(100 * share)


def _keep(out: Workspace, sessions: Sequence[Sequence[Answer]], memory: Sequence[Answer]) -> None:
    """Keep everything else that the processes said (sensors, warm-ups, delegates) beside the result."""
    told = [
        {"sessions": [{k: v for k, v in s.items() if k != "latencies"} for s in each], "memory": memory[i]}
        for i, each in enumerate(sessions)
    ]
    files.write(out.path("sessions.json"), json.dumps(told, indent=1))
