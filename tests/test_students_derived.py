"""Students made of the teacher's own network: what stays of it, with which weights, and what cannot be done."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import UsageError
from edgekd.keys import key
from edgekd.nets import derived, networks
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Architecture, Choice, UserFile
from edgekd.steps import Export
from tests import plugged
from tests.world import SPLITS

NET = """
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return x + torch.relu(self.inner(x))


class Reader(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        x = self.words(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.two = nn.Conv2d(32, 64, 3, 2, 1)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        return self.head(torch.relu(self.two(torch.relu(self.norm(self.one(x))))).mean((2, 3)))


def reader(layers=6):
    torch.manual_seed(3)
    return Reader(layers)


def pictures():
    torch.manual_seed(3)
    return Pictures()
"""
OUTPUTS = (TensorSpec(name="logits", shape=(-1, 3)),)
WORDS = Signature(inputs=(TensorSpec(name="ids", shape=(-1, 5), dtype="int64"),), outputs=OUTPUTS)
IMAGES = Signature(inputs=(TensorSpec(name="image", shape=(-1, 3, 16, 16)),), outputs=OUTPUTS)
pruning = pytest.mark.skipif(bool(plugged.missing("students", "pruned")), reason="torch-pruning is not installed")


def student(folder: Path, family: str, make: str, **settings: Any) -> Architecture:
    path = folder / "my_net.py"
    path.write_text(NET)
    settings["teacher"] = [{"name": "torch", "make": f"my_net:{make}"}]
    files = {"teacher.0.make": UserFile(path=str(path), sha256="1", member=make)}
    return Architecture(family=Choice(name=family, settings=settings, files=files))


def test_every_kth_layer_stays_with_its_weights(tmp_path: Path) -> None:
    teacher = networks.build(student(tmp_path, "shallow", "reader", every=64), WORDS)
    whole = derived.network(({"name": "torch", "make": "my_net:reader"},), {"teacher.0.make": tmp_path / "my_net.py"},
                            WORDS.inputs, WORDS.outputs)  # fmt: skip
    thin = networks.build(student(tmp_path, "shallow", "reader", every=2), WORDS)
    kept = [value for name, value in thin.state_dict().items() if "inner.weight" in name]
    every = [value for name, value in whole.state_dict().items() if "inner.weight" in name]
    assert len(every) == 6 and len(kept) == 3
    assert all(torch.equal(one, every[2 * i]) for i, one in enumerate(kept)), "the first, third and fifth"
    assert sum("inner.weight" in name for name in teacher.state_dict()) == 1
    given = {"ids": torch.zeros(2, 5, dtype=torch.int64)}
    assert networks.forward(thin, given, WORDS)["logits"].shape == (2, 3)


def test_a_teacher_without_a_stack_cannot_be_thinned_out(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no stack of equal blocks"):
        networks.build(student(tmp_path, "shallow", "pictures"), IMAGES)


@pruning
@pytest.mark.parametrize(("keep", "channels"), [(0.5, (16, 32)), (0.25, (8, 16))])
def test_pruning_keeps_channels_and_classes_and_trains_on(
    tmp_path: Path, keep: float, channels: tuple[int, int]
) -> None:
    module = networks.build(student(tmp_path, "pruned", "pictures", keep=keep), IMAGES)
    shapes = {name.rpartition("network.")[2]: tuple(p.shape) for name, p in module.named_parameters()}
    one, two = channels
    assert shapes["one.weight"][0] == shapes["norm.weight"][0] == one
    assert shapes["two.weight"][:2] == (two, one) and shapes["head.weight"] == (3, two)
    loss = networks.forward(module, {"image": torch.randn(4, 3, 16, 16)}, IMAGES)["logits"].square().sum()
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())


@pruning
def test_the_largest_weights_stay(tmp_path: Path) -> None:
    whole = student(tmp_path, "pruned", "pictures", keep=0.5)
    module = networks.build(whole, IMAGES)
    teacher = derived.network(
        ({"name": "torch", "make": "my_net:pictures"},),
        {"teacher.0.make": tmp_path / "my_net.py"},
        IMAGES.inputs,
        OUTPUTS,
    )
    first = next(p for name, p in teacher.named_parameters() if "one.weight" in name)
    kept = next(p for name, p in module.named_parameters() if "one.weight" in name)
    rows = {tuple(row.flatten().tolist()) for row in first.detach()}
    assert all(tuple(row.flatten().tolist()) in rows for row in kept.detach()), "its own weights, not new ones"
    again = networks.build(whole, IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_a_teacher_that_is_no_torch_network_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npz"
    torch.save({}, path)
    with pytest.raises(UsageError):
        derived.network(({"name": "saved", "file": str(path)},), {"teacher.0.file": path}, WORDS.inputs, OUTPUTS)
    with pytest.raises(UsageError, match="no teacher"):
        derived.network((), {}, WORDS.inputs, OUTPUTS)


class Stacks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block = [nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)]
        self.body = nn.Sequential(nn.Sequential(nn.Linear(2, 4)), *block, nn.Sequential(nn.Linear(4, 4), nn.Tanh()))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_a_stack_is_a_run_of_equal_blocks() -> None:
    ((container, run),) = derived.stacks(Stacks())
    assert isinstance(container, nn.Sequential) and run == [1, 2, 3]


def test_a_recipe_gives_a_student_of_the_teacher_its_teacher(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(NET)
    page = tmp_path / "recipe.toml"
    page.write_text(
        '[data]\nname = "fashion-mnist"\n[teacher]\nmake = "my_net:pictures"\n[student]\nfamily = "convnet"\n'
        'also = ["shallow"]\nimage = { size = 28 }\n'
    )
    plan = load_plan(page, Flags(target=("tflite",)))
    assert plan.student is not None and "teacher" not in plan.student.family.settings
    (also,) = plan.student.also
    assert also.settings["teacher"] == [{"name": "torch", "make": "my_net:pictures"}]
    assert set(also.files) == {"teacher.0.make"}
    page.write_text(page.read_text().replace("shallow", "shalow"))
    with pytest.raises(UsageError, match="shallow"):
        load_plan(page, Flags(target=("tflite",)))


def test_where_the_teachers_file_is_does_not_count_but_what_is_in_it(tmp_path: Path) -> None:
    step = Export(source=student(tmp_path, "shallow", "reader"), splits=SPLITS)
    (tmp_path / "moved").mkdir()
    moved = Export(source=student(tmp_path / "moved", "shallow", "reader"), splits=SPLITS)
    assert key(step) == key(moved)
    assert ("teachers", "torch") in step.plugins()
    other = step.source.family.files["teacher.0.make"].model_copy(update={"sha256": "2"})  # type: ignore[union-attr]
    family = step.source.family.model_copy(update={"files": {"teacher.0.make": other}})  # type: ignore[union-attr]
    changed = step.model_copy(update={"source": step.source.model_copy(update={"family": family})})
    assert key(changed) != key(step)
