"""Progress: a line now and then in a log, bars in a terminal, and every stage with its time left."""

import io

from rich.console import Console

from edgekd.cli.progress import Bars, Lines, display, sentence
from edgekd.store import Event


def test_an_event_is_a_sentence():
    event = Event(kind="progress", stage="train", what="epoch 9 of 24", done=0.4, seconds=3, seconds_left=8)
    assert sentence(event) == "train 40 % (8 s left): epoch 9 of 24"
    assert sentence(Event(kind="done", stage="split", seconds=2)) == "split done in 2 s"
    assert sentence(Event(kind="note", stage="", what="a [bracket]")) == "a [bracket]"


def test_lines_come_at_most_every_few_seconds_but_notes_always():
    stream = io.StringIO()
    with Lines(Console(file=stream), pause=100.0) as lines:
        for i in range(50):
            lines(Event(kind="progress", stage="train", key="k", done=i / 50))
        lines(Event(kind="note", stage="", what="a note with a [bracket]"))
        lines(Event(kind="cached", stage="split"))
    assert stream.getvalue().splitlines() == ["train 0 %", "a note with a [bracket]"]


def test_bars_show_stage_and_time_left_and_forget_what_is_done():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with Bars(console) as bars:
        bars(Event(kind="start", stage="train", key="k"))
        bars(Event(kind="progress", stage="train", key="k", done=0.5, what="epoch [1]", seconds_left=8.0))
        bars._bars.refresh()
        assert "8 s left epoch [1]" in stream.getvalue()
        bars(Event(kind="progress", stage="train", key="unknown", done=0.5))
        bars(Event(kind="done", stage="train", key="k", seconds=1.0))
        assert not bars._bars.tasks
    assert "train done in 1 s" in stream.getvalue()


def test_no_terminal_means_lines():
    assert isinstance(display(), Lines)
