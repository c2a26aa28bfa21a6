"""What a bundle does on another device: the words for it, what test samples say, and the row in the run's report."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.commands import elsewhere
from edgekd.commands.elsewhere import Sample
from edgekd.report import timed, view
from edgekd.results import Elsewhere, Interval, Measurement, Replayed
from tests.synthetic import DEVICE, report

LABELS = np.array([0, 1, 2, -1], np.int64)
HERE = np.eye(4, 3, dtype=np.float32)


def test_classes_are_judged_beside_the_runs_own_runtime() -> None:
    there = HERE.copy()
    there[2] = (5, 0, 0)
    told = elsewhere._judged(there, Sample({}, LABELS, HERE), classes=True)
    assert told["accuracy"].value == pytest.approx(2 / 3) and told["before"] == 1.0
    assert (told["samples"], told["agreement"]) == (4, 0.75)


def test_without_labels_or_classes_only_the_outputs_are_compared() -> None:
    unlabelled = Sample({}, np.full(4, -1), HERE)
    assert elsewhere._judged(HERE, unlabelled, classes=True) == {"samples": 4, "agreement": 1.0}
    assert elsewhere._judged(HERE + 0.5, unlabelled, classes=False) == {"samples": 4, "test_difference": 0.5}


def test_outputs_beyond_the_tolerance_are_told_loudly() -> None:
    wrong = Replayed(difference=0.5, tolerance=0.1)
    assert not wrong.passed
    assert list(timed.replayed(wrong)) == ["golden vectors: NOT as recorded (largest difference 0.5, 0.1 is allowed)"]
    assert list(timed.replayed(None)) == []
    right = Replayed(
        difference=0.0,
        tolerance=0.1,
        samples=512,
        accuracy=Interval(value=0.85, low=0.82, high=0.88),
        before=0.86,
        agreement=0.99,
    )
    golden, accuracy, agreement = timed.replayed(right)
    assert golden.startswith("golden vectors: as recorded")
    assert accuracy == "512 test samples: 85.0 % (82.0–88.0 %) right, by the run's own runtime 86.0 %"
    assert agreement == "512 test samples: 99.0 % are told alike by both"


def test_a_folder_that_is_no_run_has_no_report_to_add_to(tmp_path: Path) -> None:
    bundle = tmp_path / "onnx"
    bundle.mkdir()
    assert elsewhere.run_of(bundle) is None
    assert elsewhere.add(bundle, Measurement(basis="not measured"), None) is None


def test_the_report_has_a_row_for_each_device() -> None:
    measured = Measurement(basis="not measured", device=DEVICE, why="gone")
    one = Elsewhere(target="onnx", measurement=measured, replayed=None, created="2026-11-23T10:00:00+00:00")
    table = view.elsewhere(report().model_copy(update={"elsewhere": (one,)}))
    (row,) = table.body
    assert row[0].main == f"onnx on {DEVICE.name}" and row[1].note == "gone" and row[-1].main == "2026-11-23"
    assert view.elsewhere(report()).body == ()
