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
