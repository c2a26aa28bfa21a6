"""Budgets that nothing can keep end before any full training, with status 3 and the nearest that can be kept."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e import toy

NEAREST = {
    "--max-params": ("100", "the smallest student has 115 parameters"),
    "--max-latency": ("1ns", "the nearest that onnx can keep is about latency "),
    "--max-size": ("10B", "the nearest that onnx can keep is about size "),
    "--max-memory": ("1B", "the nearest that onnx can keep is about memory "),
}


@pytest.mark.parametrize("flag", NEAREST)
def test_an_impossible_budget_names_the_nearest_and_trains_nothing(finished: Path, tmp_path: Path, flag: str) -> None:
    home, (limit, nearest) = tmp_path / "home", NEAREST[flag]
    home.mkdir()
    toy.copy(finished / "store", home)
    status, said = toy.build(finished / "task/toy.toml", home, flag, limit)
    assert status == 3, said
    assert "No student fits: " in said and nearest in said
    assert "train done" not in said and "bundle for" not in said
    told = toy.report(home)
    assert (told["status"], told["rows"], told["bundles"]) == ("missed", [], {})
    assert nearest in told["binds"]
    assert "Nothing was trained" in (home / "run/report.md").read_text(encoding="utf-8")
    again = toy.ask("report", str(home / "run"), home=home)
    assert again.returncode == 0 and nearest in again.stdout


def test_plan_says_what_the_smallest_student_would_keep(finished: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    toy.copy(finished / "store", home)
    wanted = ("plan", str(finished / "task/toy.toml"), "--target", "onnx", "--max-params", "100")
    done = toy.ask(*wanted, home=home)
    assert done.returncode == 3
    assert "1 student is over the limit: parameters" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("no student keeps these limits: the smallest student has 115 param")


FACE = """
import sys
import edgekd

assert {"pydantic", "torch", "numpy"}.isdisjoint(sys.modules)
report = edgekd.build(sys.argv[1], edgekd.Flags(target=("onnx",), precision="float32", max_params="2k"), out="face")
assert isinstance(report, edgekd.Report) and edgekd.Budget(max_size="1KiB").max_size == 1024
assert "torch" not in sys.modules
print(report.status, report.steps_run, callable(edgekd.build))
try:
    edgekd.build(edgekd.load_plan(sys.argv[1], edgekd.Flags(target=("onnx",))), edgekd.Flags())
except edgekd.EdgekdError as error:
    print(error.exit_status)
"""


def test_from_python_a_build_is_the_same_build(finished: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    toy.copy(finished / "store", home)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FACE), str(finished / "task/toy.toml")],
        cwd=home,
        env=toy.environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["fits", "0", "True", "2"]
    assert (home / "face/onnx/digests.json").is_file()
