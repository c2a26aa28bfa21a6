"""Sessions of several artifacts in turn, A B A B: each a fresh process on the device, disturbed ones taken again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import Any, Self

from edgekd.jobs import Job, Reached
from edgekd.timing.disturbances import disturbance, refusal
from edgekd.timing.protocols import Answer, Protocol

Tell = Callable[[float, str], None]
# Seconds between words about a job that tells nothing itself.
SAY = 2.0


@dataclass(frozen=True)
class Taken:
    """The sessions of one artifact: those that count, those that were taken again, and those that were refused."""

    kept: tuple[Answer, ...] = ()
    repeated: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    minutes: tuple[Answer, ...] = ()
    given_up: bool = False

    def done(self, protocol: Protocol) -> bool:
        """Whether no further session is wanted, or none is to be had."""
        return self.given_up or protocol.enough(self.kept)

    def add(self, told: Answer, protocol: Protocol) -> Self:
        """With one more session, kept or set aside. One that was refused never counts; where nothing but disturbed ones
        are to be had, they count, and the verdict says so.
        """
        left = protocol.repeats - len(self.repeated) - len(self.refused)
        refused, disturbed = refusal(told), disturbance(told)
        if refused:
            return replace(self, refused=(*self.refused, refused), given_up=left <= 0)
        if disturbed and left > 0:
            return replace(self, repeated=(*self.repeated, disturbed))
        return replace(self, kept=(*self.kept, told))


def clock(
    sent: Sequence[Job],
    reached: Reached,
    protocol: Protocol,
    inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    tell: Tell = lambda done, text: None,
) -> list[Taken]:
    """Take the sessions of all artifacts in turn; before each the device cools down to where it was at its coolest.

    `inputs` name the samples in the jobs, of all alike or of each its own.
    """
    own = [inputs] * len(sent) if isinstance(inputs, Mapping) else list(inputs)
    taken, rest, count = [Taken() for _ in sent], dict[str, Any](), 0
    share = 1.0 if not protocol.minutes else 0.15
    while not all(one.done(protocol) for one in taken):
        for i, job in enumerate(sent):
            if taken[i].done(protocol):
                continue
            request = {**own[i], **protocol.request(), **({"rest": rest} if rest else {})}
            told = job.ask(reached, "clock", protocol.timeout(), request)
            rest = coolest(rest, told["rest"])
            taken[i] = taken[i].add(told, protocol)
            count += 1
            wanted = max(count + 1, protocol.sessions * len(sent))
            tell(share * count / wanted, f"session {count} of {wanted} or so")
    for i, job in enumerate(sent):
        if protocol.minutes and taken[i].kept:
            told_so_far = share + (1 - share) * i / len(sent)
            minutes = _soak(job, reached, protocol, own[i], tell, (told_so_far, (1 - share) / len(sent)))
            taken[i] = replace(taken[i], minutes=tuple(minutes))
    return taken


def energy(
    job: Job, reached: Reached, protocol: Protocol, inputs: Mapping[str, Any], meter: Mapping[str, str] | None = None
) -> Answer | None:
    """Ask the device's power meter, where the protocol is not a quick one; `meter` names one with its settings."""
    if protocol.name == "quick" and not meter:
        return None
    return job.ask(reached, "energy", protocol.timeout(), {**inputs, **({"meter": dict(meter)} if meter else {})})


def coolest(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The lowest temperature and the highest ceiling of the clock of two readings at rest."""
    found = {}
    for name, better in (("temperature", min), ("ceiling", max)):
        values = [value for value in (one.get(name), other.get(name)) if value is not None]
        found[name] = better(values) if values else None
    return found


def _soak(
    job: Job, reached: Reached, protocol: Protocol, inputs: Mapping[str, Any], tell: Tell, part: tuple[float, float]
) -> list[Answer]:
    """Minutes of sustained load in one process, telling how far it is meanwhile."""
    over, seconds = Event(), 60.0 * protocol.minutes

    def say() -> None:
        passed = 0.0
        while not over.wait(SAY):
            passed += SAY
            minute = min(protocol.minutes, int(passed / 60) + 1)
            tell(part[0] + part[1] * min(passed / seconds, 0.99), f"soak, minute {minute} of {protocol.minutes}")

    speaker = Thread(target=say, daemon=True)
    speaker.start()
    try:
        request = {**inputs, **protocol.request(), "minutes": protocol.minutes}
        told: list[Answer] = job.ask(reached, "clock", protocol.timeout() + 1.5 * seconds, request)["minutes"]
    finally:
        over.set()
        speaker.join()
    return told
