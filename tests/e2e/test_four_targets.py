"""One build for all four targets, in float32 and int8, from one student: one table, and an honest exit status."""

import sys
from pathlib import Path

import pytest

from tests.e2e import toy

RECIPE = """
[data]
name = "fashion-mnist"
labels = 1000
validation = 500
calibration = 64

[teacher]
name = "fashion-mnist-resnet"

[student]
family = "convnet"
width = 8
depth = 1
expansion = 1

[train]
trial_epochs = 1
epochs = 3
views = 1
candidates = 1
distill = [[1.0, 0.9]]
control = [[1.0, 1.0]]
"""
TARGETS = ("tflite", "onnx", "openvino", "coreml")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="Core ML runs on macOS, so its budget can be judged there")
def test_one_student_for_all_four_targets(tmp_path: Path) -> None:
    (tmp_path / "four.toml").write_text(RECIPE, encoding="utf-8")
    wanted = ("build", "four.toml", "--target", ",".join(TARGETS), "--out", "run")
    done = toy.ask(*wanted, home=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    told = toy.report(tmp_path)
    assert (told["status"], set(told["bundles"])) == ("fits", set(TARGETS))
    students = {(row["target"], row["precision"]): row for row in told["rows"] if row["role"] == "student"}
    assert set(students) >= {(target, precision) for target in TARGETS for precision in ("float32", "int8")}
    assert len({row["size"]["params"] for row in students.values()}) == 1
    for (target, precision), row in students.items():
        assert row["artifact"]["precision"] == precision
        assert precision not in ("float32", "int8") or row["score"]["accuracy"]["value"] > 0.6
        assert precision != "float32" or row["score"]["parity"]["passed"]
        if target == "coreml":
            assert (row["score"]["basis"], row["measurement"]["basis"]) == ("reference", "not measured")
            assert "coreml does not run on" in row["measurement"]["why"]
        else:
            assert (row["score"]["basis"], row["measurement"]["basis"]) == ("measured", "measured")
    ships = {row["target"]: row["precision"] for row in told["rows"] if row["ships"]}
    assert set(ships) == set(TARGETS) and ships["coreml"] in ("float16", "float32")
    # student or control, whichever was better on the validation part: with so little training either may be
    assert "coreml" in done.stdout and done.stdout.count("(ships)") >= len(TARGETS)

    late = toy.ask(*wanted, "--max-latency", "1s", "--bench", "quick", home=tmp_path, timeout=900)
    assert late.returncode == 4, late.stderr
    told = toy.report(tmp_path)
    assert told["status"] == "inconclusive" and told["steps_run"] <= 3
    assert {row["target"]: row["fits"] for row in told["rows"] if row["ships"]}["coreml"] is None
    for target in TARGETS:
        checked = toy.ask("verify", f"run/{target}", home=tmp_path)
        assert checked.returncode == 0, checked.stdout
