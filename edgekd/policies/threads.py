"""The last rung where no student is fast enough: would one be with more threads? It is told, since how many cores an
application may take is not ours to say."""

from collections.abc import Mapping, Sequence

from edgekd import units
from edgekd.policies.known import Outlook
from edgekd.policies.pricing import price
from edgekd.results import Candidate, Option
from edgekd.spec import Target
from edgekd.steps import Policy


def more_threads(known: Outlook, priced: Sequence[Candidate], margin: Mapping[str, float]) -> Policy[str]:
    """In words: what the fastest student takes on all cores, for each target whose latency budget nothing keeps."""
    told = []
    for target in known.plan.targets:
        cores = known.facts[target.device.name].cores
        timed = [one for one in priced if target.name in one.latency]
        limit = target.budget.max_latency
        if limit is None or not timed or cores <= target.threads:
            continue
        fastest = min(timed, key=lambda one: one.latency[target.name])
        if fastest.latency[target.name] * margin.get(target.name, 1.0) <= limit:
            continue  # something else binds
        wide = target.model_copy(update={"threads": cores})
        (again,) = yield from price(_only(known, wide), [_option(fastest)], margin)
        if again.latency:
            told.append(_told(wide, again.latency[target.name], limit))
    return "; ".join(told)


def _told(target: Target, latency: float, limit: float) -> str:
    advice = f": --threads {target.threads} would keep the budget" if latency <= limit else ""
    return f"with {target.threads} threads the fastest takes {units.show_seconds(latency)} on {target.name}{advice}"


def _only(known: Outlook, target: Target) -> Outlook:
    return known.model_copy(update={"plan": known.plan.model_copy(update={"targets": (target,)})})


def _option(one: Candidate) -> Option:
    return Option(architecture=one.architecture, size=one.size, work=one.work)
