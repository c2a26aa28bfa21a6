"""Counting: every student of a family with its exact size, and the teacher's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekd.nets import networks
from edgekd.results import Option, Size
from edgekd.spec import Architecture, Choice, Image, Student, Teacher, UserFile
from edgekd.stages import count
from edgekd.steps import Count
from tests import learnable


def images(folder: Path, teacher: Teacher | None = None, search: bool = True, **settings: int) -> Count:
    splits = learnable.images(folder / "entries")
    family = Choice(name="convnet", settings=settings)
    return Count(student=Student(family=family, image=learnable.IMAGE, search=search), teacher=teacher, splits=splits)


def test_options_are_sorted_exact_and_rebuildable(tmp_path: Path) -> None:
    out = learnable.workspace(tmp_path)
    step = images(tmp_path)
    counted = count.run(step, out)
    sizes = [(option.size.macs, option.size.params) for option in counted.options]
    assert sizes == sorted(sizes) and 60 <= len(sizes) <= 200 and counted.teacher is None
    signature = networks.signature(step.splits, learnable.IMAGE, out)
    for option in (counted.options[0], counted.options[len(sizes) // 2]):
        assert option.architecture.image == learnable.IMAGE
        network = networks.build(option.architecture, signature)
        assert sum(p.numel() for p in network.parameters()) == option.size.params


@pytest.mark.parametrize(("own", "sides"), [(64, {64, 48, 32}), (56, {56}), (48, {48})])
def test_smaller_images_are_tried_where_their_size_is_the_teachers(tmp_path: Path, own: int, sides: set[int]) -> None:
    splits = learnable.images(tmp_path / "entries")
    student = Student(family=Choice(name="convnet", settings={"depth": 1}), image=Image(size=own, channels="gray"))
    seen = Image(size=64 if own == 48 else own, channels="gray")
    step = Count(student=student, teacher=Teacher(source=Choice(name="saved"), image=seen), splits=splits)
    out = learnable.workspace(tmp_path)
    options = count._options(step, student, out)
    assert {option.architecture.image.size for option in options if option.architecture.image} == sides
    assert all(o.work and o.architecture.image and o.work.resolution == o.architecture.image.size for o in options)


PATCHES = """
from torch import nn


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.cut, self.head = nn.Conv2d(1, 4, 8, 8), nn.Linear(4, 3)

    def forward(self, x):
        assert x.shape[-1] in SIDES, "wrong image size"
        return self.head(self.cut(x).mean((2, 3)))


def build():
    return Patches()
"""


def patches(folder: Path, sides: tuple[int, ...], **student: bool) -> Count:
    """A student of the user's own, of a size that is the teacher's, which takes images of these sizes only."""
    path = folder / "my_net.py"
    path.write_text(PATCHES + f"\nSIDES = {sides}\n")
    family = Choice(
        name="module",
        settings={"make": "my_net:build"},
        files={"make": UserFile(path=str(path), sha256="1", member="build")},
    )
    image = Image(size=64, channels="gray")
    splits = learnable.images(folder / "entries")
    teacher = Teacher(source=Choice(name="saved"), image=image)
    return Count(student=Student(family=family, image=image, **student), teacher=teacher, splits=splits)


def options(step: Count, folder: Path) -> list[Option]:
    assert step.student is not None
    return count._options(step, step.student, learnable.workspace(folder))


@pytest.mark.parametrize("sides", [(64,), (64, 32)])
def test_a_network_that_takes_one_size_only_is_no_student_of_others(tmp_path: Path, sides: tuple[int, ...]) -> None:
    found = options(patches(tmp_path, sides), tmp_path)
    assert sorted(o.architecture.image.size for o in found if o.architecture.image) == sorted(sides)


def test_a_network_that_fails_at_its_own_size_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="wrong image size"):
        options(patches(tmp_path, (48, 32)), tmp_path)


def test_a_size_that_was_written_stays(tmp_path: Path) -> None:
    found = options(patches(tmp_path, (64, 48, 32), sized=True), tmp_path)
    assert [option.architecture.image.size for option in found if option.architecture.image] == [64]


def test_what_the_user_set_is_kept(tmp_path: Path) -> None:
    counted = count.run(images(tmp_path, width=8, depth=2), learnable.workspace(tmp_path))
    found = [option.architecture.family.settings for option in counted.options]
    assert {(settings["width"], settings["depth"]) for settings in found} == {(8, 2)} and len(found) == 3


def test_without_a_search_there_is_one_student_as_written(tmp_path: Path) -> None:
    counted = count.run(images(tmp_path, search=False, width=4, depth=1), learnable.workspace(tmp_path))
    (option,) = counted.options
    assert option.architecture == Architecture(
        family=Choice(name="convnet", settings={"width": 4, "depth": 1}), image=learnable.IMAGE
    )
    # 16 pixels: stem 1->4 at 8x8, then depthwise 4 and pointwise 4->8 at 4x4, head 8->3; norms have two each
    by_hand = Size(params=36 + 8 + 36 + 8 + 32 + 16 + 27, macs=64 * 36 + 16 * (36 + 32) + 24)
    assert option.size == by_hand


def test_a_users_own_network_over_ids_and_a_mask(tmp_path: Path) -> None:
    splits = learnable.tokens(tmp_path / "entries")
    own = learnable.reader(tmp_path)
    for search in (True, False):
        step = Count(student=Student(family=own.family, search=search), teacher=None, splits=splits)
        (option,) = count.run(step, learnable.workspace(tmp_path)).options
        assert option.architecture.family.files == own.family.files
        # two projections, scores and their sums over 12 tokens of 8, and the head
        assert option.size == Size(params=160 + 2 * 72 + 27, macs=2 * 12 * 64 + 2 * 12 * 12 * 8 + 24)


def test_the_teachers_own_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    splits = learnable.images(tmp_path / "entries")
    signature = networks.signature(splits, learnable.IMAGE, learnable.workspace(tmp_path))
    family = Choice(name="convnet", settings={"width": 8})
    network = networks.build(Architecture(family=family), signature)
    save_file(network.state_dict(), tmp_path / "teacher.safetensors")
    source = Choice(
        name="torch",
        settings={"family": "convnet", "axes": {"width": 8}, "weights": "teacher.safetensors"},
        files={"weights": UserFile(path=str(tmp_path / "teacher.safetensors"), sha256="0")},
    )
    step = images(tmp_path, Teacher(source=source, image=learnable.IMAGE), search=False, width=8)
    counted = count.run(step, learnable.workspace(tmp_path))
    assert counted.teacher == counted.options[0].size
    assert counted.teacher is not None and counted.teacher.params == sum(p.numel() for p in network.parameters())


def test_a_teacher_of_saved_outputs_has_no_size(tmp_path: Path) -> None:
    np.savez(tmp_path / "outputs.npz", train=np.zeros((300, 3), np.float32))
    file = UserFile(path=str(tmp_path / "outputs.npz"), sha256="0")
    source = Choice(name="saved", settings={"file": "outputs.npz"}, files={"file": file})
    step = images(tmp_path, Teacher(source=source, image=learnable.IMAGE), search=False)
    assert count.run(step, learnable.workspace(tmp_path)).teacher is None


def test_progress_is_told(tmp_path: Path) -> None:
    count.run(images(tmp_path, search=False), learnable.workspace(tmp_path))
    assert (tmp_path / "work" / "progress.json").is_file()
