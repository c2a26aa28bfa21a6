"""What spoils a session, by readings as the device gives them."""

import pytest

from edgekd.timing.disturbances import advice, disturbance, refusal, shares
from tests.sessions import NOWHERE, session


def test_a_quiet_session_and_one_of_a_device_that_tells_nothing_are_fine() -> None:
    silent = session(rest=NOWHERE, before=NOWHERE, after=NOWHERE | dict.fromkeys(("steal", "waited", "busy")))
    for told in (session(), silent):
        assert refusal(told) == disturbance(told) == ""


@pytest.mark.parametrize(
    ("when", "reading", "reason"),
    [
        ("after", {"throttled": ["throttled"]}, "throttled"),
        ("before", {"throttled": ["under-voltage", "clock capped"]}, "under-voltage, clock capped"),
        ("rest", {"throttled": ["soft temperature limit"]}, "soft temperature limit"),
        ("after", {"occurred": ["under-voltage"]}, "under-voltage"),
        ("after", {"throttlings": 3}, "throttled"),
        ("before", {"ceiling": 1.2e9}, "clock capped"),
    ],
)
def test_a_throttled_session_is_refused(when: str, reading: dict[str, object], reason: str) -> None:
    told = session(**{when: reading})
    assert refusal(told) == reason
    assert advice([reason])


def test_a_page_in_the_background_is_a_disturbance() -> None:
    assert disturbance(session(notes={"hidden": True})) == "the page was not in front"


def test_what_happened_before_the_session_is_no_reason() -> None:
    old = {"occurred": ["under-voltage", "throttled"], "throttlings": 12}
    assert refusal(session(rest=old, before=old, after=old)) == ""


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({"waited": 0.25}, "processes waited for a core 25 % of the time"),
        ({"waited": 0.09}, ""),
        ({"steal": 0.05}, "the hypervisor took 5 % of the time"),
        ({"busy": 11.5}, "other programs kept 0.5 cores busy"),
        ({"busy": 11.2}, ""),
        ({"frequency": 1.2e9}, "the clock fell from 1.80 to 1.20 GHz"),
        ({"frequency": 1.7e9}, ""),
    ],
)
def test_other_work_and_a_falling_clock_are_disturbances(after: dict[str, float], reason: str) -> None:
    assert disturbance(session(after=after)) == reason


def test_one_tick_of_a_coarse_clock_is_no_disturbance() -> None:
    assert disturbance(session(seconds=0.15, after={"steal": 0.01})) == ""


def test_shares_are_of_the_time_of_all_sessions() -> None:
    found = shares([session(after={"waited": 0.5}), session(seconds=3.0, after={"steal": 0.4, "busy": 13.8})])
    assert found == pytest.approx({"waited": 0.125, "steal": 0.1, "others": 0.2})
