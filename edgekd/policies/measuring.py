"""By which protocol files are timed, and asking for it: quick to choose, reportable for what a budget rests on."""

from collections.abc import Sequence

from edgekd.policies.items import Item
from edgekd.policies.known import Outlook
from edgekd.results import Measured
from edgekd.spec import Bench, Budget, Protocol, Target
from edgekd.steps import Measure, Policy

ATTEMPTS = 2


def first(bench: Bench) -> Protocol:
    """How all files of a target are timed, to choose among them."""
    return "reportable" if bench == "reportable" else "quick"


def certifies(bench: Bench, budget: Budget) -> Protocol | None:
    """How what ships is timed once more; None where the first time is enough.

    Without a word from the user: reportable where there is a latency to certify.
    """
    if bench == "auto":
        return "reportable" if budget.max_latency is not None else None
    return bench if bench != "quick" else None


def measure(known: Outlook, target: Target, items: Sequence[Item], protocol: Protocol) -> Policy[list[Item]]:
    """Time files of a target interleaved; once more if one was unstable, which is then told."""
    for attempt in range(ATTEMPTS):
        answer: tuple[Measured] = yield [
            Measure(
                artifacts=tuple(item.artifact for item in items),
                splits=known.splits,
                device=target.device,
                fingerprint=known.facts[target.device.name].fingerprint,
                runtime=known.runtime(target),
                threads=target.threads,
                protocol=protocol,
                attempt=attempt,
            )
        ]
        measurements = answer[0].measurements
        if all(m.latency is None or m.latency.stable for m in measurements):
            break
    return [item.model_copy(update={"measurement": m}) for item, m in zip(items, measurements, strict=True)]
