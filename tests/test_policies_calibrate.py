"""Only what ships is calibrated, by what it said of the validation part; and what cannot be is told."""

from functools import cache

import pytest

from edgekd.conditions import Interval
from edgekd.policies.calibrate import calibrate
from edgekd.policies.stepdown import Outcome, choose
from edgekd.results import Calibrated, Confidence, File, Predictions, Row
from edgekd.steps import Calibrate, Predict
from tests.world import World, known, target

NONE = Interval(value=0.01, low=0.0, high=0.02)
ONE = Confidence(temperature=1.7, error=NONE, error_before=NONE, samples=500)
OUTPUTS = File(entry="0" * 64, name="outputs.npy", sha256="1" * 64, size=1)


@cache
def chosen() -> Outcome:
    return World().follow(choose(known(target())))


def followed(answer: Calibrated, basis: str = "measured", **changes: object) -> tuple[tuple[Row, ...], list[object]]:
    """The rows after it, and every step that it asked."""
    here = known(target())
    here = here.model_copy(update={"plan": here.plan.model_copy(update=changes)})
    generator, asked, answers = calibrate(here, chosen().rows), [], None
    while True:
        try:
            steps = generator.send(answers) if asked else next(generator)
        except StopIteration as end:
            return end.value, asked
        asked += steps
        answers = [
            answer if isinstance(step, Calibrate) else Predictions(outputs=OUTPUTS, part=step.part, basis=basis)
            for step in steps
        ]


def test_the_file_that_ships_says_how_sure_it_is() -> None:
    rows, asked = followed(Calibrated(confidence=(ONE,)))
    before = [row for row in chosen().rows if row.ships]
    after = [row for row in rows if row.ships]
    assert len(before) == len(after) == 1
    assert after[0].artifact.signature.confidence == (ONE,) and after[0].notes == before[0].notes
    assert [row for row in rows if not row.ships] == [row for row in chosen().rows if not row.ships]
    predicted, (calibrated,) = (
        [s for s in asked if isinstance(s, Predict)],
        [s for s in asked if isinstance(s, Calibrate)],
    )
    assert [(step.part, step.artifact) for step in predicted] == [
        ("validation", before[0].artifact),
        ("test", before[0].artifact),
    ]
    assert (calibrated.validation.part, calibrated.test.part, calibrated.accuracy) == ("validation", "test", None)


def test_what_is_asked_of_a_file_is_what_was_asked_before_it_was_calibrated() -> None:
    """The same key: nothing is predicted again."""
    rows, _ = followed(Calibrated(confidence=(ONE,)))
    (row,) = [row for row in rows if row.ships]
    (plain,) = [row for row in chosen().rows if row.ships]
    assert "confidence" not in plain.artifact.signature.question(plain.artifact.signature.model_dump())
    assert "confidence" in row.artifact.signature.question(row.artifact.signature.model_dump())


@pytest.mark.parametrize(
    ("answer", "wanted", "note"),
    [
        (Calibrated(why="it has 3 samples"), None, "its probabilities are not calibrated: it has 3 samples"),
        (Calibrated(confidence=(ONE,)), 0.99, "it refuses no answer: beyond no threshold are 99 % sure to be right"),
        (Calibrated(confidence=(ONE.model_copy(update={"threshold": 0.8}),)), 0.99, ""),
    ],
)
def test_what_could_not_be_had_is_told(answer: Calibrated, wanted: float | None, note: str) -> None:
    rows, asked = followed(answer, selective_accuracy=wanted)
    (row,) = [row for row in rows if row.ships]
    assert (row.notes[-1] == note) if note else row.notes == next(r for r in chosen().rows if r.ships).notes
    assert asked[-1].accuracy == wanted


def test_a_file_that_nothing_ran_is_left_as_it_is() -> None:
    rows, asked = followed(Calibrated(confidence=(ONE,)), basis="not measured")
    assert rows == chosen().rows and not [step for step in asked if isinstance(step, Calibrate)]
