"""The same build again, two at once, and Ctrl-C: what is known is used, what is shared is not hurt."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.e2e import toy


def test_the_same_build_again_runs_nothing_and_changes_nothing(finished: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    toy.copy(finished / "store", home)
    recipe = finished / "task/toy.toml"
    assert toy.build(recipe, home)[0] == 0
    run = home / "run"
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    times = {p: p.stat().st_mtime_ns for p in before}
    status, said = toy.build(recipe, home)
    assert status == 0
    assert "(0 steps run, " in said
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    assert {p: p.stat().st_mtime_ns for p in before} == times
    assert toy.report(home)["steps_run"] == 0


def test_the_same_build_again_mends_a_damaged_run_without_a_step(finished: Path, tmp_path: Path) -> None:
    home, recipe = tmp_path / "home", finished / "task/toy.toml"
    home.mkdir()
    toy.copy(finished / "store", home)
    assert toy.build(recipe, home)[0] == 0
    for harm in ("report.html", "onnx/labels.txt", "onnx/student.onnx"):
        victim = home / "run" / harm
        whole = victim.read_bytes()
        if victim.suffix == ".html":
            victim.unlink()
        else:
            victim.write_bytes(whole[:-1])
        asked = toy.ask(*toy.command(recipe, home, "--json")[3:], home=home)
        assert asked.returncode == 0 and json.loads(asked.stdout)["steps_run"] == 0, harm
        assert victim.stat().st_size == len(whole) or harm == "report.html", harm
    assert victim.is_file() and toy.ask("verify", "run/onnx", home=home).returncode == 0


def test_json_counts_the_steps_of_this_build_not_of_the_first(finished: Path, tmp_path: Path) -> None:
    home, recipe = tmp_path / "home", finished / "task/toy.toml"
    home.mkdir()
    toy.copy(finished / "store", home, toy.answers_of("train", finished)[-1])
    told = [json.loads(toy.ask(*toy.command(recipe, home, "--json")[3:], home=home).stdout) for _ in range(2)]
    assert [report["steps_run"] for report in told] == [1, 0]


def test_two_builds_at_once_share_the_work(finished: Path, tmp_path: Path) -> None:
    home, recipe = tmp_path / "home", finished / "task/toy.toml"
    home.mkdir()
    gone = {toy.answers_of(stage, finished)[-1] for stage in ("split", "label", "train", "evaluate")}
    store = toy.copy(finished / "store", home, *gone)
    runs = [tmp_path / "one", tmp_path / "two"]
    both = [toy.start(recipe, run, "--store", str(store)) for run in runs]
    assert [process.wait(300) for process in both] == [0, 0], [(run / "said.txt").read_text() for run in runs]
    told = [toy.report(run) for run in runs]
    assert sum(report["steps_run"] for report in told) == len(gone)
    assert toy.same(told[0], toy.CLOCK) == toy.same(told[1], toy.CLOCK) == toy.same(toy.report(finished), toy.CLOCK)
    toy.check_entries(store)
    assert set(toy.manifests(store)) == set(toy.manifests(finished / "store"))


@pytest.mark.parametrize(  # a fresh process, and two that a fork server handed out
    "stage", [pytest.param("label", marks=pytest.mark.slow), "train"]
)
def test_ctrl_c_is_one_sentence_and_the_build_goes_on_afterwards(finished: Path, tmp_path: Path, stage: str) -> None:
    home, recipe = tmp_path / "home", finished / "task/toy.toml"
    home.mkdir()
    gone = toy.answers_of(stage, finished)[-2:]
    store = toy.copy(finished / "store", home, *gone)
    running = toy.start(recipe, home)
    assert toy.soon(lambda: any(toy.worker(store / "work" / key) for key in gone), 60)
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert running.wait(30) == 130
    assert time.monotonic() - began < 10
    lines = (home / "said.txt").read_text().splitlines()
    assert lines[-1] == "edgekd: interrupted; the same command continues where it stopped"
    assert not any("Traceback" in line or "failed" in line for line in lines)
    assert toy.soon(lambda: not list(toy.processes(home)))  # one that was just being started needs a moment
    toy.check_entries(store)
    status, said = toy.build(recipe, home)
    assert status == 0, said
    assert toy.report(home)["steps_run"] <= len(gone)
    assert toy.same(toy.report(home), toy.CLOCK) == toy.same(toy.report(finished), toy.CLOCK)
