"""How many sessions an artifact gets, and what is said of them."""

import pytest

from edgekd import timing

NOWHERE = {"pressure": None, "steal": None}


@pytest.mark.parametrize(("runs", "sessions"), [(1024, 5), (205, 5), (100, 11), (8, 16), (1, 16)])
def test_few_runs_a_session_ask_for_more_sessions(runs: int, sessions: int) -> None:
    assert timing.PROTOCOLS["full"].wanted(runs) == sessions
    assert timing.PROTOCOLS["quick"].wanted(runs) == 2


def test_too_few_inferences_are_said() -> None:
    told = [
        {"runs": 8, "batch": 1, "settled": True, "seconds": 8.0, "before": NOWHERE, "after": NOWHERE} for _ in range(16)
    ]
    assert list(timing._remarks(timing.PROTOCOLS["full"], told)) == ["128 inferences only, because each takes long"]


def test_a_runtime_that_computes_otherwise_than_asked_is_said() -> None:
    told = [{"runs": 400, "batch": 1, "settled": True, "seconds": 8.0, "before": NOWHERE, "after": NOWHERE}] * 5
    assert list(timing._remarks(timing.PROTOCOLS["full"], told)) == []
    told = [session | {"notes": {"precision": "f32", "fallback": "it computes in f32"}} for session in told]
    assert list(timing._remarks(timing.PROTOCOLS["full"], told)) == ["it computes in f32"]
