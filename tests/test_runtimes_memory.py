import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.runtimes import memory
from edgekd.runtimes.fault import Fault

SPEC = {"name": "x", "shape": [-1, 1], "dtype": "float32"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Model:
    """Holds some megabytes, and needs more for a moment in each run."""

    batch, notes = 1, {}

    def __init__(self, held: int, needed: int) -> None:
        self._held, self._needed = np.ones(held << 17), needed
        self.runs = 0

    def feed(self, arrays: Any) -> None:
        assert arrays[0].shape == (1, 1)

    def invoke(self) -> None:
        self.runs += 1
        np.ones(self._needed << 17)

    def outputs(self) -> list[Any]:
        return []


class Runtime:
    def __init__(self, held: int, needed: int) -> None:
        self._sizes, self.model = (held, needed), None

    def version(self) -> str:
        return "1"

    def load(self, path: Path, threads: int, signature: dict[str, Any], batch: int) -> Model:
        return Model(*self._sizes)


def peak(monkeypatch: pytest.MonkeyPatch, folder: Path, held: int, needed: int) -> dict[str, Any]:
    monkeypatch.setattr(memory, "runtime", lambda name: Runtime(held, needed))
    np.save(folder / "x.npy", np.zeros((2, 1), np.float32))
    request = {"runtime": "fake", "model": "m", "threads": 1, "inputs": {"x": "x.npy"}}
    return memory.run(request | {"signature": {"inputs": [SPEC], "outputs": [SPEC]}}, folder)


@linux
def test_the_peak_counts_what_is_needed_for_a_moment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.ones(60 << 17)  # an earlier, larger peak of the process must not count
    found = peak(monkeypatch, tmp_path, 8, 24)
    assert found["reset"]
    assert found["why"] == ""
    assert found["load"] == pytest.approx(8 << 20, abs=2 << 20)
    assert found["memory"] == pytest.approx(32 << 20, abs=3 << 20)
    assert found["runs"] == memory.RUNS


@linux
def test_the_runtimes_own_arena_is_told_or_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = peak(monkeypatch, tmp_path, 1, 1)
    assert (found["arena"], found["arena_why"]) == (None, "this runtime does not tell")
    monkeypatch.setattr(Runtime, "NO_ARENA", "it keeps that to itself", raising=False)
    assert peak(monkeypatch, tmp_path, 1, 1)["arena_why"] == "it keeps that to itself"
    monkeypatch.setattr(Runtime, "arena", lambda _, model: model.batch + 4095, raising=False)
    found = peak(monkeypatch, tmp_path, 1, 1)
    assert (found["arena"], found["arena_why"]) == (4096, "")


@linux
def test_a_peak_that_cannot_be_reset_is_said_to_be_too_high(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.ones(60 << 17)
    monkeypatch.setattr(memory, "_reset_peak", lambda: False)
    found = peak(monkeypatch, tmp_path, 1, 1)
    assert not found["reset"]
    assert "may be too high" in found["why"]
    assert found["memory"] > 20 << 20


@linux
def test_the_code_of_libraries_counts_for_the_runtime_not_for_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pages() -> int:
        """Resident kilobytes of the C library's code, which this process has hardly touched all of."""
        parts = Path("/proc/self/smaps").read_text().split("libc.so.6")[1:]
        return sum(int(part.split("Rss:")[1].split()[0]) for part in parts)

    found = peak(monkeypatch, tmp_path, 1, 1)
    assert found["code"]
    resident = pages()
    assert memory._read_code() and pages() == resident, "all of it is there already"
    monkeypatch.setattr(memory, "MAPS", tmp_path / "maps")
    (tmp_path / "maps").write_text(
        "1000-2000 r-xp 00000000 00:00 1   /lib/nothing.so\n1000-2000 rw-p 00000000 00:00 0\n"
    )
    assert not memory._read_code(), "pages that are not there cannot be read"


def test_without_proc_the_memory_is_unknown_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    found = peak(monkeypatch, tmp_path, 1, 1)
    assert found["memory"] is None
    assert "does not have" in found["why"]
    with pytest.raises(Fault, match="has no VmRSS"):
        memory._known("VmRSS")


@linux
def test_a_field_that_is_not_there_is_none() -> None:
    assert memory.resident("VmNothing") is None
    assert (memory.resident("VmRSS") or 0) > 1 << 20
