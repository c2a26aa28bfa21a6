"""Messages name the nearest good name, and all mistakes are told at once."""

import pytest
from pydantic import ValidationError

from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather, nearest, translate, unknown
from edgekd.spec import Target


def fail(*messages: str) -> None:
    raise UsageError(*(Problem("here", message) for message in messages))


def test_gather_goes_on_and_tells_each_problem_once_in_order():
    gather = Gather()
    assert gather.attempt(fail, "first", "second") is None
    assert gather.attempt(len, "abc") == 3
    gather.attempt(fail, "first")
    with pytest.raises(UsageError) as caught:
        gather.check()
    assert [problem.message for problem in caught.value.problems] == ["first", "second"]


def test_gather_without_problems_is_silent():
    gather = Gather()
    gather.check()
    assert gather.problems == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("tflit", "Did you mean 'tflite'?"),
        ("TFLITE", "Did you mean 'tflite'?"),
        ("zzz", "Choose from: tflite, onnx."),
    ],
)
def test_nearest(word: str, expected: str):
    assert nearest(word, ("tflite", "onnx")) == expected


def test_nearest_of_nothing_says_nothing():
    assert nearest("a", ()) == ""


def test_unknown_is_a_problem_with_place_and_hint():
    assert (
        str(unknown("--target", "target", "onx", ["onnx"]))
        == "--target: there is no target 'onx'. Did you mean 'onnx'?"
    )


def test_translate_shows_no_text_of_the_validator():
    with pytest.raises(ValidationError) as caught:
        Target.model_validate({"name": "a", "format": 3, "threads": "two", "precision": "int9", "budgets": 1})
    error = translate(caught.value, lambda key: f"file.toml: [target] {key}", Target.model_fields)
    text = str(error)
    assert "pydantic" not in text and "https://" not in text and "Input should" not in text
    assert "file.toml: [target] format: 3 is not text in quotes" in text
    assert "file.toml: [target] threads: 'two' is not a whole number" in text
    assert "Did you mean 'int8'?" in text
    assert "file.toml: [target] budgets: is not a known key. Did you mean 'budget'?" in text


def test_translate_keeps_what_units_say_and_the_place_of_a_nested_key():
    with pytest.raises(ValidationError) as caught:
        Target.model_validate({"name": "a", "format": "b", "budget": {"max_latency": "20 msec"}})
    (problem,) = translate(caught.value, lambda key: key, ()).problems
    assert problem.where == "budget.max_latency"
    assert "Did you mean 20ms?" in problem.message
