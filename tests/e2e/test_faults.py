"""kill -9 of build and worker in every stage: nothing survives, nothing is half there, only what was lost is redone."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from edgekd.plugins import names
from tests.e2e import toy

# Stages that the toy's build never asks for, and who does.
ELSEWHERE = {
    "diff": "only where a file fails its gate or loses too much in 8 bits, or edgekd diff asks",
    "equalize": "only where a file loses too much in 8 bits",
    "explain": "only where student and teacher part on a sample, and the toy's student learns to answer alike",
    "locate": "only where a file that a plan cannot do without does not run",
    "foretell": "only where several students were priced, and the toy has one",
    "raw": "only where a target takes raw inputs, and ids are none",
    "reference": "only where a target's runtime cannot run, as Core ML on Linux; the toy is built for ONNX",
    "tryout": "edgekd init tries a teacher on the data before there is a recipe",
}
STAGES = tuple(name for name in names("stages") if name not in ELSEWHERE)
# A loss looks the same in most stages. Always tested: of workers, where a failure may be the teacher's own (export,
# convert), which a build can live with, and where there are children (measure); of builds, where the worker is a fresh
# process (label), resumes (train), was forked (convert) and has children (measure).
TELLING = {"worker": ("convert", "export", "measure"), "build": ("convert", "label", "measure", "train")}
CASES = [
    *(
        pytest.param(stage, victim, id=f"{stage}-{victim}", marks=() if stage in telling else pytest.mark.slow)
        for victim, telling in TELLING.items()
        for stage in STAGES
    ),
    pytest.param("train", "fork server", id="train-server", marks=pytest.mark.slow),
]
TRIES = 10  # some steps take a few milliseconds: the blow may come too late


def the_lost(stage: str, finished: Path) -> str:
    """The answer that a case loses: the last of a stage, which for export and convert is the teacher's.

    Of measurements the first, which priced the untrained student: the files that ship keep their numbers.
    """
    keys = toy.answers_of(stage, finished)
    return keys[0] if stage == "measure" else keys[-1]


def strike(victim: str, running: subprocess.Popen[str], work: Path) -> bool:
    """Kill the build, or the worker of the step in `work`, as soon as that one runs; False: it was over too soon."""
    while running.poll() is None:
        worker = toy.worker(work) if (work / "request.json").is_file() else None
        try:
            if worker is not None:
                who = {"build": psutil.Process(running.pid), "worker": worker, "fork server": worker.parent()}[victim]
                assert who is not None
                who.kill()
                return True
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.005)
    return False


def kill(victim: str, recipe: Path, home: Path, key: str) -> int:
    """Begin the build and kill its victim before the step `key` is answered; returns the build's exit status."""
    entry = home / "store/entries" / key[:2] / key
    anew = entry.exists()  # a step that every build asks anew
    for _ in range(TRIES):
        running = toy.start(recipe, home)
        struck = strike(victim, running, home / "store/work" / key)
        status = running.wait(60)
        if struck and (anew or not entry.exists()):
            return status
        assert struck or status == 0, (home / "said.txt").read_text()
        assert toy.soon(lambda: not list(toy.processes(home)))
        shutil.rmtree(home / "run", ignore_errors=True)
        if not anew:
            shutil.rmtree(entry, ignore_errors=True)
    pytest.fail(f"in {TRIES} builds the worker was never seen alive")


def test_every_stage_is_killed_or_never_part_of_a_build(finished: Path) -> None:
    steps = json.loads((finished / "run/edgekd.lock.json").read_text())["steps"]
    assert {step["stage"] for step in steps} == set(STAGES)
    assert set(ELSEWHERE) <= set(names("stages"))


@pytest.mark.parametrize(("stage", "victim"), CASES)
def test_a_killed_build_goes_on_where_it_was(finished: Path, tmp_path: Path, stage: str, victim: str) -> None:
    home, recipe, key = tmp_path / "home", finished / "task/toy.toml", the_lost(stage, finished)
    gone = set() if stage == "probe" else {key}  # what a device is, is asked anew by every build
    store = toy.copy(finished / "store", home, *gone)
    before = toy.manifests(store)

    status = kill(victim, recipe, home, key)
    said = (home / "said.txt").read_text()
    assert toy.soon(lambda: not list(toy.processes(home))), [p.cmdline() for p in toy.processes(home)]
    toy.check_entries(store)
    assert toy.manifests(store) == before
    assert not (home / "run").exists()
    assert "Traceback" not in said
    if victim != "build":
        assert status == 1, said
        assert f"{stage} failed: ended by signal SIGKILL" in said
        assert "the same command goes on" in said

    status, said = toy.build(recipe, home)
    assert status == 0, said
    toy.check_entries(store)
    after = toy.manifests(store)
    assert set(after) - set(before) == gone
    assert {key: after[key] for key in before} == before  # a manifest tells the seconds: redone work would differ
    told = toy.report(home)
    assert told["steps_run"] == len(gone)
    but = (*toy.CLOCK, "candidates") if stage == "measure" else toy.CLOCK
    assert toy.same(told, but) == toy.same(toy.report(finished), but)
    assert not list((store / "work").glob("?" * 64))
