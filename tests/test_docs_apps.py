"""The pages of applications do what they say: their commands and code run in a folder that was written for it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.bundle import apps
from edgekd.commands.selftest import SelfTest
from tests.test_bundle import written
from tests.test_docs import ROOT, blocks


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pi")
    return apps.write(written(folder / "bundle", images=True), "python", folder / "tflite-for-python").folder


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_pi_page_run(app: Path) -> None:
    """All but those that make an environment, which is the tests' own here."""
    lines = [
        line for kind, _, _, text in blocks(ROOT / "docs/on-your-pi.md") if kind == "sh" for line in text.splitlines()
    ]
    commands = [shlex.split(line) for line in lines if line.startswith(".venv/bin/python main.py")]
    assert len(commands) == 2
    test, classify = (run([sys.executable, *command[1:]], app) for command in commands)
    assert re.search(r"^ok +pictures$", test, re.MULTILINE)
    said = SelfTest.model_validate_json((app / "selftest.json").read_bytes())
    assert said.passed and said.latency is not None
    classes = json.loads((app / "model/model.json").read_text())["signature"]["classes"]
    assert any(name in classify for name in classes)


def test_the_code_of_the_pi_page_runs(app: Path) -> None:
    (code,) = [text for kind, _, _, text in blocks(ROOT / "docs/on-your-pi.md") if kind == "python"]
    assert re.search(r"0\.\d+|I do not know", run([sys.executable, "-c", code], app))


PAGES = ("apps", "web-page", "on-your-pi", "android-app", "cpp", "microcontroller", "phone", "android")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_by_task_fits_on_a_screen_or_two(page: str) -> None:
    assert len((ROOT / f"docs/{page}.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_the_code_of_the_web_page_is_that_of_the_folder() -> None:
    (code,) = [text for kind, _, _, text in blocks(ROOT / "docs/web-page.md") if kind == "js"]
    types = (ROOT / "edgekd/apps/templates/web/index.d.ts.jinja").read_text(encoding="utf-8")
    for name in ("load", "classify", "label", "confidence", "accepted"):
        assert name in code and re.search(rf"\b{name}\b", types)


def test_the_code_of_the_microcontroller_page_is_that_of_the_folder() -> None:
    """What it does is compiled and run in tests/test_apps_micro.py."""
    (code,) = [text for kind, _, _, text in blocks(ROOT / "docs/microcontroller.md") if kind == "cpp"]
    folder = ROOT / "edgekd/apps/templates/micro/edge_model"
    header, answer = ((folder / name).read_text(encoding="utf-8") for name in ("model.h.jinja", "answer.h"))
    for name in ("Model", "load", "error", "classify"):
        assert re.search(rf"\b{name}\b", code) and re.search(rf"\b{name}\b", header)
    for name in ("edgekd_answer", "accepted", "label", "confidence"):
        assert name in code and re.search(rf"\b{name}\b", answer)
