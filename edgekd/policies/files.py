"""Files of programs in several precisions: float32 first, since the others start from that file.

A format may have several converters, its routes. Where one fails at a program, the next one is tried.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from edgekd.errors import EdgekdError, NotConverted, Problem, UsageError
from edgekd.policies.known import Outlook
from edgekd.results import Artifact, Program, Splits
from edgekd.spec import CALIBRATED, Precision, Target, Value
from edgekd.steps import Convert, Each, Policy, Raw


class Wanted(Value):
    """A program and the precisions that its files are wanted in."""

    program: Program
    precisions: tuple[Precision, ...]


class Made(NamedTuple):
    """A program's files by precision, or the errors that stand in their place, and why each route before failed."""

    files: dict[Precision, Artifact | EdgekdError]
    failed: tuple[str, ...] = ()

    def artifacts(self) -> dict[Precision, Artifact]:
        """The files that could be made."""
        return {precision: file for precision, file in self.files.items() if isinstance(file, Artifact)}

    def faults(self) -> dict[Precision, str]:
        """Why the others could not."""
        return {precision: reason(file) for precision, file in self.files.items() if isinstance(file, EdgekdError)}


def taking(target: Target, splits: Splits, programs: Sequence[Program]) -> Policy[list[Program]]:
    """The programs with the inputs that a target wants. Raises UsageError where raw ones are not to be had."""
    if target.input == "float":
        return list(programs)
    return list((yield [Raw(program=program, splits=splits) for program in programs]))


def convert(known: Outlook, target: Target, wanted: Sequence[Wanted]) -> Policy[list[Made]]:
    """Each program's files by precision, always with float32; where one cannot be made its error stands there."""
    made = yield from _lower(known, target, [one.program for one in wanted])
    pairs = [
        (i, precision)
        for i, one in enumerate(wanted)
        for precision in dict.fromkeys(one.precisions)
        if precision != "float32"
    ]
    bases = {i: file for i, one in enumerate(made) for file in one.artifacts().values()}
    possible = [(i, precision) for i, precision in pairs if i in bases]
    found = yield Each(
        ask(known, target, wanted[i].program, precision, bases[i].route, bases[i]) for i, precision in possible
    )
    for (i, precision), file in zip(possible, found, strict=True):
        made[i].files[precision] = file
    for i, precision in pairs:
        made[i].files.setdefault(precision, made[i].files["float32"])
    return made


def _lower(known: Outlook, target: Target, programs: Sequence[Program]) -> Policy[list[Made]]:
    """Each program's float32 file by the first route that gives one; else one error that tells what each one said."""
    first, *others = known.ways(target)
    files = yield Each(ask(known, target, program, "float32", first) for program in programs)
    found = [Made({"float32": file}) for file in files]
    for route in others:
        errors = {i: one.files["float32"] for i, one in enumerate(found) if not one.artifacts()}
        failed = {i: error for i, error in errors.items() if isinstance(error, EdgekdError)}
        again = yield Each(ask(known, target, programs[i], "float32", route) for i in failed)
        for (i, error), file in zip(failed.items(), again, strict=True):
            found[i] = Made({"float32": _instead(error, route, file)}, (*found[i].failed, _message(error)))
    return found


def _instead(error: EdgekdError, route: str, file: Artifact | EdgekdError) -> Artifact | EdgekdError:
    """What one more route gave in place of an error, which is told with its own."""
    if not isinstance(file, EdgekdError):
        return file
    if reason(file) == reason(error):
        return error
    problems = error.problems if isinstance(error, UsageError) else (Problem("", reason(error)),)
    return NotConverted(*(Problem(p.where, f"{p.message}. By {route}: {reason(file)}", p.hint) for p in problems))


def ask(
    known: Outlook,
    target: Target,
    program: Program,
    precision: Precision,
    route: str = "",
    base: Artifact | None = None,
) -> Convert:
    """The question for one file."""
    return Convert(
        program=program,
        format=target.format,
        precision=precision,
        splits=known.splits,
        base=base,
        ranges=target.ranges if precision in CALIBRATED else "min-max",
        route=route,
        one=target.name in known.single,
    )


def reason(error: EdgekdError) -> str:
    """Why a file could not be made, in one line."""
    if isinstance(error, UsageError):
        return "; ".join(". ".join(filter(None, (p.message, p.hint))) for p in error.problems)
    return str(error).partition("\n")[0]


def _message(error: EdgekdError) -> str:
    """Why a file could not be made, without what to do about it."""
    if isinstance(error, UsageError):
        return "; ".join(problem.message for problem in error.problems)
    return reason(error)


def all_of(made: Sequence[Made], precisions: Sequence[Precision]) -> list[Artifact]:
    """Every file, program by program, in those precisions. Raises the first error that stands in the place of one."""
    found = []
    for one, precision in product(made, precisions):
        file = one.files[precision]
        if isinstance(file, EdgekdError):
            raise file
        found.append(file)
    return found
