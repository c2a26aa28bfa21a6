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
GIVEN = {"sensors": ["inputs.npz"], "text": ["word3 good word5", "bad word7"], "sound": ["tones/low/080.wav"]}
SAYS = {"sensors": "", "text": "0: yes", "sound": "0: low"}


@pytest.mark.slow
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


def _used(bundle: Path, task: str, page: Path) -> None:
    """Run the bundle's own program on what the front end takes, and its own check."""
    front = [spec["front_end"] for spec in json.loads((bundle / "signature.json").read_text())["inputs"]]
    kinds = {"sensors": [None], "text": ["tokens", None], "sound": ["log-mel"]}[task]
    assert [one and one["kind"] for one in front] == kinds
    with np.load(page / "signals.npz" if task == "sensors" else bundle / "golden/golden.npz") as arrays:
        given = {name: arrays[name][:2] for name in arrays.files if name == "signal"}
    np.savez(page / "inputs.npz", **given)
    for arguments, expected in ((GIVEN[task], SAYS[task]), (["--check"], "ok")):
        command = [sys.executable, str(bundle / "run.py"), *arguments]
        said = subprocess.run(command, cwd=page, capture_output=True, text=True, check=False)
        assert said.returncode == 0 and expected in said.stdout, said.stdout + said.stderr
    checks = said.stdout.splitlines()
    assert task == "sensors" or any(line.startswith(f"ok          {kinds[0]}") for line in checks), checks
