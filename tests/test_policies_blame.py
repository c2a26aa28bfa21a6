"""What is said of a file that failed its gate; nothing that fails on the way hides that it did."""

from typing import Any

import pytest

from edgekd.errors import EdgekdError, StoreError
from edgekd.policies.blame import blame, stops
from edgekd.results import Artifact, Diffed, Layer, Located
from edgekd.steps import Convert, Diff, Export, Locate
from tests import world

LAYER = Layer(
    node="conv2d", name="conv1 + norm1", module="norm1", kind="BatchNorm2d", operator="batch_norm", tensor="t",
    shape=(1,), snr=2.25, lost=30.0, difference=1.0, scale=1.0,
)  # fmt: skip
FOUND = Diffed(
    layers=(LAYER,), first="conv2d", worst=("conv2d",), hidden=(), cause="a mask of yes and no",
    advice="Add a finite number", basis="measured", samples=8, threshold=60.0,
)  # fmt: skip


def said(answer: Any, target: Any = None, policy_of: Any = blame, **known: Any) -> tuple[str, list[Diff | Locate]]:
    """What blame returns for an answer of Diff (or stops, of Locate), or an error, and what it asked."""
    target, made = target or world.target(), world.World()
    about = world.known(target, **known)
    program = made._export(Export(source=about.options[3].architecture, splits=about.splits))
    artifact: Artifact = made._convert(
        Convert(program=program, format=target.format, precision="float32", splits=about.splits)
    ).model_copy(update={"layers": world.file("layers.json")})
    policy, asked = policy_of(about, target, program, artifact), []
    try:
        wanted = next(policy)
        asked += wanted
        if isinstance(answer, Exception):
            policy.throw(answer)
        else:
            policy.send((answer,))
    except StopIteration as stop:
        assert [(step.program, step.artifact) for step in asked] == [(program, artifact)] * len(asked)
        return stop.value, asked
    raise AssertionError("it asks once")


def test_the_first_divergent_layer_its_cause_and_what_to_try() -> None:
    text, (asked,) = said(FOUND)
    assert text == (
        "First divergent layer: conv1 + norm1 (2.2 dB, 60 dB is the least). Likely cause: a mask of yes and no. "
        "Try next: Add a finite number."
    )
    assert (asked.fingerprint, asked.runtime) == ("f", "1")


def test_what_the_golden_samples_do_not_show_is_said() -> None:
    assert "no layer that can be seen differs" in said(FOUND.model_copy(update={"first": None}))[0]


@pytest.mark.parametrize("error", [EdgekdError("it broke"), StoreError("full")])
@pytest.mark.parametrize("policy", [blame, stops])
def test_a_failure_to_look_says_nothing(policy: Any, error: EdgekdError) -> None:
    assert said(error, policy_of=policy)[0] == ""


def test_the_operator_at_which_a_file_stops() -> None:
    found = Located(operator="aten.roll in blocks.1 (Shift)", advice="use slices")
    text, (asked,) = said(found, policy_of=stops)
    assert text == "It stops at aten.roll in blocks.1 (Shift). Instead, use slices" and isinstance(asked, Locate)
    assert said(Located(), policy_of=stops)[0] == ""
    assert said(found, world.target("coreml"), policy_of=stops) == ("", [])


def test_nothing_measured_says_nothing() -> None:
    assert said(FOUND.model_copy(update={"basis": "not measured", "layers": (), "first": None}))[0] == ""


def test_a_format_is_asked_by_reference_where_it_does_not_run() -> None:
    coreml = world.target("coreml")
    text, (asked,) = said(FOUND, coreml, references=("coreml",))
    assert text and asked.runtime == ""
    assert said(FOUND, coreml) == ("", [])
