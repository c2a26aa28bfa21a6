"""What untrained students cost: exported, converted in every allowed precision, timed in the target's own runtime."""

from collections.abc import Mapping, Sequence

from edgekd.policies import limits
from edgekd.policies.files import Made, Wanted, all_of, convert, taking
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, Candidate, Cost, Measured, Measurement, Option
from edgekd.spec import Precision, Target
from edgekd.steps import Export, Measure, Policy

NOT_TIMED = Measurement(basis="not measured", why="")
# How the fault begins of a student that has its files, but no latency to hold against its budget.
UNMEASURED = "not measured:"


def price(
    known: Outlook, options: Sequence[Option], margin: Mapping[str, float], attempt: int = 0
) -> Policy[list[Candidate]]:
    """Price untrained networks on every target; `margin` is by how much a target's latencies are to be lengthened.

    Each `attempt` may take two timings: of a file whose first one settles nothing there is a second.

    A price is asked for each file alone and by its graph, so that whoever wants that graph's again has it.
    A student that has no file, or none that could be timed for a latency budget, comes back with its fault.
    """
    programs = yield [Export(source=o.architecture, splits=known.splits, seed=known.plan.seed) for o in options]
    found = [Candidate(architecture=o.architecture, size=o.size, work=o.work) for o in options]
    for target in known.plan.targets:
        wanted = known.priced(target)
        taken = yield from taking(target, known.splits, programs)
        made = yield from convert(known, target, [Wanted(program=p, precisions=wanted) for p in taken])
        faults = {i: _fault(target, one, wanted) for i, one in enumerate(made)}
        good = [i for i in faults if not faults[i]]
        if not good:
            all_of(made, wanted)  # raises what stands in the place of the first file
        found = [one.model_copy(update={"fault": one.fault or faults[i]}) for i, one in enumerate(found)]
        artifacts = all_of([made[i] for i in good], wanted)
        timed = yield from _time(known, target, artifacts, 2 * attempt)
        for i, (artifact, measurement) in enumerate(zip(artifacts, timed, strict=True)):
            one = found[good[i // len(wanted)]]
            costs = (*one.costs, _cost(target, artifact, measurement))
            fault = one.fault or _untimed(known, target, artifact, measurement)
            found[good[i // len(wanted)]] = one.model_copy(update={"costs": costs, "fault": fault})
    return [judged(known, one, margin) for one in found]


def _time(known: Outlook, target: Target, artifacts: Sequence[Artifact], attempt: int) -> Policy[list[Measurement]]:
    """Time files, each alone; once more those that were refused or unstable. Nothing can be timed without a runtime."""
    if not _can_time(known, target):
        return [NOT_TIMED] * len(artifacts)
    answers: Sequence[Measured] = yield [_ask(known, target, artifact, attempt) for artifact in artifacts]
    timed = [answer.measurements[0] for answer in answers]
    if known.facts[target.device.name].untimed:
        return timed
    weak = [i for i, one in enumerate(timed) if one.latency is None or not one.latency.stable]
    if weak:
        answers = yield [_ask(known, target, artifacts[i], attempt + 1) for i in weak]
        for i, answer in zip(weak, answers, strict=True):
            timed[i] = answer.measurements[0] if answer.measurements[0].latency else timed[i]
    return timed


def _can_time(known: Outlook, target: Target) -> bool:
    """Whether the target's runtime is there, on a device whose seconds mean anything."""
    return bool(known.runtime(target)) and not known.facts[target.device.name].emulated


def _untimed(known: Outlook, target: Target, artifact: Artifact, measurement: Measurement) -> str:
    """Why nobody knows whether a file keeps its latency budget although it could be timed; empty where one does."""
    if target.budget.max_latency is None or measurement.latency is not None or not _can_time(known, target):
        return ""
    return f"{UNMEASURED} the {artifact.precision} file for {target.name}: {measurement.why or 'no reason was told'}"


def _fault(target: Target, made: Made, wanted: Sequence[Precision]) -> str:
    """Why a student has no file in one of the precisions that it is priced in; empty where it has all."""
    faults = made.faults()
    return next((f"no {p} file for {target.name}: {faults[p]}" for p in wanted if p in faults), "")


def _ask(known: Outlook, target: Target, artifact: Artifact, attempt: int) -> Measure:
    return Measure(
        artifacts=(artifact,),
        splits=known.splits,
        device=target.device,
        fingerprint=known.facts[target.device.name].fingerprint,
        runtime=known.runtime(target),
        threads=target.threads,
        protocol="quick",
        attempt=attempt,
        by_graph=True,
    )


def _cost(target: Target, artifact: Artifact, measurement: Measurement) -> Cost:
    latency = measurement.latency
    return Cost(
        target=target.name,
        precision=artifact.precision,
        size=artifact.size,
        quiet=latency.quiet if latency else None,
        p90=latency.p90 if latency else None,
        p90_high=latency.p90_high if latency else None,
        memory=measurement.memory,
        unstable=bool(latency and not latency.stable),
    )


def cheaper(known: Outlook, one: Candidate, other: Candidate, margin: Mapping[str, float]) -> Candidate:
    """A student that was priced twice: of each file the timing with the lower quiet latency, which less disturbed."""
    if one.fault or other.fault:
        return other if one.fault else one
    pairs = zip(one.costs, other.costs, strict=True)
    costs = tuple(b if a.quiet and b.quiet and b.quiet < a.quiet else a for a, b in pairs)
    return judged(known, one.model_copy(update={"costs": costs}), margin)


def judged(known: Outlook, candidate: Candidate, margin: Mapping[str, float]) -> Candidate:
    """A candidate with what it costs on each target, in the precision that breaks the fewest limits, then the fastest;
    latencies count by the upper bound of their p90."""
    if candidate.fault:
        return candidate.model_copy(update={"fits": False, "why": candidate.fault, "costs": ()})
    latency, sizes, memory, broken = {}, {}, {}, []
    for target in known.plan.targets:
        found = [
            (limits.physical(target.budget, cost.size, cost.memory, _late(cost, margin)), cost)
            for cost in candidate.costs
            if cost.target == target.name
        ]
        why, cost = min(found, key=lambda one: (len(one[0]), _late(one[1], margin) or 0.0, one[1].size))
        sizes[target.name] = cost.size
        if cost.p90_high is not None:
            latency[target.name] = cost.p90_high
        if cost.memory is not None:
            memory[target.name] = cost.memory
        broken += [f"{target.name} {reason}" for reason in why]
    return candidate.model_copy(
        update={
            "latency": latency,
            "file_size": sizes,
            "memory": memory,
            "fits": not broken,
            "why": "; ".join(broken),
        }
    )


def _late(cost: Cost, margin: Mapping[str, float]) -> float | None:
    """The upper bound of a p90, lengthened by what its target's were too short before."""
    return None if cost.p90_high is None else cost.p90_high * margin.get(cost.target, 1.0)
