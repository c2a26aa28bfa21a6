"""edgekd diff after a real build: the same, changed, unknown and lost files through the real command."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import altered
from tests.e2e import toy


@pytest.fixture(scope="module")
def home(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished build's store and run."""
    folder = tmp_path_factory.mktemp("diff")
    toy.copy(finished / "store", folder)
    shutil.copytree(finished / "run", folder / "run")
    return folder


def test_what_a_build_ships_diverges_nowhere(home: Path) -> None:
    done = toy.ask("diff", "run/onnx", "--against", "run", home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("onnx-float32: No layer diverges: all 8 that can be seen are above 60 dB")
    assert "measured on 8 golden samples" in done.stdout and "diff started" in done.stderr
    page = (home / "run/diff-onnx-float32.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 9 and "hidden" in page and "head" in page
    again = toy.ask("diff", "run/onnx", "--against", "run", home=home)
    assert again.stdout == done.stdout and "diff started" not in again.stderr, "known by now"


def test_a_changed_weight_is_found_in_the_names_of_the_users_network(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    model = run / "onnx/student.onnx"
    changed = altered.weight("onnx", model, tmp_path, 0, large=40)
    shutil.copy(changed, model)
    (tmp_path / "pages").mkdir()
    done = toy.ask("diff", str(model), "--against", str(run), "--out", str(tmp_path / "pages"), home=home)
    assert done.returncode == 3, done.stderr
    assert "onnx-float32: First divergent layer: words has " in done.stdout
    assert "likely cause: the file is not the one that was converted" in done.stdout and "try next: " in done.stdout
    assert f"note: {model} is not the file that was converted" in done.stderr
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["diff-onnx-float32.html"]
    asked = toy.ask("diff", str(run / "onnx"), "--against", str(run), "--json", home=home)
    told = json.loads(asked.stdout)
    first = next(layer for layer in told["layers"] if layer["node"] == told["first"])
    assert (asked.returncode, first["name"], first["kind"], told["altered"]) == (3, "words", "Embedding", True)
    assert told["layers"][1]["snr"] != "Infinity"


def test_a_teachers_file_is_compared_by_its_name(home: Path) -> None:
    done = toy.ask("diff", "onnx-float32-teacher", "--against", "run", "--json", home=home)
    assert done.returncode == 0, done.stderr
    assert {"words", "hidden", "head"} <= {layer["name"] for layer in json.loads(done.stdout)["layers"]}


def test_mistakes_are_told_in_a_sentence(home: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange.onnx"
    strange.write_bytes(b"not of this run")
    for arguments, said in (
        (("run/onnx", "--against", "nowhere"), "nowhere: cannot be read"),
        ((str(strange), "--against", "run"), "is no file of the run run"),
        (("onnx-flaot32", "--against", "run"), "Did you mean 'onnx-float32'?"),
        (("run/onnx", "--against", "run", "--store", str(tmp_path / "empty")), "make it again with: edgekd build"),
        (("run/onnx", "--against", "run", "--out", str(strange / "x")), "is a file, not a folder"),
    ):
        done = toy.ask("diff", *arguments, home=home)
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert done.stdout == ""


def test_a_file_that_does_not_open_is_told_as_such(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    model = run / "onnx/student.onnx"
    model.write_bytes(model.read_bytes()[:200])
    done = toy.ask("diff", str(run / "onnx"), "--against", str(run), home=home)
    assert done.returncode == 1 and "cannot be opened" in done.stderr


def test_help_comes_at_once_and_names_the_exit_statuses() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "edgekd", "diff", "--help"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 20
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "onnx", "onnxruntime", "matplotlib", "ai_edge_litert", "openvino"}
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "0 no layer diverges, 3 one does, 4 nothing here can run the file" in text
