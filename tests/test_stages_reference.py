"""Reference: what a file computes over a part where no runtime can run it, and what edgekd does with the answer."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.errors import EdgekdError, UsageError
from edgekd.mil import evaluator
from edgekd.policies.ship import Networks, ship
from edgekd.results import Artifact, Predictions, Row
from edgekd.stages import diff, evaluate, reference
from edgekd.steps import Convert, Diff, Evaluate, Policy, Profile, Reference
from edgekd.workspace import Workspace
from tests import converted as toy
from tests import world

Made = Callable[[str], Path]


def asked(folder: Path, net: str, precision: str, part: str = "validation") -> Reference:
    artifact = toy.artifact(folder, "coreml", net, precision)
    return Reference(artifact=artifact, splits=toy.splits(folder)[net], part=part)


def answered(folder: Path, step: Reference) -> tuple[Predictions, np.ndarray, Workspace]:
    out = toy.entry(folder, "reference")
    answer = reference.run(step, out)
    return answer, np.load(out.locate(answer.outputs)), out


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("net", ["images", "words"])
def test_every_sample_of_the_part_is_evaluated(converted: Made, net: str, part: str) -> None:
    folder = converted("coreml")
    answer, outputs, _ = answered(folder, asked(folder, net, "float32", part))
    assert (answer.basis, answer.part) == ("reference", part)
    assert "not in its own runtime" in answer.why
    assert outputs.shape == (toy.splits(folder)[net].parts[part].count, 3) and outputs.dtype == np.float32
    if part == "validation":
        torch_said = np.load(Workspace(folder, folder / "entries", "").locate(toy.program(folder, net).reference))
        np.testing.assert_allclose(outputs, torch_said, atol=1e-4)


def test_pieces_give_what_the_whole_gives_and_progress_is_told(
    converted: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = converted("coreml")
    step = asked(folder, "images", "float16")
    _, whole, _ = answered(folder, step)
    monkeypatch.setattr(reference.inference, "CHUNK", 7)
    monkeypatch.setattr(reference, "PAUSE", 0.0)
    told: list[float] = []
    monkeypatch.setattr(Workspace, "progress", lambda self, done, text="": told.append(done))
    _, pieces, _ = answered(folder, step)
    np.testing.assert_allclose(pieces, whole, atol=1e-2)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) == -(-len(whole) // 7)


def test_an_operator_without_a_rule_leaves_no_outputs_and_its_name(
    converted: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = converted("coreml")
    monkeypatch.delitem(evaluator.RULES, "conv")
    answer, outputs, _ = answered(folder, asked(folder, "images", "float32"))
    assert answer.basis == "not measured" and answer.why.startswith("no rule for conv (output ")
    assert outputs.shape == (0, 3)


def test_a_format_without_an_evaluator_is_refused(converted: Made) -> None:
    folder = converted("coreml")
    step = asked(folder, "images", "float32")
    other = step.model_copy(update={"artifact": step.artifact.model_copy(update={"format": "onnx"})})
    with pytest.raises(UsageError, match="onnx has no reference evaluator"):
        answered(folder, other)


def shipped(folder: Path, net: str) -> tuple[Row, ...]:
    """The rows of Core ML where it cannot run, with what the real stages say of a real file; there is no teacher."""
    program, made = toy.program(folder, net), toy.artifact(folder, "coreml", net, "float32")
    target = world.target("coreml", precision="float32")
    known = world.known(target, references=("coreml",)).model_copy(update={"splits": toy.splits(folder)[net]})
    policy: Policy[tuple[Row, ...]] = ship(known, target, Networks(student=program, control=program), "student")
    try:
        wanted = next(policy)
        while True:
            wanted = policy.send([answer(folder, step, made) for step in wanted])
    except StopIteration as stop:
        rows: tuple[Row, ...] = stop.value.rows
        return rows


def answer(folder: Path, step: Any, made: Artifact) -> Any:
    match step:
        case Diff():
            return diff.run(step, toy.entry(folder, "diff"))
        case Convert():
            return made
        case Reference():
            return reference.run(step, toy.entry(folder, f"reference {step.part}"))
        case Evaluate() if (
            step.predictions.basis == "reference" and step.predictions.outputs.entry != world.file("").entry
        ):
            return evaluate.run(step.model_copy(update={"teacher": None}), toy.entry(folder, "score"))
        case Evaluate() | Profile():  # of the teacher's own outputs, and where operators run
            return world.World().answer(step)
    raise AssertionError(f"nobody was to ask {step}")


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torch's own TransformerEncoder as a Core ML package, with a padding mask of yes and no, and of numbers."""
    folder = tmp_path_factory.mktemp("padded")
    nets = ("yesno", "numbers")
    for part in (("program", *nets), ("coreml", *(f"{net}-float32" for net in nets))):
        command = [sys.executable, "-m", "tests.converted", str(folder), *part]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_the_inverted_padding_mask_of_a_silent_miscompile_never_ships(padded: Path) -> None:
    """coremltools converts a boolean src_key_padding_mask without a word, and inverts it."""
    with pytest.raises(EdgekdError, match=r"does not compute what torch computes: .*relative error") as caught:
        shipped(padded, "yesno")
    for blamed in ("First divergent layer: eq + ", "layers masked_fill", "a mask of yes and no", "(1 - mask.float())"):
        assert blamed in str(caught.value)


def test_its_twin_with_a_mask_of_numbers_ships(padded: Path) -> None:
    (row,) = [row for row in shipped(padded, "numbers") if row.ships]
    assert row.score is not None and row.score.basis == "reference"
    assert row.score.parity is not None and row.score.parity.passed
    assert row.score.parity.relative_error < 1e-5
