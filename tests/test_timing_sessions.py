"""Which sessions are taken, in which order, and what becomes of bad ones; the answers are made up."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.timing import sessions
from edgekd.timing.protocols import PROTOCOLS
from edgekd.timing.sessions import Taken, clock, coolest
from tests.sessions import session

QUICK = PROTOCOLS["quick"]
BUSY = session(after={"waited": 0.5})
HOT = session(after={"throttled": ["throttled"]})


class Board:
    """Answers each job's sessions in order, the last one for ever; records what it was asked."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self.answers, self.asked = answers, list[tuple[str, dict[str, Any]]]()

    def job(self, name: str) -> Any:
        def ask(reached: Any, verb: str, timeout: float, request: dict[str, Any]) -> dict[str, Any]:
            self.asked.append((name, request))
            if "minutes" in request:
                return {"minutes": [{"latencies": [1.0]}] * request["minutes"]}
            left = self.answers[name]
            return left.pop(0) if len(left) > 1 else left[0]

        return SimpleNamespace(ask=ask, folder=Path(name))

    def taken(self, *names: str, protocol: Any = QUICK, **more: Any) -> list[Taken]:
        return clock([self.job(name) for name in names], SimpleNamespace(), protocol, {"inputs": {}}, **more)


def test_artifacts_take_turns() -> None:
    board = Board(a=[session()], b=[session()])
    one, two = board.taken("a", "b")
    assert [name for name, _ in board.asked] == ["a", "b"] * 4
    assert len(one.kept) == len(two.kept) == 4
    assert all(request["least"] == 16 and request["inputs"] == {} for _, request in board.asked)


def test_a_disturbed_session_is_taken_again_and_does_not_count() -> None:
    board = Board(a=[BUSY, session(seed=1)])
    (taken,) = board.taken("a")
    assert len(board.asked) == 5
    assert len(taken.kept) == 4 and BUSY not in taken.kept
    assert taken.repeated == ("processes waited for a core 50 % of the time",)


def test_where_all_are_disturbed_they_count_after_a_bounded_number_of_tries() -> None:
    (taken,) = Board(a=[BUSY]).taken("a")
    assert len(taken.repeated) == QUICK.repeats == 2
    assert taken.kept == (BUSY,) * 4


def test_a_throttled_session_never_counts_and_the_board_is_not_asked_for_ever() -> None:
    board = Board(a=[HOT])
    (taken,) = board.taken("a")
    assert taken.kept == () and taken.given_up
    assert taken.refused == ("throttled",) * 3 == ("throttled",) * len(board.asked)


@given(st.lists(st.sampled_from([session(), BUSY, HOT]), min_size=1, max_size=12), st.integers(0, 5))
def test_whatever_happens_it_ends_and_no_refused_session_counts(told: list[dict[str, Any]], repeats: int) -> None:
    protocol = replace(QUICK, repeats=repeats)
    board = Board(a=told)
    (taken,) = board.taken("a", protocol=protocol)
    assert len(board.asked) <= protocol.sessions + repeats + 1
    assert HOT not in taken.kept
    assert len(taken.repeated) + len(taken.refused) <= repeats + 1
    assert taken.given_up or len(taken.kept) == protocol.sessions


def test_later_sessions_wait_for_the_coolest_rest_so_far() -> None:
    warm, cool = ({"temperature": degrees, "ceiling": 1.8e9} for degrees in (48.0, 44.0))
    board = Board(a=[session(rest=warm), session(rest=cool), session(rest=warm)])
    board.taken("a")
    assert [request.get("rest", {}).get("temperature") for _, request in board.asked] == [None, 48.0, 44.0, 44.0]
    assert coolest({}, {"temperature": None, "ceiling": None}) == {"temperature": None, "ceiling": None}


def test_a_soak_follows_and_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SAY", 0.01)
    board, said = Board(a=[session()]), list[tuple[float, str]]()
    slow = board.job("a")

    def ask(*arguments: Any) -> dict[str, Any]:
        if "minutes" in arguments[-1]:
            time.sleep(0.2)
        return slow.ask(*arguments)

    job = SimpleNamespace(ask=ask)
    protocol = replace(QUICK, minutes=2)
    (taken,) = clock([job], SimpleNamespace(), protocol, {}, lambda *told: said.append(told))  # type: ignore[list-item, arg-type]
    assert len(taken.minutes) == 2
    assert next(text for _, text in said if text.startswith("soak")) == "soak, minute 1 of 2"
    assert [done for done, _ in said] == sorted(done for done, _ in said)
    assert max(done for done, _ in said) <= 1
