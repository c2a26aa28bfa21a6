"""Time models on one device as a build does: fresh processes without torch, models in turn, memory apart."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeVar

from edgekd import jobs
from edgekd.commands.subjects import TIMEOUT, Subject, artifact, fill
from edgekd.results import DeviceFacts, Measurement
from edgekd.spec import Device, Protocol
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import clock, energy
from edgekd.turns import Turns

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class How:
    """Threads of an inference, the package that runs it (empty: the format's own), how much, and who is told.

    `power_log` is a file on the device that a power meter's logger writes.
    """

    threads: int
    runtime: str
    protocol: Protocol
    tell: Callable[[float, str], None]
    power_log: str = ""


def together(work: Callable[[T, Event], R], items: Sequence[T]) -> list[R]:
    """Do work for all items at once, for a single one in this thread; `work` ends early where its event is set, which
    it is as soon as one fails or the user interrupts."""
    stopping = Event()
    if len(items) == 1:
        return [work(items[0], stopping)]
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        try:
            return list(pool.map(lambda item: work(item, stopping), items))
        except BaseException:
            stopping.set()
            raise


def measure(subjects: Sequence[Subject], reached: jobs.Reached, how: How) -> list[Measurement]:
    """Latency and memory of models, their sessions taken in turn, or why they cannot be had there.

    On this computer no build works meanwhile. Raises DeviceError.
    """
    facts, protocol = reached.facts(), PROTOCOLS[how.protocol]
    whys = [cannot(facts, one, how) for one in subjects]
    if any(whys):
        return [Measurement(basis="not measured", device=facts, why=why or next(filter(None, whys))) for why in whys]

    def tell(done: float, text: str) -> None:
        how.tell(done, f"{facts.name}: {text}")

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekd-")))
        sent, inputs = [], []
        for i, one in enumerate(subjects):
            runtime = f"{how.runtime} {facts.runtimes[module(one, how)]}".strip()
            job = jobs.Job(folder / f"job-{i}", artifact(one), one.model, how.threads, runtime)
            sent.append(stack.enter_context(job))
            inputs.append(fill(job, one))
        alone = Turns().take(alone=True, waiting=lambda text: tell(0.0, text))
        stack.enter_context(alone if reached.device.name == Device().name else nullcontext())
        taken = clock(sent, reached, protocol, inputs, tell)
        memory = [job.ask(reached, "memory", TIMEOUT, own) for job, own in zip(sent, inputs, strict=True)]
        meter = {"name": "log", "file": how.power_log} if how.power_log else None
        power = [energy(job, reached, protocol, own, meter) for job, own in zip(sent, inputs, strict=True)]
    told = zip(taken, memory, power, strict=True)
    return [measurement(facts, how.threads, protocol, *one) for one in told]


def module(subject: Subject, how: How) -> str:
    """The runtime's module that runs a model."""
    return how.runtime.replace("-", "_") or subject.format


def cannot(facts: DeviceFacts, subject: Subject, how: How) -> str:
    """Why a model cannot be timed there; empty where it can."""
    name = module(subject, how)
    if name not in facts.runtimes:
        missing = facts.missing.get(name, f"{name} is not installed there")
        return f"{subject.format} cannot run on {facts.name}: {missing}"
    return jobs.cannot_time(facts) or facts.untimed
