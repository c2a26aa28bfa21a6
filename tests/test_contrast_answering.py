import numpy as np
import pytest

from edgekd.conditions import Interval
from edgekd.contrast import answering
from edgekd.results import Column, Confidence, Head, Signature, TensorSpec

OUT = (TensorSpec(name="logits", shape=(-1, 5)),)
NONE = Interval(value=0.0, low=0.0, high=0.0)
TWO = Signature(
    inputs=(),
    outputs=OUT,
    classes=("kind cat", "kind dog", "size small", "size middle", "size large"),
    heads=(Head(name="kind", start=0, classes=("cat", "dog")), Head(name="size", start=2, classes=("s", "m", "l"))),
    confidence=tuple(
        Confidence(head=name, temperature=t, error=NONE, error_before=NONE, samples=60)
        for name, t in (("kind", 2.0), ("size", 1.0))
    ),
)
ONE = Signature(inputs=(), outputs=OUT, classes=tuple("abcde"))
ROWS = np.array([[2.0, 0.0, 0.0, 0.0, 3.0], [0.0, 0.1, 5.0, 0.0, 0.0]])


def test_each_head_answers_with_a_probability_of_its_own_temperature() -> None:
    (first, second) = answering.answers(ROWS, TWO)
    assert [index for index, _ in first] == [0, 2] and [index for index, _ in second] == [1, 0]
    assert first[0][1] == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert first[1][1] == pytest.approx(np.exp(3) / (np.exp(3) + 2))
    assert answering.answers(ROWS, ONE)[0][0][0] == 4


def test_a_sample_is_clear_where_the_tolerance_cannot_change_its_class() -> None:
    assert answering.settled(ROWS, TWO, 0.06) == [[True, False], [True, True]]
    assert answering.settled(ROWS, ONE, 0.6) == [[False, True]]


def test_margins_tell_by_how_much_each_mistake_shows() -> None:
    told = answering.margins(ROWS, ONE, 0.01)
    assert told["label"] == 2 and told["delegate"] == pytest.approx(500) and told["softmax"] > 1000
    same = np.zeros((4, 5)) + np.arange(5)
    assert answering.margins(same, ONE, 0.01)["delegate"] == 0.0, "golden samples that are alike show no stale answer"
    numbers = Signature(inputs=(), outputs=OUT, columns=(Column(name="x", mean=0, deviation=1),))
    assert set(answering.margins(ROWS, numbers, 0.01)) == {"delegate"}


def test_a_temperature_that_is_left_out_counts() -> None:
    hot = ONE.model_copy(update={"confidence": (TWO.confidence[0].model_copy(update={"head": ""}),)})
    assert answering.margins(ROWS, hot, 0.01)["softmax"] < answering.margins(10 * ROWS, hot, 0.01)["softmax"] * 1e9
    left_out = answering.answers(ROWS, ONE)[0][0][1] - answering.answers(ROWS, hot)[0][0][1]
    assert answering.margins(ROWS[:1], hot, 0.01)["softmax"] <= abs(left_out) / answering.PROBABLE + 1e-6
