"""kill -9 of the build and of the worker in every stage: nothing survives, nothing is half there, only that is redone."""

import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgekd.plugins import names
from tests.e2e import toy

# Stages that a build never asks for, and who does.
ELSEWHERE = {"tryout": "edgekd init tries a teacher on the data before there is a recipe"}
STAGES = tuple(name for name in names("stages") if name not in ELSEWHERE)
# What must be the same after a fault is everything but the clock's word: when, how long, how many steps.
CLOCK = ("created", "seconds", "seconds_per_view", "steps_run", "steps_cached")


def same(value: Any, but: tuple[str, ...]) -> Any:
    """A report without what the clock says; notes tell of seconds too."""
    if isinstance(value, dict):
        return {key: same(inner, but) for key, inner in value.items() if key not in but}
    if isinstance(value, list):
        return [same(inner, but) for inner in value]
    return re.sub(r"in [\d.]+ (µs|ms|s)$", "", value) if isinstance(value, str) else value


def answers_of(stage: str, home: Path) -> list[str]:
    """Keys of a stage's answers in a finished build, in the order asked."""
    steps = json.loads((home / "run/edgekd.lock.json").read_text())["steps"]
    return [step["key"] for step in steps if step["stage"] == stage]


def lost(stage: str, home: Path) -> set[str]:
    """The answer that a case loses: the last of a stage, which for export and convert is not the teacher's.

    Of measurements the first, which priced the untrained student: it decides nothing here. Probe's is never kept.
    """
    keys = answers_of(stage, home)
    return set() if stage == "probe" else {keys[0] if stage == "measure" else keys[-1]}


def kill(victim: str, recipe: Path, home: Path, key: str) -> int:
    """Begin the build, and kill it or the worker of the step `key` as soon as that one runs; the build's status."""
    work = home / "store/work" / key
    running = toy.start(recipe, home)
    while running.poll() is None:
        process = toy.worker(work) if (work / "request.json").is_file() else None
        if process is None:
            continue
        if victim == "build":
            running.kill()
        else:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                break
        return running.wait(60)
    running.kill()
    pytest.fail(f"the worker was never seen: {(home / 'said.txt').read_text()}")


def test_every_stage_is_killed_or_never_part_of_a_build(finished: Path) -> None:
    steps = json.loads((finished / "run/edgekd.lock.json").read_text())["steps"]
    assert {step["stage"] for step in steps} == set(STAGES)
    assert set(ELSEWHERE) <= set(names("stages"))


@pytest.mark.parametrize("victim", ["build", "worker"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_build_goes_on_where_it_was(finished: Path, tmp_path: Path, stage: str, victim: str) -> None:
    home, recipe = tmp_path / "home", finished / "task/toy.toml"
    home.mkdir()
    gone = lost(stage, finished)
    store = toy.copy(finished / "store", home, *gone)
    before = toy.manifests(store)

    status = kill(victim, recipe, home, answers_of(stage, finished)[-1] if not gone else gone.copy().pop())
    said = (home / "said.txt").read_text()
    assert "Traceback" not in said
    assert toy.soon(lambda: not list(toy.processes(home))), [p.cmdline() for p in toy.processes(home)]
    toy.check_entries(store)
    assert toy.manifests(store) == before
    assert not (home / "run").exists()
    if victim == "worker":
        assert status == 1, said
        assert f"{stage} failed: ended by signal SIGKILL" in said
        assert "run it again by hand: " in said

    status, said = toy.build(recipe, home)
    assert status == 0, said
    toy.check_entries(store)
    after = toy.manifests(store)
    assert set(after) - set(before) == gone
    assert {key: after[key] for key in before} == before  # a manifest tells the seconds: redone work would differ
    told = toy.report(home)
    assert told["steps_run"] == len(gone)
    but = (*CLOCK, "candidates") if stage == "measure" else CLOCK
    assert same(told, but) == same(toy.report(finished), but)
    assert not list((store / "work").glob("?" * 64))
