"""How large may the student be, and how large should it be?

Exact limits first; then untrained candidates are exported, converted, quantized and timed in the target's own runtime,
a first wave along compute and then the edge of what fits; then those that fit are trained briefly, and the smallest
that is within one standard error of the best on the validation part is taken (the one-standard-error rule of
Breiman et al., Classification and Regression Trees, 1984).
"""

import math
from collections.abc import Sequence

from edgekd import units
from edgekd.policies import limits
from edgekd.policies.files import Wanted, all_of, convert, taking
from edgekd.policies.known import Known, Outlook, distillation, schedule
from edgekd.results import Candidate, Measured, Option, Trained
from edgekd.spec import Target, Value
from edgekd.steps import Export, Measure, Policy, Train

FIRST_WAVE = 4


class Sized(Value):
    """The student's size and why: candidates, smallest first; the chosen one (None: nothing fits); what binds."""

    candidates: tuple[Candidate, ...] = ()
    chosen: Candidate | None = None
    binds: str = ""
    nearest: str = ""


def search(known: Known, below: int | None = None) -> Policy[Sized]:
    """Find the student's size; with `below`, only students with fewer MACs than that."""
    options = [o for o in known.options if below is None or o.size.macs < below]
    within = [o for o in options if not limits.too_large(known, o)]
    if not within:
        return nothing(known, options)
    priced = yield from _price_along(known, within)
    fitting = [c for c in priced if c.fits]
    if not fitting:
        return Sized(candidates=tuple(priced), binds=priced[0].why, nearest=_smallest_budget(known, priced))
    judged = yield from _try(known, fitting)
    chosen = _smallest_good(known, judged)
    every = {c.architecture.model_dump_json(): c for c in (*priced, *judged)}
    candidates = tuple(sorted(every.values(), key=lambda c: c.size.macs))
    return Sized(candidates=candidates, chosen=chosen, binds=_binds(known, options, candidates, chosen))


def spread(options: Sequence[Option], count: int) -> list[Option]:
    """At most `count` options, the largest and others evenly spaced in log MACs; options are sorted by MACs."""
    if len(options) <= count:
        return list(options)
    low, high = math.log(options[0].size.macs), math.log(options[-1].size.macs)
    wanted = [low + (high - low) * i / (count - 1) for i in range(count)]
    picks = {min(range(len(options)), key=lambda i, w=w: abs(math.log(options[i].size.macs) - w)) for w in wanted}  # type: ignore[misc]
    return [options[i] for i in sorted(picks)]


def _price_along(known: Known, within: list[Option]) -> Policy[list[Candidate]]:
    """Price a first wave over all sizes, then, one by one, students at the edge of what fits."""
    count = known.plan.effort.candidates
    priced = yield from price(known, spread(within, min(FIRST_WAVE, count)))
    while len(priced) < count:
        good = max((c for c in priced if c.fits), key=lambda c: c.size.macs, default=None)
        above = [c for c in priced if not c.fits and (good is None or c.size.macs > good.size.macs)]
        if not above:
            break
        bad = min(above, key=lambda c: c.size.macs)
        low = good.size.macs if good else 0
        between = [o for o in within if low < o.size.macs < bad.size.macs]
        if not between:
            break
        wanted = _edge(known, good, bad)
        guess = min(between, key=lambda o: abs(math.log(o.size.macs) - wanted))
        priced = sorted([*priced, *(yield from price(known, [guess]))], key=lambda c: c.size.macs)
    return priced


def _edge(known: Known, good: Candidate | None, bad: Candidate) -> float:
    """log MACs at which, on a straight line in logarithms between two candidates, 95 % of the budget is used."""
    high = math.log(bad.size.macs)
    if good is None:
        return high - math.log(4)
    low, used, over = math.log(good.size.macs), limits.used(known.plan, good), limits.used(known.plan, bad)
    if not 0 < used < 0.95 < over:
        return (low + high) / 2
    return low + (high - low) * math.log(0.95 / used) / math.log(over / used)


def price(known: Known, options: Sequence[Option]) -> Policy[list[Candidate]]:
    """Export, convert and time untrained networks on every target that can be measured here."""
    programs = yield [Export(source=o.architecture, splits=known.splits, seed=known.plan.seed) for o in options]
    candidates = [Candidate(architecture=o.architecture, size=o.size) for o in options]
    for target in known.plan.targets:
        wanted = known.priced(target)
        taken = yield from taking(target, known.splits, programs)
        made = yield from convert(known, target, [Wanted(program=p, precisions=wanted) for p in taken])
        artifacts = all_of(made, wanted)
        measured: Measured | None = None
        if known.runtime(target):
            (measured,) = yield [
                Measure(
                    artifacts=tuple(artifacts),
                    splits=known.splits,
                    device=target.device,
                    fingerprint=known.facts[target.device.name].fingerprint,
                    runtime=known.runtime(target),
                    threads=target.threads,
                    protocol="quick",
                )
            ]
        for i, candidate in enumerate(candidates):
            part = slice(i * len(wanted), (i + 1) * len(wanted))
            costs = measured.measurements[part] if measured else [None] * len(wanted)
            candidates[i] = _priced(candidate, target, [a.size for a in artifacts[part]], costs)
    return candidates


def _priced(candidate: Candidate, target: Target, sizes: Sequence[int], costs: Sequence[object]) -> Candidate:
    """Add one target's price: that of the precision that breaks the fewest limits, then of the fastest."""
    found = []
    for size, cost in zip(sizes, costs, strict=True):
        latency = getattr(cost, "latency", None)
        memory = getattr(cost, "memory", None)
        p90 = latency.p90 if latency else None
        broken = limits.physical(target.budget, size, memory, p90)
        found.append((len(broken), p90 or 0.0, size, memory, broken))
    _, p90, size, memory, broken = min(found, key=lambda item: item[:3])
    why = "; ".join(filter(None, (candidate.why, *(f"{target.name} {b}" for b in broken))))
    return candidate.model_copy(
        update={
            "latency": candidate.latency | ({target.name: p90} if p90 else {}),
            "file_size": candidate.file_size | {target.name: size},
            "memory": candidate.memory | ({target.name: memory} if memory is not None else {}),
            "fits": candidate.fits and not broken,
            "why": why,
        }
    )


def _try(known: Known, fitting: Sequence[Candidate]) -> Policy[list[Candidate]]:
    """Train candidates briefly with the teacher and note their validation accuracy."""
    plan = known.plan
    if len(fitting) == 1:
        return list(fitting)
    trained: Sequence[Trained] = yield [
        Train(
            networks=(candidate.architecture,),
            objectives=distillation(*plan.effort.distill[0]),
            splits=known.splits,
            schedule=schedule(plan.schedule, plan.effort.trial_epochs),
            soft_targets=known.soft_targets,
            views=known.soft_targets.views,
            view_seed=known.soft_targets.seed,
            augment=plan.augment,
            mirror=plan.mirror,
            metric=plan.data.metric,
            seed=plan.seed,
        )
        for candidate in fitting
    ]
    return [
        candidate.model_copy(update={"validation_accuracy": result.checkpoints[0].validation_accuracy})
        for candidate, result in zip(fitting, trained, strict=True)
    ]


def _smallest_good(known: Known, judged: Sequence[Candidate]) -> Candidate:
    """The smallest candidate within one standard error of the best."""
    if len(judged) == 1:
        return judged[0]
    best = max(c.validation_accuracy or 0.0 for c in judged)
    noise = math.sqrt(best * (1 - best) / known.splits.parts["validation"].labelled)
    return min((c for c in judged if (c.validation_accuracy or 0.0) >= best - noise), key=lambda c: c.size.macs)


def _binds(known: Known, options: Sequence[Option], candidates: Sequence[Candidate], chosen: Candidate) -> str:
    """In words: the limit that keeps the student from being larger."""
    larger = [c for c in candidates if c.fits and c.size.macs > chosen.size.macs]
    if larger:
        return "nothing: larger students fit, but were no better on the validation part (within one standard error)"
    slow = [c for c in candidates if not c.fits and c.size.macs > chosen.size.macs]
    if slow:
        return f"{min(slow, key=lambda c: c.size.macs).why} (the next larger student that was priced)"
    beyond = [o for o in options if limits.too_large(known, o) and o.size.macs > chosen.size.macs]
    if beyond:
        return f"{'; '.join(limits.too_large(known, beyond[0]))} (the next larger student)"
    return "nothing: it is the largest student of its family"


def nothing(known: Outlook, options: Sequence[Option]) -> Sized:
    """No student keeps the exact limits: say which limit, and the smallest that could be met."""
    if not options:
        return Sized(binds="every smaller student has been tried", nearest="")
    smallest = min(options, key=lambda o: (o.size.params, o.size.macs))
    leanest = min(options, key=lambda o: (o.size.macs, o.size.params))
    params, macs = f"{smallest.size.params:,}", f"{leanest.size.macs:,}"
    nearest = (
        f"the smallest student has {params} parameters and {macs} MACs"
        if smallest == leanest
        else f"the smallest student has {params} parameters, the leanest {macs} MACs"
    )
    return Sized(binds="; ".join(limits.too_large(known, smallest)), nearest=nearest)


def _smallest_budget(known: Known, priced: Sequence[Candidate]) -> str:
    """In words: the fastest and smallest student found, and so the smallest budgets that can be met."""
    told = []
    for target in known.plan.targets:
        parts = []
        latencies = [c.latency[target.name] for c in priced if target.name in c.latency]
        if target.budget.max_latency and latencies:
            parts.append(f"latency {units.show_seconds(min(latencies))} (p90 of the fastest student found)")
        if target.budget.max_size:
            smallest = min(c.file_size[target.name] for c in priced)
            parts.append(f"size {units.show_size(smallest)} (the smallest file found)")
        memories = [c.memory[target.name] for c in priced if target.name in c.memory]
        if target.budget.max_memory and memories:
            parts.append(f"memory {units.show_size(min(memories))} (the least found)")
        if parts:
            told.append(f"the nearest that {target.name} can keep is about {', '.join(parts)}")
    return "; ".join(told)
