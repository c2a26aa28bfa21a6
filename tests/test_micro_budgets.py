"""Budgets of microcontrollers: read where there is one, held against file and arena, and told in a certificate."""

import pytest

from edgekd.certificate import measured, overall, told
from edgekd.errors import UsageError
from edgekd.policies import limits
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Measurement
from edgekd.spec import Budget

BUDGET = Budget(max_arena=4096, max_flash=8192)
WEIGHED = Measurement(basis="measured", memory=5000, arena=5000)


def test_a_target_has_the_kernels_of_its_device() -> None:
    flags = Flags(target=("tflite@micro",), max_arena="64KiB", max_flash="256KiB")
    (target,) = load_plan(None, flags).targets
    assert (target.runtime, target.precision) == ("tflite-micro", "int8-full")
    assert (target.budget.max_arena, target.budget.max_flash) == (64 * 1024, 256 * 1024)
    (target,) = load_plan(None, Flags(target=("tflite@micro",), precision="float32")).targets
    assert target.precision == "float32"


@pytest.mark.parametrize(
    ("target", "flag", "value", "words"),
    [
        ("tflite@micro", "max_latency", "20ms", "--max-latency: an emulated kernel .* Leave it out"),
        ("tflite@micro", "max_memory", "1MiB", "--max-memory: .* is its arena. Write --max-arena"),
        ("tflite@micro", "precision", "int8", "scales all rows of such weights by the first one's"),
        ("tflite", "max_arena", "64KiB", "--max-arena: tflite is no microcontroller"),
        ("onnx", "max_flash", "64KiB", "--max-flash: onnx is no microcontroller"),
        ("tflite@micro", "max_arena", "64", "--max-arena"),
    ],
)
def test_what_cannot_be_held_against_anything_is_refused(target: str, flag: str, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_plan(None, Flags(target=(target,), **{flag: value}))


def test_file_and_arena_are_held_against_them() -> None:
    assert limits.physical(BUDGET, 8192, 4096, None) == ()
    assert limits.physical(BUDGET, 8193, 4097, None) == ("arena: 4 KiB over 4 KiB", "flash: 8 KiB over 8 KiB")
    assert limits.share(BUDGET, 4096, 4096, None) == 1 and limits.share(BUDGET, 8192, 2048, None) == 1
    assert limits.unknown(BUDGET, None, Measurement(basis="not measured"), None, False)
    assert not limits.unknown(BUDGET, None, WEIGHED, None, False)


def test_the_certificate_has_a_term_of_each() -> None:
    terms = measured(BUDGET, 8000, WEIGHED)
    assert [(term.limit, term.verdict, term.unit) for term in terms] == [
        ("max_arena", "broken", "bytes"),
        ("max_flash", "holds", "bytes"),
    ]
    assert overall(terms) == "broken"
    assert "pointers of 64 bits" in told(terms[0]) and "without the code" in told(terms[1])
