"""The same trainings by edgekd and by torchdistill, each method tuned on validation: accuracy, and samples a second.

    python -m benchmarks peer -- --peer PYTHON [--store FOLDER] [--method NAME ...]

PYTHON is that of an environment with torchdistill 1.1.5, torch 2.14.1, torchvision 0.29.1, pydantic and safetensors.
With a folder of its own a run goes on where it was stopped.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.nets import networks
from edgekd.policies.known import images, schedule
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Checkpoint, Signature, SoftTargets, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Choice, Objective, Plan
from edgekd.stages.train import Position, Training
from edgekd.statistics import paired_interval
from edgekd.steps import Label, Split, Train
from edgekd.store import Store
from edgekd.workspace import Workspace

ROOT = Path(__file__).parents[2]
PEER = ROOT / "benchmarks" / "peers" / "torchdistill_trainings.py"
TRIAL_EPOCHS, EPOCHS, SEEDS, BATCH, ROUNDS = 8, 24, (0, 1, 2), 128, 5
FAMILY = Choice(name="convnet", settings={"width": 12, "depth": 3})
# The feature maps of 7 by 7 pixels: of the student's second stage of three, of the teacher's last one.
MAPS, PIXELS = {"student": "blocks.5", "teacher": "blocks"}, 49
WHOLE = {f"{who}_module_path": "." for who in MAPS} | {f"{who}_module_io": "output" for who in MAPS}


class Point(NamedTuple):
    """One setting of a method as both tools say it: our objectives; their terms, weight of labels, and modules."""

    told: str
    ours: tuple[Objective, ...]
    terms: dict[str, Any]
    label_weight: float = 0.0
    modules: dict[str, Any] = {}


class Found(NamedTuple):
    """What one training came to: validation accuracy, test logits, seconds of the loop."""

    validation: float
    test: NDArray[np.float32]
    seconds: float


def objective(name: str, weight: float, **settings: Any) -> Objective:
    return Objective(use=Choice(name=name, settings=settings), weight=weight)


def term(key: str, weight: float, **arguments: Any) -> dict[str, Any]:
    return {key: {"criterion": {"key": key, "kwargs": arguments}, "weight": weight}}


def softened(temperature: float, share: float, standardize: bool) -> Point:
    """Plain distillation, or with standardized logits: labels and teacher in these shares."""
    ours = (
        objective("cross_entropy", 1 - share),
        objective("kd", share, temperature=temperature, standardize=standardize),
    )
    key = "LogitStdKDLoss" if standardize else "KDLoss"
    theirs = term(key, 1.0, temperature=temperature, alpha=1 - share, **WHOLE)
    return Point(f"temperature {temperature:g}, weight {share:g}", ours, theirs)


def dist(weight: float) -> Point:
    ours = (objective("cross_entropy", 1.0), objective("dist", weight))
    return Point(f"weight {weight:g}", ours, term("DISTLoss", weight, beta=1.0, gamma=1.0, tau=1.0, **WHOLE), 1.0)


def attention(weight: float) -> Point:
    """torchdistill takes the mean over pixels, where the paper and edgekd take half the sum."""
    ours = (objective("cross_entropy", 1.0), objective("attention", weight, **MAPS))
    sides = {who: {"io": "output", "path": f"network.{path}"} for who, path in MAPS.items()}
    theirs = term("ATLoss", weight * PIXELS / 2, at_pairs={"pair": sides | {"weight": 1}}, mode="code")
    return Point(f"weight {weight:g}", ours, theirs, 1.0, _hooks({who: f"network.{MAPS[who]}" for who in MAPS}))


def similarity(weight: float) -> Point:
    ours = (objective("cross_entropy", 1.0), objective("similarity", weight, **MAPS))
    paths = {f"{who}_output_path": f"network.{path}" for who, path in MAPS.items()}
    theirs = term("SPKDLoss", weight, reduction="batchmean", **paths)
    return Point(f"weight {weight:g}", ours, theirs, 1.0, _hooks({who: f"network.{MAPS[who]}" for who in MAPS}))


def rkd(weight: float) -> Point:
    ours = (objective("cross_entropy", 1.0), objective("rkd", weight))
    paths = {f"{who}_output_path": "features" for who in MAPS}
    theirs = term("RKDLoss", weight, dist_factor=25.0, angle_factor=50.0, reduction="mean", **paths)
    return Point(f"weight {weight:g}", ours, theirs, 1.0, _hooks(dict.fromkeys(MAPS, "features")))


def _hooks(paths: dict[str, str]) -> dict[str, list[str]]:
    return {f"{who}_modules": [path] for who, path in paths.items()}


METHODS: dict[str, tuple[Point, ...]] = {
    "kd": tuple(softened(t, w, False) for t, w in ((1.0, 0.9), (2.0, 0.7), (4.0, 0.9))),
    "kd, standardized": tuple(softened(t, w, True) for t, w in ((1.0, 0.9), (2.0, 0.7), (4.0, 0.9))),
    "dist": tuple(map(dist, (0.5, 1.0, 2.0))),
    "attention": tuple(map(attention, (10.0, 40.0, 160.0))),
    "similarity": tuple(map(similarity, (300.0, 1000.0, 3000.0))),
    "rkd": tuple(map(rkd, (0.1, 0.3, 1.0))),
}


class Case:
    """The data, the teacher and the student, for both tools."""

    def __init__(self, store: Store, folder: Path, peer: str) -> None:
        self.store, self.folder, self.peer = store, folder, peer
        self.plan: Plan = load_plan("fashion-mnist", Flags(target=("onnx",)))
        data = self.plan.data.model_copy(update={"labels": None})
        self.splits: Splits
        (self.splits,) = store.do(Split(data=data, images=images(self.plan), seed=self.plan.seed))
        self.soft: SoftTargets
        (self.soft,) = store.do(Label(teacher=self.plan.teacher, splits=self.splits, views=self.plan.effort.views))
        assert self.plan.student is not None and self.plan.student.image == self.plan.teacher.image
        self.student = Architecture(family=FAMILY, image=self.plan.student.image)
        self.out = Workspace(folder, store.entries, "peer")
        self.signature: Signature = networks.signature(self.splits, self.plan.teacher.image, self.out)
        self.labels = np.array(self.out.load(self.splits.parts["test"].labels), np.int64)

    def arrays(self) -> str:
        """All views of the training images and the other parts, prepared, as the peer reads them."""
        path = self.folder / "arrays.npz"
        if not path.is_file():
            train = Feed(self.out, self.splits, "train", self.signature, True, self.soft.seed, self.soft.mirror)
            rows, name = np.flatnonzero(train.labels >= 0), self.signature.inputs[0].name
            found = {
                "train": np.stack([train.batch(rows, view)[name] for view in range(self.soft.views)]),
                "labels": train.labels[rows],
            }
            for part in ("validation", "test"):
                feed = Feed(self.out, self.splits, part, self.signature, False, 0)
                found |= {part: feed.batch(np.arange(feed.count))[name], f"{part}_labels": feed.labels}
            np.savez(path, **found)
        return path.name

    def step(self, point: Point, epochs: int, seed: int) -> Train:
        """Our training."""
        live = any(plugins.live(one) for one in point.ours)
        return Train(
            networks=(self.student,),
            objectives=point.ours,
            splits=self.splits,
            schedule=schedule(self.plan.schedule.model_copy(update={"batch": BATCH}), epochs),
            soft_targets=self.soft,
            seed=seed,
            teacher=self.plan.teacher if live else None,
        )

    def ours(self, point: Point, epochs: int, seed: int) -> Found:
        (trained,) = self.store.do(self.step(point, epochs, seed))
        checkpoint: Checkpoint = trained.checkpoints[0]
        (answers,) = self.store.do(Label(teacher=checkpoint, splits=self.splits, views=1))
        test = np.load(self.store.path(answers.parts["test"]))
        return Found(checkpoint.validation_accuracy, test, checkpoint.seconds)

    def theirs(self, point: Point, epochs: int, seed: int, name: str) -> Found:
        """The peer's training, unless it is in the folder already."""
        told, outputs = self.folder / f"{name}.told.json", self.folder / f"{name}.npy"
        if not told.is_file():
            base = self.plan.schedule
            run = {
                "name": name,
                "terms": point.terms,
                "label_weight": point.label_weight,
                "epochs": epochs,
                "batch": BATCH,
                "learning_rate": base.learning_rate,
                "weight_decay": base.weight_decay,
                "seed": seed,
                **point.modules,
            }
            request = {
                "arrays": self.arrays(),
                "signature": self.signature.model_dump(mode="json"),
                "teacher_signature": self.signature.model_dump(mode="json"),
                "teacher": self.plan.teacher.model_dump(mode="json"),
                "student": self.student.model_dump(mode="json"),
                "runs": [run],
            }
            path = self.folder / f"{name}.request.json"
            path.write_text(json.dumps(request))
            command, around = [self.peer, str(PEER), str(path)], os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=around)
            told.write_text(done.stdout.strip().splitlines()[-1])
        answer = json.loads(told.read_text())
        return Found(answer["validation"], np.load(outputs), answer["seconds"])

    def right(self, found: Found) -> NDArray[np.float64]:
        return (found.test.argmax(1) == self.labels).astype(np.float64)

    def epoch(self, point: Point, number: int) -> float:
        """Seconds of two epochs of ours in this process, without evaluations, on one thread."""
        work = self.folder / f"epoch-{number}"
        work.mkdir(exist_ok=True)
        training = Training(self.step(point, 2, 0), Workspace(work, self.store.entries, work.name))
        position = Position()
        started = time.perf_counter()
        while position.step < training.total:
            training.advance(position)
        return time.perf_counter() - started


def compared(case: Case, name: str, points: Sequence[Point]) -> list[dict[str, str]]:
    """A method's rows: both tools' accuracies and their difference, and how fast each trains."""
    slug = name.replace(", ", "-").replace(" ", "-")
    chosen = []
    for tool in ("ours", "theirs"):
        found = [trained(case, tool, point, TRIAL_EPOCHS, 0, f"{slug}-trial-{i}") for i, point in enumerate(points)]
        chosen.append(points[max(range(len(points)), key=lambda i: (found[i].validation, -i))])
    sides = [
        [case.right(trained(case, tool, point, EPOCHS, seed, f"{slug}-{seed}")) for seed in SEEDS]
        for tool, point in zip(("ours", "theirs"), chosen, strict=True)
    ]
    value, low, high = (100 * number for number in paired_interval(*sides))
    rows = [
        {"what": f"{name}, {tool} ({point.told})", "value": spread(side), "unit": "% accuracy", "basis": "measured"}
        for tool, point, side in zip(("edgekd", "torchdistill"), chosen, sides, strict=True)
    ]
    text = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
    return [*rows, {"what": f"{name}, edgekd - torchdistill", "value": text, "unit": "points", "basis": "paired"}]


def trained(case: Case, tool: str, point: Point, epochs: int, seed: int, name: str) -> Found:
    """One training by either tool, told as it ends."""
    found = case.ours(point, epochs, seed) if tool == "ours" else case.theirs(point, epochs, seed, name)
    print(f"{name}, {tool}: {100 * found.validation:.1f} % on validation", file=sys.stderr, flush=True)
    return found


def spread(side: Sequence[NDArray[np.float64]]) -> str:
    """Mean and standard deviation over the seeds, in percent."""
    each = [100 * float(one.mean()) for one in side]
    return f"{mean(each):.1f} +- {stdev(each):.1f}"


def speed(case: Case, name: str, point: Point) -> dict[str, str]:
    """Samples a second of both, in turns; nothing is taken from the store or the folder."""
    slug, taken = name.replace(", ", "-").replace(" ", "-"), []
    samples = 2 * case.splits.parts["train"].count
    for number in range(ROUNDS):
        (case.folder / f"{slug}-speed.told.json").unlink(missing_ok=True)
        taken.append((case.theirs(point, 2, 0, f"{slug}-speed").seconds, case.epoch(point, number)))
    logs = sorted(math.log(theirs / ours) for theirs, ours in taken)
    rates = [samples / median(side) for side in zip(*taken, strict=True)]
    text = f"{math.exp(median(logs)):.2f} ({math.exp(logs[0]):.2f} to {math.exp(logs[-1]):.2f})"
    told = f"{text}; {rates[1]:,.0f} and {rates[0]:,.0f} samples a second"
    return {"what": f"{name}, edgekd / torchdistill", "value": told, "unit": "x", "basis": "measured, paired"}


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--peer", required=True)
    reader.add_argument("--store", type=Path)
    reader.add_argument("--method", action="append", choices=tuple(METHODS))
    given = reader.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as name:
        folder = given.store or Path(name)
        folder.mkdir(exist_ok=True, parents=True)
        with Store(folder / "store") as store:
            case = Case(store, folder.absolute(), given.peer)
            wanted = {name: METHODS[name] for name in given.method or METHODS}
            rows = [row for name, points in wanted.items() for row in compared(case, name, points)]
            rows += [speed(case, name, points[0]) for name, points in wanted.items()]
    how = (
        f"convnet width 12 depth 3, the shipped teacher, {case.splits.parts['train'].count} images with their labels, "
        f"{case.soft.views} views, batch {BATCH}, one thread; settings chosen by {TRIAL_EPOCHS} epochs on validation, "
        f"then {EPOCHS} epochs on {len(SEEDS)} seeds; speeds of two epochs in {ROUNDS} rounds, taking turns."
    )
    print(json.dumps({"rows": rows, "how": how}))


if __name__ == "__main__":
    main()
