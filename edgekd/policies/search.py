"""How large may the student be, and how large should it be?

Exact limits first; then untrained candidates are exported, converted, quantized and timed in the target's own runtime
(explore); those that fit race on the validation part (halving), and the smallest that is within one standard error of
the best is taken (the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984).
"""

from collections.abc import Mapping, Sequence

from edgekd import units
from edgekd.errors import DeviceError
from edgekd.policies import limits
from edgekd.policies.explore import explore
from edgekd.policies.front import mark
from edgekd.policies.halving import halve, noise
from edgekd.policies.known import Known, Outlook
from edgekd.policies.pricing import UNMEASURED
from edgekd.policies.threads import more_threads
from edgekd.results import Candidate, Option, Predictor
from edgekd.spec import Value
from edgekd.steps import Policy


class Sized(Value):
    """The student's size and why: candidates, smallest first; the chosen one (None: nothing fits); what binds.

    `predictors` say how well prices were predicted.
    """

    candidates: tuple[Candidate, ...] = ()
    chosen: Candidate | None = None
    binds: str = ""
    nearest: str = ""
    predictors: tuple[Predictor, ...] = ()


class Tighter(Value):
    """What a file that missed its budget taught: students not to try again, the MACs to stay below, and by how much
    latencies turn out longer than the quick protocol says, by target."""

    without: tuple[str, ...] = ()
    below: int | None = None
    margin: dict[str, float] = {}

    def allows(self, option: Option) -> bool:
        """Whether a student may still be tried."""
        smaller = self.below is None or option.size.macs < self.below
        return smaller and option.architecture.model_dump_json() not in self.without


def survey(known: Outlook, tighter: Tighter | None = None) -> Policy[Sized]:
    """Price students, untrained and without the teacher; where none fits, `binds` and `nearest` say so."""
    tighter = tighter or Tighter()
    options = [option for option in known.options if tighter.allows(option)]
    within = [option for option in options if not limits.too_large(known, option)]
    if not within:
        return nothing(known, options)
    before = yield from _before(known, tighter)
    found = yield from explore(known, within, tighter.margin, before)
    priced = Sized(candidates=found.priced, predictors=found.predictors)
    if any(one.fits for one in found.priced):
        return priced
    made = [one for one in found.priced if not one.fault]
    if not made and all(one.fault.startswith(UNMEASURED) for one in found.priced):
        raise DeviceError(f"no student could be timed; {found.priced[0].fault}")
    nearest = _smallest_budget(known, made, tighter.margin) if made else ""
    threads = yield from more_threads(known, made, tighter.margin)
    nearest = "; ".join(filter(None, (nearest, threads)))
    return priced.model_copy(update={"binds": (made or found.priced)[0].why, "nearest": nearest})


def _before(known: Outlook, tighter: Tighter) -> Policy[tuple[Candidate, ...]]:
    """What the first round priced, nothing in the first round itself: asked again, since all its answers are known."""
    if tighter == Tighter():
        return ()
    within = [option for option in known.options if not limits.too_large(known, option)]
    return (yield from explore(known, within, {})).priced


def search(known: Known, tighter: Tighter | None = None) -> Policy[Sized]:
    """Find the student's size; `tighter` is what an earlier round taught."""
    found = yield from survey(known, tighter)
    if found.binds:
        return found
    judged = yield from halve(known, [one for one in found.candidates if one.fits], tighter.margin if tighter else {})
    chosen = _smallest_good(known, judged)
    every = {c.architecture.model_dump_json(): c for c in (*found.candidates, *judged)}
    candidates = mark(sorted(every.values(), key=lambda c: c.size.macs), known.gauge)
    options = [option for option in known.options if tighter is None or tighter.allows(option)]
    binds = _binds(known, options, candidates, chosen)
    return found.model_copy(update={"candidates": candidates, "chosen": chosen, "binds": binds})


def _smallest_good(known: Known, judged: Sequence[Candidate]) -> Candidate:
    """The smallest candidate within one standard error of the best."""
    if len(judged) == 1:
        return judged[0]
    longest = max(c.epochs for c in judged)
    finalists = [c for c in judged if c.epochs == longest]
    quality = known.gauge.good
    least = max(quality(c.validation_accuracy) for c in finalists) - noise(known, finalists)
    return min((c for c in finalists if quality(c.validation_accuracy) >= least), key=lambda c: c.size.macs)


def _binds(known: Known, options: Sequence[Option], candidates: Sequence[Candidate], chosen: Candidate) -> str:
    """In words: the limit that keeps the student from being larger."""
    larger = [c for c in candidates if c.fits and c.size.macs > chosen.size.macs]
    if any(one.validation_accuracy is not None for one in larger):
        return "nothing: larger students fit, but were no better on the validation part (within one standard error)"
    if larger:
        return "nothing: larger students fit, but were not among those that were trained to choose from"
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


def _smallest_budget(known: Outlook, priced: Sequence[Candidate], margin: Mapping[str, float]) -> str:
    """In words: the fastest and smallest student found, and so the smallest budgets that can be met."""
    told = []
    for target in known.plan.targets:
        parts = []
        latencies = [c.latency[target.name] for c in priced if target.name in c.latency]
        if target.budget.max_latency and latencies:
            least = min(latencies) * margin.get(target.name, 1.0)
            parts.append(f"latency {units.show_seconds(least)} (p90 of the fastest student found)")
        if target.budget.size:
            smallest = min(c.file_size[target.name] for c in priced)
            name = "flash" if target.budget.max_flash else "size"
            parts.append(f"{name} {units.show_size(smallest)} (the smallest file found)")
        memories = [c.memory[target.name] for c in priced if target.name in c.memory]
        if target.budget.memory and memories:
            name = "arena" if target.budget.max_arena else "memory"
            parts.append(f"{name} {units.show_size(min(memories))} (the least found)")
        if parts:
            told.append(f"the nearest that {target.name} can keep is about {', '.join(parts)}")
    return "; ".join(told)
