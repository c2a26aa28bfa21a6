"""Students of the teacher, searched and priced for real: several ship, and another budget measures hardly anything."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.e2e import toy

LAYERS = """
class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.inner(x))


def build(width=16):
    made = Reader(width)
    layers = nn.Sequential(*(Layer(width) for _ in range(6)))
    made.hidden = nn.Sequential(made.hidden, layers)
    return made
"""
RECIPE = (
    toy.RECIPE.replace('[student]\nmake = "my_net:build"', '[student]\nfamily = "shallow"')
    .replace("candidates = 1", "candidates = 5")
    .replace("epochs = 30", "epochs = 4")
)


def written(folder: Path) -> Path:
    """The toy task with a teacher of six equal layers that do nothing, so that it still knows all answers."""
    page = toy.write(folder, RECIPE, toy.NET + LAYERS)
    state = load_file(folder / "teacher.safetensors")
    state = {name.replace("hidden.", "hidden.0."): value for name, value in state.items()}
    for number in range(6):
        state[f"hidden.1.{number}.inner.weight"] = np.zeros((toy.WIDTH, toy.WIDTH), np.float32)
        state[f"hidden.1.{number}.inner.bias"] = np.zeros(toy.WIDTH, np.float32)
    save_file(state, folder / "teacher.safetensors")
    return page


@pytest.mark.slow
def test_thinned_out_teachers_are_priced_raced_and_shipped(tmp_path: Path) -> None:
    home, page = tmp_path / "home", written(tmp_path / "task")
    wanted = ("--teacher-share", "100%", "--pareto", "--max-latency", "1s", "--bench", "quick")
    status, said = toy.build(page, home, *wanted)
    assert status == 0, said
    told = toy.report(home)
    assert {one["architecture"]["family"]["name"] for one in told["candidates"]} == {"shallow"}
    assert all(row["score"]["accuracy"]["value"] > 0.9 for row in told["rows"] if row["ships"]), "its weights were kept"
    assert told["members"] and set(told["members"]) <= {"smallest", "middle", "best"}
    for folder in told["members"].values():
        assert toy.ask("verify", f"run/{folder}/onnx", home=home).returncode == 0
    again = ("--teacher-share", "100%", "--max-latency", "2s", "--bench", "quick", "--out", str(home / "other"))
    assert toy.build(page, home, *again)[0] == 0
    steps = json.loads((home / "other/edgekd.lock.json").read_text())["steps"]
    prices = [step for step in steps if step["stage"] == "measure" and step["asked"].get("by_graph")]
    # one that was unstable was measured a second time
    assert len({step["asked"]["artifacts"][0]["graph"] for step in prices}) == 3
    assert all(step["cached"] for step in prices), "another budget measures nothing anew"
    assert not [step for step in steps if step["stage"] == "train" and not step["cached"]]


@pytest.mark.slow
def test_a_budget_that_nothing_keeps_ends_before_the_teacher_is_asked(tmp_path: Path) -> None:
    home, page = tmp_path / "home", written(tmp_path / "task")
    status, said = toy.build(page, home, "--teacher-share", "100%", "--max-latency", "1ns")
    assert status == 3 and "the nearest that onnx can keep is about latency" in said
    stages = [step["stage"] for step in json.loads((home / "run/edgekd.lock.json").read_text())["steps"]]
    assert "measure" in stages and not {"label", "train"} & set(stages)
