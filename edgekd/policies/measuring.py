"""By which protocol files are timed, and asking for it: quick to choose, reportable for what a budget rests on."""

from collections.abc import Sequence

from edgekd.policies.items import Item
from edgekd.policies.known import Outlook
from edgekd.results import Measured, Measurement
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


def measure(
    known: Outlook, target: Target, items: Sequence[Item], protocol: Protocol, decisive: int | None = None
) -> Policy[list[Item]]:
    """Time files of a target interleaved; once more if one of the first, `decisive` ones was unstable.

    Of each file the first stable measurement counts, and the last where none was, which is then told.
    """
    found: list[Measurement] = []
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
        new = answer[0].measurements
        found = [a if found and _settled(a) else b for a, b in zip(found or new, new, strict=True)]
        if all(map(_settled, found[:decisive])):
            break
    return [item.model_copy(update={"measurement": m}) for item, m in zip(items, found, strict=True)]


def _settled(measurement: Measurement) -> bool:
    """Whether asking again would tell nothing better."""
    latency = measurement.latency
    return latency.stable if latency is not None else not measurement.refused
