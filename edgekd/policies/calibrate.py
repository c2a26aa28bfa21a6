"""How sure the files that ship may say they are: a temperature for each, fitted on the validation part."""

from collections.abc import Sequence

from edgekd.policies import outputs
from edgekd.policies.known import Outlook
from edgekd.results import Calibrated, Predictions, Row
from edgekd.spec import Part
from edgekd.steps import Calibrate, Policy

PARTS: tuple[Part, ...] = ("validation", "test")


def calibrate(known: Outlook, rows: Sequence[Row]) -> Policy[tuple[Row, ...]]:
    """The rows, where those that ship and sort into classes have a signature that says how sure they may be."""
    found = []
    for row in rows:
        told = yield from _told(known, row)
        found.append(_with(known, row, told) if told else row)
    return tuple(found)


def _told(known: Outlook, row: Row) -> Policy[Calibrated | None]:
    """What a temperature does for a file; None where it does not ship or tells no classes, or nothing ran it."""
    if not row.ships or row.artifact is None or row.score is None or not known.splits.classes:
        return None
    target = next(target for target in known.plan.targets if target.name == row.target)
    predicted: Sequence[Predictions] = yield [outputs.ask(known, target, row.artifact, part) for part in PARTS]
    if not outputs.answered(predicted):
        return None
    validation, test = predicted
    accuracy = known.plan.selective_accuracy
    (told,) = yield [Calibrate(validation=validation, test=test, splits=known.splits, accuracy=accuracy)]
    answer: Calibrated = told
    return answer


def _with(known: Outlook, row: Row, told: Calibrated) -> Row:
    """The row with a signature that says so, and what a user must know of it."""
    assert row.artifact is not None
    signature = row.artifact.signature.model_copy(update={"confidence": told.confidence})
    artifact = row.artifact.model_copy(update={"signature": signature})
    wanted, notes = known.plan.selective_accuracy, list(row.notes)
    if told.why:
        notes.append(f"its probabilities are not calibrated: {told.why}")
    for one in told.confidence:
        if wanted is not None and one.threshold is None:
            promise = f"beyond no threshold are {100 * wanted:g} % sure to be right"
            notes.append(f"{one.head or 'it'} refuses no answer: {promise}")
    return row.model_copy(update={"artifact": artifact, "notes": tuple(notes)})
