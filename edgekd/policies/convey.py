"""A network that needs no training, on every target: convert, judge, and choose the precision that ships."""

from edgekd.errors import EdgekdError
from edgekd.policies.files import Wanted, convert, taking
from edgekd.policies.items import Item
from edgekd.policies.judge import Judged, judge
from edgekd.policies.known import Outlook
from edgekd.results import Program
from edgekd.spec import Target
from edgekd.steps import Export, Policy


def convey(known: Outlook) -> Policy[Judged]:
    """Judge the plan's teacher, as it is, in every precision that may ship, on every target."""
    (program,) = yield [Export(source=known.plan.teacher, splits=known.splits)]
    found: list[Judged] = []
    for target in known.plan.targets:
        items = yield from _items(known, target, program)
        found.append((yield from judge(known, target, items, {}, "model")))
    return Judged(rows=tuple(r for j in found for r in j.rows), rungs=tuple(r for j in found for r in j.rungs))


def _items(known: Outlook, target: Target, program: Program) -> Policy[list[Item]]:
    """Its files. Raises the error of one that cannot be made where that was asked for by name."""
    (program,) = yield from taking(target, known.splits, [program])
    (made,) = yield from convert(known, target, [Wanted(program=program, precisions=known.tried(target))])
    for precision, file in made.files.items():
        if isinstance(file, EdgekdError) and precision in ("float32", target.precision):
            raise file
    return [
        Item(role="model", precision=precision, program=program, artifact=file)
        for precision, file in made.files.items()
        if not isinstance(file, EdgekdError)
    ]
