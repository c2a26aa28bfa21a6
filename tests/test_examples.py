"""The example for a Raspberry Pi, run as a user would, on an application that the bundle's templates wrote."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests import small
from tests import test_apps_python as made

PI = Path(__file__).parents[1] / "examples/raspberry-pi"
LINES = {"time", "from", "label", "confidence"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    net = made.linear(folder / "gray.onnx", small.IMAGES)
    return made.written(folder, net, small.IMAGES, ("onnx", "float32"), small.image_samples())


def watch(app: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PI / "watch.py"), "--app", str(app), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_changes_are_logged_once(app: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    golden = json.loads((app / "model/golden/golden.json").read_text())
    pictures = [one["file"] for one in golden["pictures"]]
    for i, name in enumerate((pictures[0], pictures[0], *pictures)):
        shutil.copy(app / "model/golden" / name, inbox / f"{i}-{name}")
    (inbox / "notes.txt").write_text("no picture")
    done = watch(app, tmp_path, "--folder", "inbox", "--once", "--log", "seen.jsonl")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and all(set(line) == LINES for line in lines) and lines[0]["from"].startswith("0-")
    labels = [line["label"] for line in lines]
    assert all(one != other for one, other in pairwise(labels)), "a line is a change"
    assert (tmp_path / "seen.jsonl").read_text() == done.stdout
    wanted = golden["pictures"][0]["answer"]["labels"][0]
    assert labels[0] in (wanted, None)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(("--folder", "none"), "No such file or directory"), (("--camera", "7"), "camera")],
)
def test_what_is_not_there_is_told_in_a_line(app: Path, tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    done = watch(app, tmp_path, *arguments)
    assert done.returncode == 1 and why in done.stderr and "Traceback" not in done.stderr
    done = watch(tmp_path, tmp_path, "--folder", ".")
    assert done.returncode == 1 and "holds no edge_model" in done.stderr
