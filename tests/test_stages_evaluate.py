import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd import files
from edgekd.errors import EdgekdError
from edgekd.parity import parity
from edgekd.results import File, PartFiles, Predictions, Score, Splits
from edgekd.stages import evaluate
from edgekd.steps import Evaluate
from edgekd.workspace import Workspace

CLASSES = ("ankle boot", "bag", "coat")


class Entries:
    """Store entries written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder / "entries", 0
        (folder / "work").mkdir()
        self.workspace = Workspace(folder / "work", self.folder, "f" * 64)

    def save(self, array: np.ndarray) -> File:
        self.count += 1
        key = f"{self.count:064x}"
        path = self.folder / key[:2] / key / "array.npy"
        path.parent.mkdir(parents=True)
        np.save(path, array)
        return File(entry=key, name=path.name, sha256=files.digest(path), size=path.stat().st_size)

    def splits(self, labels: np.ndarray) -> Splits:
        known = int((labels >= 0).sum())
        part = PartFiles(inputs={}, labels=self.save(labels), count=len(labels), labelled=known, digest="0" * 64)
        return Splits(parts={"validation": part, "test": part}, classes=CLASSES)

    def predictions(self, outputs: np.ndarray, part: str = "test") -> Predictions:
        return Predictions(outputs=self.save(outputs.astype(np.float32)), part=part, basis="measured")


@pytest.fixture
def entries(tmp_path: Path) -> Entries:
    return Entries(tmp_path)


def logits(labels: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return 5 * np.eye(3, dtype=np.float32)[(np.maximum(labels, 0) + wrong) % 3]


def score(entries: Entries, labels: np.ndarray, outputs: np.ndarray, **more: object) -> Score:
    part = "validation" if "reference" in more else "test"
    step = Evaluate(predictions=entries.predictions(outputs, part), splits=entries.splits(labels), **more)
    return evaluate.run(step, entries.workspace)


def test_accuracy_counts_labelled_samples_only(entries: Entries) -> None:
    labels = np.array([0, 1, 2, -1, 0, -1])
    result = score(entries, labels, logits(labels, np.array([0, 0, 0, 1, 1, 1])))
    assert result.count == 4 and result.accuracy.value == 0.75
    assert result.accuracy.low <= 0.75 <= result.accuracy.high
    assert result.per_class == (0.5, 1.0, 1.0) and result.basis == "measured"
    assert result.drop is None and result.agreement is None and result.parity is None


def test_class_without_samples_has_no_number_and_survives_json(entries: Entries) -> None:
    labels = np.array([0, 1, 1])
    result = score(entries, labels, logits(labels, np.array([0, 0, 1])))
    again = Score.model_validate_json(result.model_dump_json())
    assert again.per_class[:2] == (1.0, 0.5) and math.isnan(again.per_class[2])


def test_drop_and_agreement_are_against_the_teacher_on_the_same_samples(entries: Entries) -> None:
    labels = np.tile([0, 1, 2], 100)
    teacher, student = np.zeros(300, int), np.zeros(300, int)
    teacher[:15], student[:45] = 1, 1
    result = score(entries, labels, logits(labels, student), teacher=entries.save(logits(labels, teacher)))
    assert result.drop is not None
    assert result.drop.value == pytest.approx(0.1) and 0 < result.drop.low < 0.1 < result.drop.high < 0.2
    assert result.agreement == pytest.approx(0.9)


def test_equal_predictions_have_no_drop_at_all(entries: Entries) -> None:
    labels = np.tile([0, 1, 2], 20)
    outputs = logits(labels, np.arange(60) % 5 == 0)
    result = score(entries, labels, outputs, teacher=entries.save(outputs))
    assert result.drop is not None and (result.drop.low, result.drop.value, result.drop.high) == (0, 0, 0)


def test_parity_leaves_near_ties_out_and_says_which(entries: Entries) -> None:
    labels = np.tile([0, 1, 2], 50)
    reference = logits(labels, labels * 0)
    reference[7] = (1.0, 1.0005, 0.0)
    outputs = reference.copy()
    outputs[7, 0] += 0.001
    found = score(entries, labels, outputs, reference=entries.save(reference)).parity
    assert found is not None and found.passed and found.agreement == 1.0 and found.near_ties == 1
    assert "rows 7" in found.why and 0 < found.relative_error < 1e-3


@pytest.mark.parametrize(
    ("precision", "error", "passed"),
    [
        ("float32", 5e-4, True),
        ("float32", 5e-3, False),
        ("float16", 5e-3, True),
        ("float16", 0.05, False),
        ("int8", 0.3, True),
    ],
)
def test_gate_of_each_precision(precision: str, error: float, passed: bool) -> None:
    reference = logits(np.tile([0, 1, 2], 50), np.zeros(150, int))
    noise = np.random.default_rng(0).normal(size=reference.shape)
    outputs = reference + error * noise * np.linalg.norm(reference) / np.linalg.norm(noise)
    found = parity(outputs.astype(np.float32), reference, precision)
    assert found.passed is passed and found.relative_error == pytest.approx(error, rel=1e-3)
    assert ("relative error" in found.why) is (not passed)
    assert ("not required" in found.why) is (precision == "int8")


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_constant_and_non_finite_outputs_never_pass(precision: str) -> None:
    reference = logits(np.tile([0, 1, 2], 10), np.zeros(30, int))
    constant = parity(np.tile(reference[:1], (30, 1)), reference, precision)
    assert constant.constant and not constant.passed and "same for every input" in constant.why
    broken = reference.copy()
    broken[3, 1] = np.nan
    assert not parity(broken, reference, precision).passed
    assert "finite" in parity(broken, reference, precision).why


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_any_outputs_are_in_parity_with_themselves(seed: int, count: int) -> None:
    outputs = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    found = parity(outputs, outputs, "float32")
    assert found.passed and found.agreement == 1.0 and found.relative_error == 0.0 and not found.constant


def test_what_does_not_belong_together_is_refused(entries: Entries) -> None:
    labels = np.array([0, 1, 2])
    outputs = logits(labels, labels * 0)
    with pytest.raises(EdgekdError, match="2 predictions were given for 3 samples"):
        score(entries, labels, outputs[:2])
    with pytest.raises(EdgekdError, match="no sample of test is labelled"):
        score(entries, labels * 0 - 1, outputs)
    with pytest.raises(EdgekdError, match="teacher outputs have the shape"):
        score(entries, labels, outputs, teacher=entries.save(outputs[:, :2]))
    step = Evaluate(
        predictions=entries.predictions(outputs), splits=entries.splits(labels), reference=entries.save(outputs)
    )
    with pytest.raises(EdgekdError, match="parity is judged on the validation part"):
        evaluate.run(step, entries.workspace)


@pytest.mark.parametrize("right", [True, False])
def test_no_sample_wrong_or_right_is_not_certainty(entries: Entries, right: bool) -> None:
    labels = np.arange(100) % 3
    found = score(entries, labels, logits(labels, np.full(100, int(not right)))).accuracy
    assert found.value == float(right)
    assert 0.03 < found.high - found.low < 0.04


def test_intervals_are_over_groups_where_the_split_knows_them(entries: Entries) -> None:
    """Two people whom the network knows, two whom it does not: many samples are no certainty."""
    labels, of = np.arange(400) % 3, np.repeat(np.arange(4), 100)
    outputs = logits(labels, (of >= 2).astype(int))
    alone = score(entries, labels, outputs, teacher=entries.save(logits(labels, np.zeros(400, int))))
    splits = entries.splits(labels)
    parts = {name: part.model_copy(update={"groups": entries.save(of)}) for name, part in splits.parts.items()}
    step = Evaluate(
        predictions=entries.predictions(outputs),
        splits=splits.model_copy(update={"parts": parts}),
        teacher=entries.save(logits(labels, np.zeros(400, int))),
    )
    found = evaluate.run(step, entries.workspace)
    assert found.accuracy.value == alone.accuracy.value == 0.5
    assert alone.accuracy.high - alone.accuracy.low < 0.11
    assert (found.accuracy.low, found.accuracy.high) == (0.0, 1.0), "never beyond what a share can be"
    assert found.drop is not None and alone.drop is not None
    assert found.drop.high - found.drop.low > 5 * (alone.drop.high - alone.drop.low)


def test_all_right_in_few_groups_is_less_certain_than_in_many_samples(entries: Entries) -> None:
    labels, splits = np.arange(300) % 3, entries.splits(np.arange(300) % 3)
    of = entries.save(np.repeat(np.arange(3), 100))
    parts = {name: part.model_copy(update={"groups": of}) for name, part in splits.parts.items()}
    predictions = entries.predictions(logits(labels, np.zeros(300, int)))
    step = Evaluate(predictions=predictions, splits=splits.model_copy(update={"parts": parts}))
    assert evaluate.run(step, entries.workspace).accuracy.low == pytest.approx(0.025 ** (1 / 3))
