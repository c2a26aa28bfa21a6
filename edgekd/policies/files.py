"""Files of programs in several precisions: float32 first, since the others start from that file."""

from collections.abc import Sequence
from itertools import product

from edgekd.errors import EdgekdError, UsageError
from edgekd.results import Artifact, Program, Splits
from edgekd.spec import CALIBRATED, Precision, Target, Value
from edgekd.steps import Convert, Each, Policy, Raw


class Wanted(Value):
    """A program and the precisions that its files are wanted in."""

    program: Program
    precisions: tuple[Precision, ...]


Made = dict[Precision, Artifact | EdgekdError]


def taking(target: Target, splits: Splits, programs: Sequence[Program]) -> Policy[list[Program]]:
    """The programs with the inputs that a target wants. Raises UsageError where raw ones are not to be had."""
    if target.input == "float":
        return list(programs)
    return list((yield [Raw(program=program, splits=splits) for program in programs]))


def convert(target: Target, splits: Splits, wanted: Sequence[Wanted]) -> Policy[list[Made]]:
    """Each program's files by precision, always with float32; where one cannot be made its error stands there."""
    lowered = yield Each(_ask(target, splits, one.program, "float32") for one in wanted)
    made: list[Made] = [{"float32": file} for file in lowered]
    pairs = [
        (i, precision)
        for i, one in enumerate(wanted)
        for precision in dict.fromkeys(one.precisions)
        if precision != "float32"
    ]
    bases = {i: file for i, file in enumerate(lowered) if isinstance(file, Artifact)}
    possible = [(i, precision) for i, precision in pairs if i in bases]
    found = yield Each(_ask(target, splits, wanted[i].program, precision, bases[i]) for i, precision in possible)
    for (i, precision), file in zip(possible, found, strict=True):
        made[i][precision] = file
    for i, precision in pairs:
        made[i].setdefault(precision, lowered[i])
    return made


def _ask(
    target: Target, splits: Splits, program: Program, precision: Precision, base: Artifact | None = None
) -> Convert:
    return Convert(
        program=program,
        format=target.format,
        precision=precision,
        splits=splits,
        base=base,
        ranges=target.ranges if precision in CALIBRATED else "min-max",
    )


def reason(error: EdgekdError) -> str:
    """Why a file could not be made, in one line."""
    if isinstance(error, UsageError):
        return "; ".join(". ".join(filter(None, (p.message, p.hint))) for p in error.problems)
    return str(error).partition("\n")[0]


def all_of(made: Sequence[Made], precisions: Sequence[Precision]) -> list[Artifact]:
    """Every file, program by program, in those precisions. Raises the first error that stands in the place of one."""
    found = []
    for files, precision in product(made, precisions):
        file = files[precision]
        if isinstance(file, EdgekdError):
            raise file
        found.append(file)
    return found
