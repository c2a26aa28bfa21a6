"""A toy task without images for whole builds: which of three words stands among the ids. The teacher always knows."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors.numpy import save_file

from edgekd import files

LENGTH, WORDS, WIDTH = 12, 20, 16
NET = """
import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.words = nn.Embedding(20, width)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, 3)

    def forward(self, ids, mask):
        mask = mask.float()[..., None]
        x = torch.relu(self.hidden(self.words(ids))) * mask
        return self.head(x.sum(1) / mask.sum(1))


def build(width=4):
    return Reader(width)
"""
RECIPE = """
[data]
arrays = "toy.npz"
labels = 60
validation = 60
calibration = 16
test_share = 0.25
[teacher]
make = "my_net:build"
arguments = { width = 16 }
weights = "teacher.safetensors"
[student]
make = "my_net:build"
[train]
trial_epochs = 2
epochs = 30
batch = 32
learning_rate = 0.02
views = 1
candidates = 1
distill = [[1.0, 0.9]]
control = [[2e-2, 1e-2]]
"""
# What must be the same after a fault is everything but the clock's word: when, how long, how many steps.
CLOCK = ("created", "seconds", "seconds_per_view", "steps_run", "steps_cached")
BUDGET = ("--target", "onnx", "--precision", "float32", "--max-params", "2k")


def samples(count: int = 320, seed: int = 1) -> dict[str, np.ndarray]:
    """Ids (count, 12), a mask of at least the first half, and the class: which of the words 0, 1, 2 stands there."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    ids = random.integers(3, WORDS, (count, LENGTH))
    ids[np.arange(count), random.integers(0, LENGTH // 2, count)] = labels
    mask = np.arange(LENGTH) < random.integers(LENGTH // 2, LENGTH + 1, (count, 1))
    return {"ids": ids.astype(np.int64), "mask": mask.astype(np.int64), "y": labels}


def write(folder: Path, recipe: str = RECIPE, net: str = NET, **arrays: np.ndarray) -> Path:
    """Write data, network, a teacher that needs no training, and the recipe; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "toy.npz", **(samples() | arrays))
    (folder / "my_net.py").write_text(net, encoding="utf-8")
    words = np.zeros((WORDS, WIDTH), np.float32)
    words[:3, :3] = np.eye(3)
    one, none = np.eye(WIDTH, dtype=np.float32), np.zeros(WIDTH, np.float32)
    state = {"words.weight": words, "hidden.weight": one, "hidden.bias": none}
    state |= {"head.weight": 60 * one[:3], "head.bias": none[:3]}
    save_file(state, folder / "teacher.safetensors")
    page = folder / "toy.toml"
    page.write_text(recipe, encoding="utf-8")
    return page


def environment(home: Path) -> dict[str, str]:
    """The user's environment, with a store, locks and a config of the test's own."""
    own = {"EDGEKD_STORE": "store", "EDGEKD_LOCKS": "locks", "XDG_CONFIG_HOME": "config"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EDGEKD_", "PYTEST_"))}
    return kept | {key: str(home / name) for key, name in own.items()}


def command(recipe: Path, home: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "edgekd", "build", str(recipe), *BUDGET, "--out", str(home / "run"), *more]


def start(recipe: Path, home: Path, *more: str) -> subprocess.Popen[str]:
    """Begin a build whose store, run and output (home/said.txt) are in `home`."""
    home.mkdir(exist_ok=True)
    with (home / "said.txt").open("w") as said:
        return subprocess.Popen(
            command(recipe, home, *more), stdout=said, stderr=said, text=True, cwd=home, env=environment(home)
        )


def build(recipe: Path, home: Path, *more: str, timeout: float = 600) -> tuple[int, str]:
    """Run a build to its end; returns its exit status and all that it printed."""
    status = start(recipe, home, *more).wait(timeout)
    return status, (home / "said.txt").read_text(encoding="utf-8")


def ask(*arguments: str, home: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run any edgekd command in `home`, and require that it shows no traceback."""
    home.mkdir(exist_ok=True)
    whole: dict[str, Any] = {"cwd": home, "env": environment(home), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-m", "edgekd", *arguments], check=False, **whole | {"timeout": 300} | more)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def report(home: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((home / "run/report.json").read_text(encoding="utf-8"))
    return told


def manifests(store: Path) -> dict[str, dict[str, Any]]:
    """What every entry of a store says of itself, by key; none may lack a manifest."""
    return {p.name: json.loads((p / "manifest.json").read_text()) for p in (store / "entries").glob("*/*")}


def check_entries(store: Path) -> None:
    """Every entry is whole: its files are those of its manifest, and their digests fit."""
    for key, manifest in manifests(store).items():
        entry, recorded = store / "entries" / key[:2] / key, manifest["record"]["files"]
        assert {p.name for p in entry.iterdir()} == {*recorded, "manifest.json", "request.json", "log.txt"}
        assert {name: files.digest(entry / name) for name in recorded} == recorded


def same(value: Any, but: tuple[str, ...]) -> Any:
    """A report without what the clock says; notes tell of seconds too."""
    if isinstance(value, dict):
        return {key: same(inner, but) for key, inner in value.items() if key not in but}
    if isinstance(value, list):
        return [same(inner, but) for inner in value]
    return re.sub(r"in [\d.]+ (µs|ms|s)$", "", value) if isinstance(value, str) else value


def answers_of(stage: str, home: Path) -> list[str]:
    """Keys of a stage's answers in a finished build, in the order asked."""
    steps = json.loads((home / "run/edgekd.lock.json").read_text())["steps"]
    return [step["key"] for step in steps if step["stage"] == stage]


def copy(store: Path, home: Path, *lost: str) -> Path:
    """A copy of a store in `home` that lacks the answers `lost`."""
    there = home / "store"
    shutil.copytree(store, there)
    for key in lost:
        shutil.rmtree(there / "entries" / key[:2] / key)
    return there


def processes(home: Path) -> Iterator[psutil.Process]:
    """Every living process that has to do with `home`: by its folder, its command line or its environment."""
    for process in psutil.process_iter():
        try:
            told = [process.cwd(), *process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(home) in text for text in told):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def worker(work: Path) -> psutil.Process | None:
    """The process that answers the step of a work folder: a fresh one names it, a forked one stands in it.

    The newest are looked at first: some steps are over in a few milliseconds.
    """
    for pid in reversed(psutil.pids()):
        try:
            process = psutil.Process(pid)
            if process.cwd() == str(work) or process.cmdline()[-2:] == ["edgekd.worker", str(work)]:
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def soon(happens: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Whether something comes true within so many seconds."""
    until = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
