"""Export: the right network, in eval mode, for any batch where that is so; torch's own outputs beside it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekd.errors import UsageError
from edgekd.nets import networks, programs, untrained
from edgekd.results import Checkpoint, Program
from edgekd.spec import Architecture, Choice, Image, Teacher, UserFile
from edgekd.stages import export
from edgekd.steps import Export
from edgekd.workspace import Workspace
from tests import converted as toy
from tests import learnable

RESNET = Architecture(family=Choice(name="resnet", settings={"width": 4}), image=toy.IMAGE)
MORE = """
import numpy, torch
from torch import nn

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(256, 3)
    def forward(self, image):
        return self.head(image.view(1, 256))

class Mixed(nn.Module):
    "Every sample's output depends on the others of its batch."
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(256, 3)
    def forward(self, image):
        return self.head(image.flatten(1) - image.flatten(1).mean(0))

class Branch(Fixed):
    def forward(self, image):
        return self.head(image.flatten(1)) if image.sum() > 0 else self.head(-image.flatten(1))

class Tuple(Fixed):
    def forward(self, image):
        return self.head(image.flatten(1)), image.mean()

class Wide(nn.Module):
    def forward(self, image):
        return {"logits": image.flatten(1)}

class Lost(Fixed):
    def forward(self, image):
        return self.head(image.flatten(1)) / 0
"""


def run(folder: Path, source: Checkpoint | Architecture | Teacher, seed: int = 0, words: bool = False) -> Program:
    entries = folder / "entries"
    data = learnable.tokens(entries) if words else learnable.images(entries)
    return export.run(Export(source=source, splits=data, seed=seed), toy.entry(folder, f"{source} {seed}"))


def mine(folder: Path, name: str) -> Architecture:
    path = folder / "more.py"
    path.write_text(MORE)
    file = UserFile(path=str(path), sha256="")
    choice = Choice(name="module", settings={"make": f"more:{name}"}, files={"make": file})
    return Architecture(family=choice, image=toy.IMAGE)


def checkpoint(folder: Path, architecture: Architecture, seed: int) -> Checkpoint:
    """Random weights as if they had been trained."""
    torch.manual_seed(seed)
    out = toy.entry(folder, f"weights {seed}")
    wanted = networks.signature(learnable.images(folder / "entries"), architecture.image, out)
    network = networks.build(architecture, wanted)
    untrained.unsettle(network)
    save_file(network.state_dict(), out.path("weights.safetensors"))
    return Checkpoint(architecture=architecture, weights=out.file("weights.safetensors"), validation_accuracy=0.5)


def loaded(folder: Path, made: Program) -> torch.nn.Module:
    return programs.load(Workspace(folder, folder / "entries", "").locate(made.file)).module()


def array(folder: Path, made: Program) -> np.ndarray:
    return np.array(Workspace(folder, folder / "entries", "").load(made.reference))


def test_the_program_gives_the_networks_outputs_for_any_batch(tmp_path: Path) -> None:
    made = run(tmp_path, RESNET)
    assert made.file.name == "student.pt2" and not made.trained
    (image,) = made.signature.inputs
    assert image.shape == (-1, 1, 16, 16) and made.signature.outputs[0].shape == (-1, 3)
    assert image.preprocess is not None and image.preprocess.layout == "NCHW" and image.preprocess.mean == (0.3,)
    golden = np.load(Workspace(tmp_path, tmp_path / "entries", "").locate(made.golden), allow_pickle=False)
    assert sorted(golden) == ["input:image", "output:logits", "raw:image"]
    assert golden["raw:image"].shape == (8, 16, 16, 1) and golden["raw:image"].dtype == np.uint8
    prepared = (golden["raw:image"][..., 0] / 255 - 0.3) / 0.25
    np.testing.assert_allclose(golden["input:image"][:, 0], prepared, atol=1e-5)
    reference, network = array(tmp_path, made), loaded(tmp_path, made)
    assert reference.shape == (48, 3) and reference.dtype == np.float32
    np.testing.assert_allclose(golden["output:logits"], reference[:8], atol=1e-6)
    for batch in (1, 3, 8):
        (logits,) = network(torch.tensor(golden["input:image"][:batch]))
        np.testing.assert_allclose(logits.numpy(), reference[:batch], atol=1e-5)


def test_ids_and_a_mask_go_through(tmp_path: Path) -> None:
    made = run(tmp_path, toy.architecture(tmp_path, "Words"), words=True)
    assert [(s.name, s.shape, s.dtype) for s in made.signature.inputs] == [
        ("ids", (-1, 12), "int64"),
        ("mask", (-1, 12), "int64"),
    ]
    assert all(s.preprocess is None for s in made.signature.inputs)
    assert array(tmp_path, made).shape == (48, 3)


def test_sizes_are_exact(tmp_path: Path) -> None:
    made = run(tmp_path, toy.architecture(tmp_path, "ConvNet", toy.IMAGE))
    assert made.size.params == 16 * 9 + 32 + 16 * 9 + 32 + 16 * 3 + 3
    assert made.size.macs == 64 * 16 * 9 + 64 * 16 * 9 + 16 * 3


def test_dropout_is_off_and_only_the_signatures_outputs_are_given(tmp_path: Path) -> None:
    made = run(tmp_path, toy.architecture(tmp_path, "ConvNet", toy.IMAGE))
    network, image = loaded(tmp_path, made), torch.ones(2, 1, 16, 16)
    (once,), (again,) = network(image), network(image)
    assert torch.equal(once, again) and torch.equal(once[0], once[1])


def test_the_seed_decides_untrained_weights_and_nothing_else(tmp_path: Path) -> None:
    one, two, same = run(tmp_path, RESNET, 0), run(tmp_path, RESNET, 1), run(tmp_path / "again", RESNET, 0)
    assert not np.array_equal(array(tmp_path, one), array(tmp_path, two))
    np.testing.assert_array_equal(array(tmp_path, one), array(tmp_path / "again", same))
    assert one.digest == two.digest and one.size == two.size


def test_a_checkpoints_weights_are_used_and_its_graph_is_that_of_the_untrained_network(tmp_path: Path) -> None:
    made = run(tmp_path, trained := checkpoint(tmp_path, RESNET, 7))
    other = run(tmp_path, checkpoint(tmp_path, RESNET, 8))
    before = run(tmp_path, RESNET, 7)
    assert trained.architecture == RESNET and made.trained
    # the family draws its weights from the same seed, so these are the checkpoint's own
    np.testing.assert_array_equal(array(tmp_path, made), array(tmp_path, before))
    assert not np.array_equal(array(tmp_path, made), array(tmp_path, other))
    assert made.digest == before.digest == other.digest


def test_another_architecture_has_another_digest(tmp_path: Path) -> None:
    digests = {
        run(tmp_path, Architecture(family=Choice(name="resnet", settings=settings), image=image)).digest
        for settings, image in (
            ({"width": 4}, toy.IMAGE),
            ({"width": 5}, toy.IMAGE),
            ({"width": 4, "depth": 2}, toy.IMAGE),
            ({"width": 4}, toy.IMAGE.model_copy(update={"size": 12})),
        )
    }
    assert len(digests) == 4


@pytest.mark.parametrize("name", ["Fixed", "Mixed"])
def test_a_network_that_needs_single_samples_gets_a_batch_of_one(tmp_path: Path, name: str) -> None:
    made = run(tmp_path, mine(tmp_path, name))
    assert made.signature.inputs[0].shape[0] == made.signature.outputs[0].shape[0] == 1
    reference = array(tmp_path, made)
    assert reference.shape == (48, 3)
    golden = np.load(Workspace(tmp_path, tmp_path / "entries", "").locate(made.golden), allow_pickle=False)
    assert golden["output:logits"].shape == (8, 3)
    (logits,) = loaded(tmp_path, made)(torch.tensor(golden["input:image"][5:6]))
    np.testing.assert_allclose(logits.numpy(), reference[5:6], atol=1e-5)


def test_a_tuple_is_taken_by_position(tmp_path: Path) -> None:
    assert array(tmp_path, run(tmp_path, mine(tmp_path, "Tuple"))).shape == (48, 3)


@pytest.mark.parametrize(
    "name, message",
    [("Branch", "cannot follow"), ("Wide", "256 classes, but the data has 3"), ("Lost", "not finite")],
)
def test_networks_that_do_not_fit_are_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        run(tmp_path, mine(tmp_path, name))
    assert caught.value.problems[0].where == "student" and caught.value.problems[0].hint


def test_a_teacher_with_a_network_is_exported(tmp_path: Path) -> None:
    weights = checkpoint(tmp_path, RESNET, 7)
    path = Workspace(tmp_path, tmp_path / "entries", "").locate(weights.weights)
    choice = Choice(
        name="torch",
        settings={"family": "resnet", "axes": {"width": 4}, "weights": "teacher.safetensors"},
        files={"weights": UserFile(path=str(path), sha256="")},
    )
    made = run(tmp_path, Teacher(source=choice, image=toy.IMAGE))
    assert made.trained and made.size == run(tmp_path, weights).size
    np.testing.assert_array_equal(array(tmp_path, made), array(tmp_path, run(tmp_path, weights)))


def test_a_teacher_without_a_network_says_why(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npz"
    np.savez(path, train=np.zeros((160, 3), np.float32))
    choice = Choice(name="saved", settings={"file": "outputs.npz"}, files={"file": UserFile(path=str(path), sha256="")})
    with pytest.raises(UsageError, match="cannot be exported"):
        run(tmp_path, Teacher(source=choice, image=Image(size=16, channels="gray")))


def test_the_file_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    made = run(tmp_path, RESNET)
    content = Workspace(tmp_path, tmp_path / "entries", "").locate(made.file).read_bytes()
    assert str(Path.cwd()).encode() not in content and b"site-packages" not in content
    assert json.dumps(str(tmp_path)).encode() not in content


def test_two_fresh_processes_make_the_same_bytes(converted: Callable[[str], Path], tmp_path: Path) -> None:
    first = converted("program")
    command = [sys.executable, "-m", "tests.converted", str(tmp_path), "program"]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    for net in ("images", "words"):
        assert toy.program(first, net) == toy.program(tmp_path, net)
