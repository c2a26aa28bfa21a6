"""What a bundle promises: each limit held against what was measured, and three verdicts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.certificate import certify, measured, overall, told
from edgekd.results import Measurement
from edgekd.spec import Budget
from edgekd.timing.measurement import measurement
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import Taken
from tests import synthetic
from tests.sessions import session

MEMORY = {"memory": 2_000_000}


def timed(latency: float = 1e-3, wobble: float = 0.0, **more: object) -> Measurement:
    """Ten made-up sessions of a device, whose medians go up and down by `wobble`."""
    kept = tuple(session(latency=latency * (1 + wobble * (-1) ** i), seed=i, **more) for i in range(10))
    return measurement(synthetic.DEVICE, 1, PROTOCOLS["reportable"], Taken(kept=kept), MEMORY)


@pytest.mark.parametrize(("limit", "verdict"), [(1.1e-3, "holds"), (0.9e-3, "broken")])
def test_a_budget_away_from_the_latency_is_judged(limit: float, verdict: str) -> None:
    (term,) = measured(Budget(max_latency=limit), 100, timed())
    assert term.verdict == verdict == overall((term,))
    assert term.held is not None and (term.held <= limit) == (verdict == "holds")
    assert "ms" in told(term) and "upper 95 % bound of the p90" in told(term)


def test_a_budget_inside_the_interval_is_inconclusive() -> None:
    found = timed(wobble=0.04)
    assert found.latency is not None
    (term,) = measured(Budget(max_latency=found.latency.p90), 100, found)
    assert term.verdict == "inconclusive" and term.found is not None
    assert term.found.low < found.latency.p90 < (term.held or 0)


@given(st.floats(0.2, 5))
def test_a_larger_budget_is_never_judged_worse(share: float) -> None:
    order = ("broken", "inconclusive", "holds")
    found = timed(wobble=0.03)
    verdicts = [measured(Budget(max_latency=limit), 1, found)[0].verdict for limit in (share * 1e-3, share * 1.1e-3)]
    assert order.index(verdicts[0]) <= order.index(verdicts[1])


def test_an_unstable_latency_near_its_budget_proves_nothing_and_far_from_it_does() -> None:
    found = timed(wobble=0.3)
    assert found.latency is not None and not found.latency.stable
    near, far = (measured(Budget(max_latency=limit), 1, found)[0] for limit in (1.4e-3, 10e-3))
    assert near.verdict == "inconclusive" and near.why.startswith("unstable: ")
    assert far.verdict == "holds" and not far.why


@pytest.mark.parametrize("basis", ["emulated", "reference", "stand-in", "not measured"])
def test_only_what_was_measured_keeps_a_latency(basis: str) -> None:
    found = timed().model_copy(update={"basis": basis, "why": ""})
    (term,) = measured(Budget(max_latency=1.0), 1, found)
    assert term.verdict == "inconclusive" and term.held is None and "not known against 1 s" in told(term)


def test_sizes_are_exact_and_memory_may_be_unknown() -> None:
    budget = Budget(max_memory=1_000_000, max_size=1000)
    memory, size = measured(budget, 1000, timed())
    assert (memory.verdict, size.verdict) == ("broken", "holds")
    unknown, over = measured(budget, 1001, timed().model_copy(update={"memory": None, "why": "no /proc"}))
    assert (unknown.verdict, unknown.why, over.verdict) == ("inconclusive", "no /proc", "broken")
    assert (
        overall((unknown, over)) == "broken" and overall((unknown, size)) == "inconclusive" and overall(()) == "holds"
    )


def test_the_certificate_of_a_row_has_its_budget_device_and_files() -> None:
    rows = [row.model_copy(update={"measurement": timed(46e-6)}) if row.ships else row for row in synthetic.rows()]
    report = synthetic.report(rows=tuple(rows))
    budget = Budget(max_latency=1e-3, max_params=30_000, max_macs=1_000_000, min_accuracy=0.5, max_drop=0.5)
    targets = tuple(one.model_copy(update={"budget": budget}) for one in report.plan.targets)
    report = report.model_copy(update={"plan": report.plan.model_copy(update={"targets": targets})})
    (row,) = (row for row in report.rows if row.ships)
    made = certify(report, row, {"b": "2", "a": "1"})
    assert [(term.limit, term.verdict) for term in made.terms] == [
        ("max_latency", "holds"), ("max_params", "holds"), ("max_macs", "broken"), ("min_accuracy", "holds"),
        ("max_drop", "holds"),
    ]  # fmt: skip
    assert made.verdict == "holds", "the report's own verdict stands"
    assert made.protocol == "reportable" and made.noise is not None and made.runtime == "onnx 1.2"
    assert list(made.sha256) == ["a", "b"] and made.device == synthetic.DEVICE
    assert type(made).model_validate_json(made.model_dump_json()) == made


def test_a_bundle_holds_its_certificate(tmp_path: Path) -> None:
    from_json = json.loads(certify(synthetic.report(), synthetic.report().rows[-1], {}).model_dump_json())
    assert {"terms", "budget", "device", "runtime", "created", "sha256"} <= set(from_json)
