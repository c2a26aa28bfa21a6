"""Turns at this computer: work shares it, whoever times it has it alone, and a wait is told."""

import threading
from pathlib import Path

import pytest

from edgekd import turns
from edgekd.turns import Turns


def nobody(text: str) -> None:
    raise AssertionError(text)


def asks(folder: Path, alone: bool, done: threading.Event, said: list[str]) -> threading.Thread:
    def take() -> None:
        with Turns(folder).take(alone, said.append):
            done.set()

    thread = threading.Thread(target=take)
    thread.start()
    return thread


def test_work_is_done_side_by_side(tmp_path: Path) -> None:
    done = threading.Event()
    with Turns(tmp_path).take(False, nobody):
        asks(tmp_path, False, done, []).join(10)
        assert done.is_set()


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_who_times_is_alone_and_who_waits_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, second: bool
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.0)
    done, said = threading.Event(), []
    with Turns(tmp_path).take(first, nobody):
        waits = asks(tmp_path, second, done, said)
        assert not done.wait(0.3)
    waits.join(10)
    assert done.is_set() and set(said) == {"waits for other edgekd work on this computer to end"}


def test_a_wait_can_be_stopped(tmp_path: Path) -> None:
    asked = iter([False, False, True])
    with Turns(tmp_path).take(True, nobody), Turns(tmp_path).take(False, nobody, asked.__next__):
        assert list(asked) == [], "it asked once at the gate and twice at the lock, and went on"
