"""Before anything is trained: can the planned student, untrained, and the teacher become every file that is wanted?

Each is converted, loaded in its runtime, run on a few samples and compared with torch.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edgekd.errors import EdgekdError, Problem, UsageError
from edgekd.policies import limits
from edgekd.policies.blame import stops
from edgekd.policies.files import Made, Wanted, convert, reason, taking
from edgekd.policies.known import PRICED, Outlook
from edgekd.results import Program, Rehearsed
from edgekd.spec import FLOATS, Precision, Target, Value
from edgekd.steps import Each, Export, Policy, Rehearse


class Cleared(Value):
    """What came of it: by target, the precisions that may not be asked for and why, and the routes that are left where
    the first is no good; what to know of these, and of the teacher."""

    refused: dict[str, dict[Precision, str]] = {}
    routes: dict[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()


Faults = dict[Precision, str]


def preflight(known: Outlook) -> Policy[Cleared]:
    """Rehearse every requested target and precision with the largest student that keeps the exact limits.

    Raises UsageError with everything that cannot be: a precision that was asked for, or float32 where any may ship.
    """
    if known.plan.student is None:
        (planned,) = yield [Export(source=known.plan.teacher, splits=known.splits)]
        return (yield from _clear(known, planned, []))
    within = [option for option in known.options if not limits.too_large(known, option)]
    if not within:
        return Cleared()
    largest = max(within, key=lambda option: option.size.macs)
    (student,) = yield [Export(source=largest.architecture, splits=known.splits, seed=known.plan.seed)]
    teacher: Program | EdgekdError | None = None
    if not known.no_teacher:
        (teacher,) = yield Each([Export(source=known.plan.teacher, splits=known.splits)])
    return (yield from _clear(known, student, [teacher] if isinstance(teacher, Program) else []))


def _clear(known: Outlook, planned: Program, taught: Sequence[Program]) -> Policy[Cleared]:
    """Rehearse what is planned in every precision that may ship, and the teacher, if that is another network."""
    problems: list[Problem] = []
    refused, routes, notes = {}, {}, []
    for target in known.plan.targets:
        own, *others = yield from taking(target, known.splits, (planned, *taught))
        wanted = [Wanted(program=own, precisions=known.tried(target))]
        wanted += [Wanted(program=one, precisions=PRICED) for one in others]
        settled = yield from _settled(known, target, wanted)
        faults, *theirs = settled.faults
        notes += [f"the teacher has no {target.name} file in {p}: {why}" for one in theirs for p, why in one.items()]
        if settled.failed:
            first = known.routes[target.format][0]
            routes[target.name] = settled.routes
            notes.append(f"{target.name} files come by {settled.routes[0]}, since {first} fails: {settled.failed}")
        problems += _problems(target, faults)
        refused[target.name] = {p: why for p, why in faults.items() if p != "float32"}
    if problems:
        raise UsageError(*dict.fromkeys(problems))
    refused = {name: faults for name, faults in refused.items() if faults}
    return Cleared(refused=refused, routes=routes, notes=tuple(notes))


class Settled(NamedTuple):
    """What is wrong with each program's files, the planned one's first; the routes that are left for them where not the
    first was taken, and why that was."""

    faults: list[Faults]
    routes: tuple[str, ...] = ()
    failed: str = ""


def _settled(known: Outlook, target: Target, wanted: Sequence[Wanted]) -> Policy[Settled]:
    """Rehearse by one route after the other, until the planned program's float32 file computes what torch does."""
    ways, failed = known.ways(target), ""
    first: list[Faults] | None = None
    while ways:
        trial = known.model_copy(update={"settled": {target.name: ways}})
        made = yield from convert(trial, target, wanted)
        faults = yield from _rehearse(known, target, wanted, made)
        first = faults if first is None else first
        lowered = made[0].files["float32"]
        if isinstance(lowered, EdgekdError):
            break
        failed = "; ".join(filter(None, (failed, *made[0].failed)))
        ways = ways[ways.index(lowered.route) :]
        if "float32" not in faults[0]:
            return Settled(faults, ways, failed)
        failed, ways = "; ".join(filter(None, (failed, faults[0]["float32"]))), ways[1:]
    assert first is not None
    return Settled(first)


def _rehearse(known: Outlook, target: Target, wanted: Sequence[Wanted], made: Sequence[Made]) -> Policy[list[Faults]]:
    """What is wrong with each program's files, by precision; of one that is needed and does not run also where."""
    faults: list[Faults] = [one.faults() for one in made]
    if not known.checkable(target):
        return faults
    pairs = [(i, p, file) for i, one in enumerate(made) for p, file in one.artifacts().items()]
    runs: Sequence[Rehearsed | EdgekdError] = yield Each(
        Rehearse(
            artifact=file,
            device=target.device,
            fingerprint=known.facts[target.device.name].fingerprint,
            runtime=known.runtime(target),
        )
        for _, _, file in pairs
    )
    for (i, precision, file), run in zip(pairs, runs, strict=True):
        fault = reason(run) if isinstance(run, EdgekdError) else run.fault if run.basis != "not measured" else ""
        if isinstance(run, Rehearsed) and run.stopped and i == 0 and precision in _needed(target):
            fault = ". ".join(filter(None, (fault, (yield from stops(known, target, wanted[i].program, file)))))
        if fault:
            faults[i][precision] = fault
    return faults


def _problems(target: Target, faults: Faults) -> list[Problem]:
    """What the plan cannot do without: float32 files, from which all others come, and the precision asked for."""
    found = []
    for precision in _needed(target):
        if precision not in faults or (precision != "float32" and faults[precision] == faults.get("float32")):
            continue
        hint = "" if precision in FLOATS else "Ask for another precision, or for auto, which leaves this one out"
        found.append(Problem(f"target {target.name}, {precision}", faults[precision], hint))
    return found


def _needed(target: Target) -> tuple[Precision, ...]:
    """What a plan cannot do without."""
    asked: tuple[Precision, ...] = () if target.precision == "auto" else (target.precision,)
    return tuple(dict.fromkeys(("float32", *asked)))
