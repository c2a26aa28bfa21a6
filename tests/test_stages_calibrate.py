"""A file that is too sure is told so by its temperature; heads have one each; few samples have none."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import EdgekdError
from edgekd.results import Calibrated, Head
from edgekd.stages import calibrate
from edgekd.steps import Calibrate
from tests.test_contrast_temperature import drawn
from tests.test_stages_evaluate import Entries


@pytest.fixture
def entries(tmp_path: Path) -> Entries:
    return Entries(tmp_path)


def asked(entries: Entries, count: int = 3000, factor: float = 3.0, **more: object) -> Calibrated:
    logits, labels = drawn(count, classes=3, spread=4)
    outputs = factor * logits
    splits = entries.splits(labels)
    sides = {part: entries.predictions(outputs, part) for part in ("validation", "test")}
    return calibrate.run(Calibrate(splits=splits, **sides, **more), entries.workspace)


def test_it_finds_the_temperature_and_tells_what_it_is_worth(entries: Entries) -> None:
    (one,) = asked(entries).confidence
    assert one.temperature == pytest.approx(3.0, rel=0.1) and one.samples == 3000 and one.head == ""
    assert one.error.value < 0.03 < 0.08 < one.error_before.value
    assert (one.threshold, one.coverage, one.accuracy) == (None, None, None)


def test_with_an_accuracy_it_refuses_what_is_not_sure_enough(entries: Entries) -> None:
    (one,) = asked(entries, accuracy=0.95).confidence
    assert one.threshold is not None and 0.5 < one.threshold < 1 and 0 < one.coverage < 1
    assert one.accuracy is not None and one.accuracy.value >= 0.95
    (never,) = asked(entries, accuracy=0.999999).confidence
    assert never.threshold is None and never.coverage is None


def test_few_labelled_samples_give_no_temperature(entries: Entries) -> None:
    found = asked(entries, count=calibrate.LEAST - 1)
    assert found.confidence == () and "49 and 49 labelled validation and test samples; 50 are needed" in found.why


def test_unlabelled_samples_do_not_count(entries: Entries) -> None:
    logits, labels = drawn(400, classes=3)
    half = labels.copy()
    half[::2] = -1
    splits = entries.splits(half)
    sides = {part: entries.predictions(logits, part) for part in ("validation", "test")}
    (one,) = calibrate.run(Calibrate(splits=splits, **sides), entries.workspace).confidence
    assert one.samples == 200


def test_each_head_has_a_temperature_of_its_own(entries: Entries) -> None:
    (first, labels), (second, others) = drawn(4000, 1, classes=2), drawn(4000, 2, classes=3)
    outputs = np.concatenate((2 * first, 0.5 * second), axis=1)
    splits = entries.splits(labels)
    heads = (Head(name="kind", start=0, classes=("a", "b")), Head(name="size", start=2, classes=("s", "m", "l")))
    both = entries.save(np.stack((labels, others), axis=1))
    parts = {name: part.model_copy(update={"heads": both}) for name, part in splits.parts.items()}
    splits = splits.model_copy(update={"heads": heads, "parts": parts})
    sides = {part: entries.predictions(outputs, part) for part in ("validation", "test")}
    found = calibrate.run(Calibrate(splits=splits, **sides), entries.workspace).confidence
    assert [one.head for one in found] == ["kind", "size"]
    assert found[0].temperature == pytest.approx(2, rel=0.15) and found[1].temperature == pytest.approx(0.5, rel=0.15)


def test_outputs_of_other_samples_are_refused(entries: Entries) -> None:
    logits, labels = drawn(100, classes=3)
    sides = {part: entries.predictions(logits[:90], part) for part in ("validation", "test")}
    with pytest.raises(EdgekdError, match="were given for 100 samples of validation"):
        calibrate.run(Calibrate(splits=entries.splits(labels), **sides), entries.workspace)
