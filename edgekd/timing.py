"""How artifacts are timed: sessions in fresh processes, taken in turn, and what they say together."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.jobs import Job, Reached
from edgekd.results import DeviceFacts, Latency, Measurement
from edgekd.statistics import spread

VERSION = 1

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


def clock(
    sent: Sequence[Job],
    reached: Reached,
    protocol: Protocol,
    inputs: Answer,
    tell: Callable[[float, str], None] = lambda done, text: None,
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
            tell(done / (sum(wanted) + len(sent)), f"session {done} of {sum(wanted)}")
    return answers


def measurement(
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
    if "fallback" in told[0].get("notes", {}):
        yield str(told[0]["notes"]["fallback"])
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
