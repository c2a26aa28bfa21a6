"""Every task beyond images, built end to end for two runtimes, and its bundles checked and used."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import tasks
from tests.e2e import toy

# what a person gives to run.py
GIVEN = {"text": ["word3 good word5", "bad word7"], "sound": ["tones/low/080.wav"]}
SAYS = {"text": "0: yes", "sound": "0: low"}
KINDS = {"text": ["tokens", None], "sound": ["log-mel"]}


@pytest.mark.long
@pytest.mark.parametrize("task", list(tasks.TASKS))
def test_a_task_is_built_for_two_runtimes_and_its_bundles_are_sound(task: str, tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path / "page", task)
    wanted = ("--target", "tflite,onnx", "--precision", "int8", "--max-size", "200kB", "--out", "run")
    done = toy.ask("build", str(recipe), *wanted, home=tmp_path / "home", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    report = toy.report(tmp_path / "home")
    for row in (row for row in report["rows"] if row["ships"]):
        assert row["score"]["accuracy"]["value"] > 0.8 and row["score"]["basis"] == "measured"
        assert row["score"]["parity"] is None or row["score"]["parity"]["passed"]
    for target in ("tflite", "onnx"):
        bundle = tmp_path / "home/run" / target
        checked = toy.ask("verify", str(bundle), home=tmp_path / "home")
        assert checked.returncode == 0, checked.stdout
        _used(bundle, task, tmp_path / "page")
        _in_an_application(bundle, task, tmp_path / "home")


def _used(bundle: Path, task: str, page: Path) -> None:
    """Run the bundle's own program on what the front end takes, and its own check."""
    front = [spec["front_end"] for spec in json.loads((bundle / "signature.json").read_text())["inputs"]]
    assert [one and one["kind"] for one in front] == KINDS.get(task, [None] * len(front))
    with np.load(bundle / "golden/golden.npz") as arrays:
        np.savez(page / "inputs.npz", **{n[6:]: arrays[n] for n in arrays.files if n.startswith("input:")})
    given = (GIVEN.get(task, ["inputs.npz"]), SAYS.get(task, "7: "))
    for arguments, expected in ((["inputs.npz"], "7: "), given, (["--check"], "ok")):
        command = [sys.executable, str(bundle / "run.py"), *arguments]
        said = subprocess.run(command, cwd=page, capture_output=True, text=True, check=False)
        assert said.returncode == 0 and expected in said.stdout, said.stdout + said.stderr
    checks = said.stdout.splitlines()
    for kind in filter(None, KINDS.get(task, ())):
        assert any(line.startswith(f"ok          {kind}") for line in checks), checks


def _in_an_application(bundle: Path, task: str, home: Path) -> None:
    """The bundle's application for Python passes its self-test, front ends too."""
    made = toy.ask("bundle", str(bundle), "--for", "python", home=home)
    assert made.returncode == 0, made.stderr
    command = [sys.executable, "main.py", "--self-test"]
    place = bundle.parent / f"{bundle.name}-for-python"
    said = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    checks = {one["what"]: one["passed"] for one in json.loads((place / "selftest.json").read_text())["checks"]}
    fronts = [one for one in json.loads((bundle / "signature.json").read_text())["inputs"] if one["front_end"]]
    assert len(fronts) == len(list(filter(None, KINDS.get(task, ()))))
    assert all(checks[f"prepare {one['name']}"] for one in fronts) and checks["answers"]
