"""How many sessions an artifact gets."""

import pytest

from edgekd.timing.protocols import PROTOCOLS

REPORTABLE = PROTOCOLS["reportable"]


def session(runs: int, seconds: float, stride: int = 1) -> dict[str, float]:
    return {"runs": runs, "stride": stride, "seconds": seconds}


@pytest.mark.parametrize(
    ("runs", "seconds", "sessions"), [(1024, 6.3, 10), (103, 6.0, 10), (103, 5.0, 12), (70, 70.0, 15), (8, 70.0, 16)]
)
def test_sessions_follow_until_there_are_enough_runs_and_seconds(runs: int, seconds: float, sessions: int) -> None:
    told = [session(runs, seconds)] * 20
    assert min(n for n in range(1, 20) if REPORTABLE.enough(told[:n])) == sessions


def test_runs_that_were_not_kept_count_too() -> None:
    assert REPORTABLE.enough([session(11, 6.0, stride=10)] * 10)


def test_a_reportable_number_is_of_a_minute_and_1024_inferences_in_five_sessions_at_least() -> None:
    for name in ("reportable", "soak"):
        protocol = PROTOCOLS[name]
        assert protocol.sessions >= 5 and protocol.inferences >= 1024 and protocol.total >= 60
        assert protocol.seconds * protocol.sessions > protocol.total
    assert PROTOCOLS["soak"].minutes == 10 and not REPORTABLE.minutes
    assert PROTOCOLS["quick"].sessions >= 4, "two halves of two are the least that an A/A comparison takes"


def test_a_request_says_what_a_session_needs() -> None:
    request = REPORTABLE.request()
    assert request["least"] == 103
    assert REPORTABLE.timeout() > request["longest"] + request["cooling"] + request["longest_warmup"]
