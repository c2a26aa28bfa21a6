"""A network that needs no training, on every target: convert, judge, and choose the precision that ships."""

from edgekd.errors import EdgekdError
from edgekd.policies.files import Wanted, convert
from edgekd.policies.judge import Item, judge
from edgekd.policies.known import Outlook
from edgekd.results import Program, Row
from edgekd.spec import Target
from edgekd.steps import Export, Policy


def convey(known: Outlook) -> Policy[tuple[Row, ...]]:
    """Judge the plan's teacher, as it is, in every precision that may ship, on every target."""
    (program,) = yield [Export(source=known.plan.teacher, splits=known.splits)]
    rows: list[Row] = []
    for target in known.plan.targets:
        items = yield from _items(known, target, program)
        rows += yield from judge(known, target, items, {}, "model")
    return tuple(rows)


def _items(known: Outlook, target: Target, program: Program) -> Policy[list[Item]]:
    """Its files. Raises the error of one that cannot be made where that was asked for by name."""
    (files,) = yield from convert(target, known.splits, [Wanted(program=program, precisions=known.tried(target))])
    for precision, file in files.items():
        if isinstance(file, EdgekdError) and precision in ("float32", target.precision):
            raise file
    return [
        Item(role="model", precision=precision, program=program, artifact=file)
        for precision, file in files.items()
        if not isinstance(file, EdgekdError)
    ]
