"""Two runs side by side: numbers are compared only where they may be, and a drop-in has the same signature."""

from typing import Any

import pytest

from edgekd.cli.compare import change_cells
from edgekd.commands.comparison import Change, compare, regressions
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Report


@pytest.fixture(scope="module")
def plan() -> dict[str, Any]:
    return load_plan(None, Flags(target=("tflite",))).model_dump(mode="json")


def device(fingerprint: str) -> dict[str, Any]:
    words = dict.fromkeys(("name", "model", "system", "processor", "python"), fingerprint)
    return words | {"fingerprint": fingerprint, "cores": 2, "memory": 1, "runtimes": {}}


def run(
    plan: dict[str, Any],
    accuracy: float = 0.8,
    p90: float = 0.01,
    size: int = 1000,
    where: str = "a",
    threads: int = 1,
    target: str = "tflite",
    dtype: str = "float32",
    classes: tuple[str, ...] = ("x", "y"),
    noise: float = 0.0,
) -> Report:
    file = {"entry": "0", "name": "m", "sha256": "0", "size": size}
    latency = dict.fromkeys(("load", "first", "p50", "p90", "p90_high", "p99", "quiet"), p90)
    latency |= {"sessions": ((p90,),), "warmup_runs": 1, "threads": threads, "stable": True}
    ratio = {"value": 1.0, "low": 1 / (1 + noise), "high": 1 + noise}
    latency |= {"noise": {"quiet": ratio, "p90": ratio}} if noise else {}
    signature = {
        "inputs": [{"name": "image", "shape": (-1, 3), "dtype": dtype}],
        "outputs": [{"name": "logits", "shape": (-1, 2)}],
        "classes": classes,
    }
    row = {
        "role": "student",
        "target": target,
        "precision": "int8",
        "size": {"params": 10, "macs": 20},
        "artifact": {
            "file": file,
            "format": "tflite",
            "precision": "int8",
            "signature": signature,
            "golden": file,
            "size": size,
            "graph": "",
            "made_by": "",
        },
        "measurement": {"basis": "measured", "device": device(where), "latency": latency, "memory": 5},
        "score": {
            "part": "test",
            "metric": "accuracy",
            "accuracy": {"value": accuracy, "low": accuracy, "high": accuracy},
            "count": 9,
        },
        "ships": True,
    }
    rest = {"edgekd": "0", "created": "", "status": "fits", "headline": "", "binds": "", "plan": plan}
    return Report.model_validate(rest | {"rows": [row], "student": {"family": {"name": "resnet"}}})


def changes(before: Report, after: Report) -> dict[str, Change]:
    (target,) = compare(before, after)
    return {change.quantity: change for change in target.changes}


def test_worse_is_less_accuracy_and_more_of_everything_else(plan: dict[str, Any]):
    found = changes(run(plan), run(plan, accuracy=0.72, p90=0.02, size=500))
    assert found["accuracy"].worse == pytest.approx(0.1)
    assert found["p90 latency"].worse == pytest.approx(1.0)
    assert found["file size"].worse == pytest.approx(-0.5)
    assert found["memory"].worse == 0


def test_the_gate_names_what_got_worse_by_more(plan: dict[str, Any]):
    worse, unknown = regressions(compare(run(plan), run(plan, accuracy=0.72, p90=0.0104)), 0.05)
    assert worse == ["tflite: accuracy is 10.0 % worse"] and unknown == []
    assert regressions(compare(run(plan), run(plan)), 0.0) == ([], [])


def test_a_difference_within_the_noise_is_none_and_proves_none(plan: dict[str, Any]):
    quiet, slow = run(plan), run(plan, p90=0.0108, noise=0.1)
    assert regressions(compare(quiet, slow), 0.05) == (
        [], ["tflite: p90 latency is 8.0 % worse, within the noise of 10 %"]
    )  # fmt: skip
    assert regressions(compare(quiet, slow), 0.09) == ([], [])
    assert regressions(compare(quiet, run(plan, p90=0.012, noise=0.1)), 0.05)[0] != []
    assert change_cells(changes(quiet, slow)["p90 latency"])[3] == "the same within the noise of 10 %"


def test_latencies_of_two_devices_or_thread_counts_are_not_compared(plan: dict[str, Any]):
    for other, why in ((run(plan, where="b"), "two devices"), (run(plan, threads=2), "numbers of threads")):
        change = changes(run(plan), other)["p90 latency"]
        assert change.worse is None and why in change.why
        assert len(regressions(compare(run(plan), other), 0.05)[1]) == 1


def test_a_drop_in_has_the_same_tensors_and_classes(plan: dict[str, Any]):
    assert compare(run(plan), run(plan))[0].differences == ()
    differences = compare(run(plan), run(plan, dtype="int8", classes=("y", "x")))[0].differences
    assert differences == ("input image: dtype was float32 and is int8", "classes or their order differ")


def test_a_target_of_one_run_only_cannot_be_judged(plan: dict[str, Any]):
    found = compare(run(plan), run(plan, target="onnx"))
    assert [(one.target, one.why) for one in found] == [
        ("tflite", "ships in the first run only"),
        ("onnx", "ships in the second run only"),
    ]
    assert len(regressions(found, 0.05)[1]) == 2
