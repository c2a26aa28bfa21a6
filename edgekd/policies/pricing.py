"""What untrained students cost: exported, converted in every allowed precision, timed in the target's own runtime."""

from collections.abc import Mapping, Sequence

from edgekd.policies import limits
from edgekd.policies.files import Wanted, all_of, convert, taking
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, Candidate, Cost, Measured, Measurement, Option
from edgekd.spec import Target
from edgekd.steps import Export, Measure, Policy

NOT_TIMED = Measurement(basis="not measured", why="")


def price(known: Outlook, options: Sequence[Option], margin: Mapping[str, float]) -> Policy[list[Candidate]]:
    """Price untrained networks on every target; `margin` is by how much a target's latencies are to be lengthened.

    A price is asked for each file alone and by its graph, so that whoever wants that graph's again has it.
    """
    programs = yield [Export(source=o.architecture, splits=known.splits, seed=known.plan.seed) for o in options]
    costs: list[list[Cost]] = [[] for _ in options]
    for target in known.plan.targets:
        wanted = known.priced(target)
        taken = yield from taking(target, known.splits, programs)
        made = yield from convert(known, target, [Wanted(program=p, precisions=wanted) for p in taken])
        artifacts = all_of(made, wanted)
        timed = [NOT_TIMED] * len(artifacts)
        if known.runtime(target):
            answers: Sequence[Measured] = yield [_ask(known, target, artifact) for artifact in artifacts]
            timed = [answer.measurements[0] for answer in answers]
        for i, (artifact, measurement) in enumerate(zip(artifacts, timed, strict=True)):
            costs[i // len(wanted)].append(_cost(target, artifact, measurement))
    return [
        judged(known, Candidate(architecture=o.architecture, size=o.size, work=o.work, costs=tuple(cost)), margin)
        for o, cost in zip(options, costs, strict=True)
    ]


def _ask(known: Outlook, target: Target, artifact: Artifact) -> Measure:
    return Measure(
        artifacts=(artifact,),
        splits=known.splits,
        device=target.device,
        fingerprint=known.facts[target.device.name].fingerprint,
        runtime=known.runtime(target),
        threads=target.threads,
        protocol="quick",
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
    )


def judged(known: Outlook, candidate: Candidate, margin: Mapping[str, float]) -> Candidate:
    """A candidate with what it costs on each target, in the precision that breaks the fewest limits, then the fastest;
    latencies count by the upper bound of their p90."""
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
