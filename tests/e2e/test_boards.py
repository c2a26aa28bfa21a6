"""A whole build on a board that is reached by ssh, unplugged when one needs it least; several boards at once."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import sshd
from tests.e2e import toy

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(sshd.absent()), reason=sshd.absent() or "-")]
CARD = f"""description = "this computer, by way of ssh"
[device]
reach = "ssh"
python = "{sys.executable}"
"""
AT = ("--at", "far=board", "--target", "onnx@far")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[sshd.Server]:
    server = sshd.Server(tmp_path / "sshd")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A home with a card for the board, and all answers of the toy's build that are of no device."""
    home = tmp_path / "home"
    (home / "config/edgekd/targets").mkdir(parents=True)
    (home / "config/edgekd/targets/far.toml").write_text(CARD)
    toy.copy(finished / "store", home)
    return home


def build(finished: Path, home: Path, server: sshd.Server, *more: str) -> tuple[int, str]:
    arguments = ("build", str(finished / "task/toy.toml"), "--precision", "float32", "--max-params", "2k", *AT)
    env = toy.environment(home) | {"EDGEKD_SSH_CONFIG": str(server.config)}
    done = toy.ask(*arguments, "--out", str(home / "run"), *more, home=home, env=env)
    return done.returncode, done.stdout + done.stderr


def test_what_a_board_said_outlives_its_plug(finished: Path, home: Path, board: sshd.Server) -> None:
    """Never reached: status 4. Reached once: the same answers without it, dated. Another question: status 4 again, and
    with the board there the same command goes on."""
    board.stop()
    status, said = build(finished, home, board)
    assert (status, "far cannot be reached at board: nothing answers at its port" in said) == (4, True), said
    board.start()
    status, said = build(finished, home, board)
    assert status == 0, said
    report = toy.report(home)
    device = report["rows"][0]["measurement"]["device"]
    assert device["name"].startswith("far (")
    assert not any("board" in step["key"] or "127.0.0.1" in json.dumps(step["asked"]) for step in _steps(home))
    board.stop()
    status, said = build(finished, home, board)
    assert status == 0, said
    assert "was not reached; what is told of it was known on 20" in said
    assert "(0 steps run, " in said
    asked = ("--threads", "2")
    status, said = build(finished, home, board, *asked)
    assert status == 4, said
    assert "nothing answers at its port" in said
    board.start()
    status, said = build(finished, home, board, *asked)
    assert status == 0, said
    assert "was not reached" not in said


def _steps(home: Path) -> list[dict]:
    return json.loads((home / "run/edgekd.lock.json").read_text())["steps"]


def test_several_boards_give_one_table(home: Path, board: sshd.Server, tiny: Path) -> None:
    env = toy.environment(home) | {"EDGEKD_SSH_CONFIG": str(board.config)}
    more = ("--at", "far=board", "--at", "gone=nohost.invalid")
    done = toy.ask("bench", str(tiny / "image-fixed.onnx"), *more, home=home, env=env)
    assert done.returncode == 4
    header, far, gone, *notes = done.stdout.splitlines()
    assert header.split() == ["artifact", "on", "p50", "p90", "p99", "memory"]
    assert "far (" in far and ("µs" in far or "ms" in far)
    assert "gone" in gone and "not measured" in gone
    assert any("there is no such host" in note for note in notes)


def test_doctor_looks_at_a_board(home: Path, board: sshd.Server) -> None:
    env = toy.environment(home) | {"EDGEKD_SSH_CONFIG": str(board.config)}
    done = toy.ask("doctor", "--at", "far=board", "--json", home=home, env=env)
    found = {one["what"]: one["state"] for one in json.loads(done.stdout)["findings"]}
    assert (found["far"], found["Python"], found["numpy"], found["onnx: run"]) == ("works",) * 4
    assert found["coreml: run"] == "not possible on this platform"
    done = toy.ask("doctor", "--provision", home=home, env=env)
    assert done.returncode == 2 and "--provision: needs a board" in done.stderr
