"""Coverage and variety, against brute force and against what must be."""

import numpy as np
import pytest

from edgekd.contrast import neighbours
from edgekd.contrast.neighbours import coverage, effective, expected_coverage, vendi

RANDOM = np.random.default_rng(0)


def test_coverage_is_what_counting_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    transfer, test = RANDOM.normal(size=(40, 3)), RANDOM.normal(0.5, 1.0, (30, 3))
    covered, inside = 0, 0
    for one in test:
        reach = sorted(np.linalg.norm(test - one, axis=1))[5]  # the first is the sample itself
        near = int((np.linalg.norm(transfer - one, axis=1) <= reach).sum())
        covered, inside = covered + (near > 0), inside + near
    assert coverage(transfer, test) == pytest.approx((covered / 30, inside / (5 * 40)))
    with pytest.raises(ValueError, match="need more than 5"):
        coverage(transfer, test[:5])


def test_one_source_covers_as_expected_and_another_does_not() -> None:
    found = [coverage(RANDOM.normal(size=(200, 2)), RANDOM.normal(size=(150, 2))) for _ in range(30)]
    assert np.mean([one for one, _ in found]) == pytest.approx(expected_coverage(200, 150), abs=0.01)
    assert np.mean([density for _, density in found]) == pytest.approx(1.0, abs=0.05)
    assert coverage(RANDOM.normal(9, 1, (200, 2)), RANDOM.normal(size=(150, 2)))[0] == 0.0


def test_variety_counts_rows_that_have_nothing_in_common() -> None:
    assert vendi(np.eye(6)) == pytest.approx(6.0)
    assert vendi(np.ones((9, 4))) == pytest.approx(1.0)
    assert vendi(np.repeat(np.eye(3), 5, axis=0)) == pytest.approx(3.0)
    rows = RANDOM.normal(size=(20, 4))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert vendi(rows) == pytest.approx(effective(np.linalg.eigvalsh(unit @ unit.T / 20)))
    assert effective(np.array([0.5, 0.5, 0.0])) == pytest.approx(2.0)
