"""Which measurement of a file counts: the first stable one, and whose instability is worth another try."""

import pytest

from edgekd.policies.items import Item, pointless, quiet
from edgekd.policies.measuring import measure
from edgekd.results import Measured, Measurement
from edgekd.steps import Measure
from tests import synthetic
from tests.test_certificate import timed
from tests.world import known, target

STABLE, SHAKY = timed(1e-3), timed(1e-3, wobble=0.3)
REFUSED = Measurement(basis="not measured", why="throttled", refused=True)
NOTHING = Measurement(basis="not measured", why="no runtime")


def items(count: int) -> list[Item]:
    artifact = synthetic.artifact("tflite", "int8", 100)
    return [Item.model_construct(role="student", precision="int8", artifact=artifact) for _ in range(count)]


def asked(answers: list[tuple[Measurement, ...]], decisive: int | None = None) -> tuple[list[Measurement], int]:
    """What `measure` settles on when it is answered so, and how often it asked."""
    wanted, count = target(), 0
    policy = measure(known(wanted), wanted, items(len(answers[0])), "reportable", decisive)
    try:
        next(policy)
        while True:
            count += 1
            policy.send((Measured(measurements=answers[count - 1]),))
    except StopIteration as stop:
        return [item.measurement for item in stop.value], count


@pytest.mark.parametrize("spoiled", [SHAKY, REFUSED])
def test_a_spoiled_measurement_is_taken_again_and_a_stable_one_never_replaced(spoiled: Measurement) -> None:
    other = timed(2e-3)
    assert asked([(STABLE, spoiled), (other, other)]) == ([STABLE, other], 2)
    assert asked([(spoiled, STABLE), (spoiled, other)]) == ([spoiled, STABLE], 2)
    assert asked([(STABLE, STABLE)]) == ([STABLE, STABLE], 1)


def test_only_what_decides_is_worth_another_try() -> None:
    assert asked([(STABLE, SHAKY)], decisive=1) == ([STABLE, SHAKY], 1)
    assert asked([(SHAKY, STABLE), (STABLE, SHAKY)], decisive=1) == ([STABLE, STABLE], 2)


def test_what_cannot_be_measured_is_not_asked_twice() -> None:
    assert asked([(NOTHING, STABLE)]) == ([NOTHING, STABLE], 1)


@pytest.mark.parametrize(
    ("found", "attempt", "protocol", "kept"),
    [
        (STABLE, 1, "reportable", True),
        (SHAKY, 0, "reportable", True),
        (SHAKY, 1, "quick", True),
        (SHAKY, 1, "reportable", False),
        (REFUSED, 0, "quick", False),
        (NOTHING, 0, "reportable", True),
    ],
)
def test_a_spoiled_last_word_is_asked_again_by_the_next_build(
    found: Measurement, attempt: int, protocol: str, kept: bool
) -> None:
    step = Measure.model_construct(attempt=attempt, protocol=protocol)
    assert step.keep(Measured(measurements=(STABLE, found))) is kept


def test_files_stay_compared_by_what_was_measured_in_turn() -> None:
    (item,) = items(1)
    item = item.model_copy(update={"measurement": timed(2e-3), "compared": timed(1e-3)})
    assert quiet(item) < 1.1e-3 and not pointless(item, 1.5e-3)
    assert pointless(item.model_copy(update={"compared": None}), 1.5e-3)
