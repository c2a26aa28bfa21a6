"""Before anything is trained: can the planned student, untrained, and the teacher become every file that is wanted?

Each is converted, loaded in its runtime, run on a few samples and compared with torch.
"""

from collections.abc import Mapping, Sequence

from edgekd.errors import EdgekdError, Problem, UsageError
from edgekd.policies import limits
from edgekd.policies.files import Made, Wanted, convert, reason, taking
from edgekd.policies.known import PRICED, Outlook
from edgekd.results import Artifact, Program, Rehearsed
from edgekd.spec import FLOATS, Precision, Target, Value
from edgekd.steps import Each, Export, Policy, Rehearse


class Cleared(Value):
    """What came of it: by target, the precisions that may not be asked for and why; what to know of the teacher."""

    refused: dict[str, dict[Precision, str]] = {}
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
    refused, notes = {}, []
    for target in known.plan.targets:
        own, *others = yield from taking(target, known.splits, (planned, *taught))
        wanted = [Wanted(program=own, precisions=known.tried(target))]
        wanted += [Wanted(program=one, precisions=PRICED) for one in others]
        found = yield from _rehearse(known, target, wanted)
        notes += [f"the teacher has no {target.name} file in {p}: {why}" for one in found[1:] for p, why in one.items()]
        problems += _problems(target, found[0])
        refused[target.name] = {p: why for p, why in found[0].items() if p != "float32"}
    if problems:
        raise UsageError(*dict.fromkeys(problems))
    return Cleared(refused={name: faults for name, faults in refused.items() if faults}, notes=tuple(notes))


def _rehearse(known: Outlook, target: Target, wanted: Sequence[Wanted]) -> Policy[list[Faults]]:
    """What is wrong with each program's files, by precision."""
    made = yield from convert(target, known.splits, wanted)
    faults: list[Faults] = [
        {precision: reason(file) for precision, file in files.items() if isinstance(file, EdgekdError)}
        for files in made
    ]
    if not known.checkable(target):
        return faults
    pairs = [(i, p, file) for i, files in enumerate(made) for p, file in _files(files).items()]
    runs: Sequence[Rehearsed | EdgekdError] = yield Each(
        Rehearse(
            artifact=file,
            device=target.device,
            fingerprint=known.facts[target.device.name].fingerprint,
            runtime=known.runtime(target),
        )
        for _, _, file in pairs
    )
    for (i, precision, _), run in zip(pairs, runs, strict=True):
        fault = reason(run) if isinstance(run, EdgekdError) else run.fault if run.basis != "not measured" else ""
        if fault:
            faults[i][precision] = fault
    return faults


def _files(made: Made) -> Mapping[Precision, Artifact]:
    return {precision: file for precision, file in made.items() if isinstance(file, Artifact)}


def _problems(target: Target, faults: Faults) -> list[Problem]:
    """What the plan cannot do without: float32 files, from which all others come, and the precision asked for."""
    asked: dict[Precision, None] = {"float32": None}
    if target.precision != "auto":
        asked[target.precision] = None
    found = []
    for precision in asked:
        if precision not in faults or (precision != "float32" and faults[precision] == faults.get("float32")):
            continue
        hint = "" if precision in FLOATS else "Ask for another precision, or for auto, which leaves this one out"
        found.append(Problem(f"target {target.name}, {precision}", faults[precision], hint))
    return found
