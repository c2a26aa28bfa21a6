"""Every objective of inner values on real images: the convnet beside the shipped teacher, on the embedded data."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edgekd import plugins
from edgekd.policies.known import images
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Splits
from edgekd.spec import Architecture, Choice, Objective, Plan, Schedule
from edgekd.stages import split, train
from edgekd.steps import Split, Train
from edgekd.workspace import Workspace

OF_IMAGES = [
    name
    for name in plugins.names("objectives")
    if "inner" in plugins.declared("objectives", name).needs and name not in ("hidden", "minilm")
]
COUNT = 3000
# The terms have different sizes; these make each about as large as what it stands beside.
WEIGHTS = {"rkd": 0.05, "similarity": 100.0, "adversarial": 0.1}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan("fashion-mnist", Flags(target=("tflite",)))


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("entries")


@pytest.fixture(scope="module")
def splits(plan: Plan, entries: Path) -> Iterator[Splits]:
    """The embedded images, 3,000 of them to train on."""
    key = hashlib.sha256(b"split").hexdigest()
    out = Workspace(entries / key[:2] / key, entries, key)
    out.folder.mkdir(parents=True)
    before = torch.get_num_threads()
    whole = split.run(Split(data=plan.data, images=images(plan), seed=0), out)
    part = whole.parts["train"]
    few = part.model_copy(
        update={
            "inputs": {name: out.save(f"few-{name}.npy", out.load(file)[:COUNT]) for name, file in part.inputs.items()},
            "labels": out.save("few-labels.npy", out.load(part.labels)[:COUNT]),
            "count": COUNT,
        }
    )
    yield whole.model_copy(update={"parts": {**whole.parts, "train": few}})
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_IMAGES)
def test_a_student_learns_from_inner_values_beside_labels(
    name: str, plan: Plan, entries: Path, splits: Splits, tmp_path: Path
) -> None:
    settings = {"student": "features", "teacher": "features"} if name == "adversarial" else {}
    term = Objective(use=Choice(name=name, settings=settings), weight=WEIGHTS.get(name, 1.0))
    network = Choice(name="convnet", settings={"width": 8, "depth": 1})
    step = Train(
        networks=(Architecture(family=network, image=plan.student.image if plan.student else None),),
        objectives=(Objective(use=Choice(name="cross_entropy")), term),
        splits=splits,
        schedule=Schedule(epochs=8),
        teacher=plan.teacher,
        views=1,
    )
    checkpoint = train.run(step, Workspace(tmp_path, entries, "ef" + "0" * 62)).checkpoints[0]
    assert checkpoint.validation_accuracy > 0.75
    assert 0 < checkpoint.teacher_seconds < checkpoint.seconds
