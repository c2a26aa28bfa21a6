"""A teacher is tried on the data: each fault is planted alone, found, named, and nothing else is found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import UsageError
from edgekd.keys import key
from edgekd.results import Tried
from edgekd.samples.guesses import IMAGENET_MEAN, IMAGENET_STD
from edgekd.spec import Choice, Data, Image, Teacher, UserFile
from edgekd.stages import tryout
from edgekd.steps import TryOut
from edgekd.workspace import Workspace
from tests import colours, learnable

IMAGENET = Image(size=16, mean=IMAGENET_MEAN, std=IMAGENET_STD)
BYTES = Image(size=16, mean=(0.0,), std=(1 / 255,))
BGR = Image(size=16, channels="bgr", mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])
GRAY = Image(size=16, channels="gray", mean=(0.286,), std=(0.353,))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tryout.os, "cpu_count", lambda: 1)


@dataclass(frozen=True)
class Material:
    """Photos, my_net.py, and its weights for images as ImageNet's, as bgr and as gray."""

    folder: Path

    def weights(self, name: str) -> Path:
        return self.folder / f"{name}.pt"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("colours")
    torch.set_num_threads(1)
    colours.photos(folder / "photos")
    for name, image in (("rgb", IMAGENET), ("bgr", BGR), ("gray", GRAY)):
        colours.learnt(folder / f"{name}.pt", image)
    return Material(folder)


def pinned(path: Path) -> UserFile:
    return UserFile(path=str(path), sha256="0")


def photos(material: Material) -> Data:
    place = material.folder / "photos"
    return Data(source=Choice(name="folder", settings={"folder": str(place)}, files={"folder": pinned(place)}))


def net(material: Material, weights: Path | None, image: Image, member: str = "build", **arguments: object) -> Teacher:
    files = {"make": pinned(material.folder / "my_net.py")} | ({"weights": pinned(weights)} if weights else {})
    settings = {"make": f"my_net:{member}", "arguments": arguments} | ({"weights": str(weights)} if weights else {})
    return Teacher(source=Choice(name="torch", settings=settings, files=files), image=image)


def ask(tmp_path: Path, data: Data, teacher: Teacher, name: str = "work") -> Tried:
    (tmp_path / name).mkdir(exist_ok=True)
    return tryout.run(TryOut(data=data, teacher=teacher), Workspace(tmp_path / name, tmp_path / "entries", "ab"))


def abouts(tried: Tried) -> list[str]:
    return [finding.about for finding in tried.findings]


def test_a_teacher_that_is_used_as_it_was_trained_has_no_fault(material: Material, tmp_path: Path) -> None:
    tried = ask(tmp_path, photos(material), net(material, material.weights("rgb"), IMAGENET))
    assert tried.findings == () and tried.order == () and tried.image == IMAGENET and tried.chosen == 0
    assert tried.samples == 300 and tried.classes == colours.CLASSES
    first = tried.attempts[0]
    assert first.accuracy.value > 0.9 and first.accuracy.low < first.accuracy.value < first.accuracy.high
    assert tryout.SIZE_NOTE in tried.notes
    assert ask(tmp_path, photos(material), net(material, material.weights("rgb"), IMAGENET)) == tried


def test_a_wrong_mean_and_std_are_named_with_both_accuracies(material: Material, tmp_path: Path) -> None:
    tried = ask(tmp_path, photos(material), net(material, material.weights("rgb"), BYTES))
    assert abouts(tried) == ["mean and std"]
    assert tried.image and tried.image.channels == "rgb" and tried.chosen is not None
    message, fix = tried.findings[0].message, tried.findings[0].fix
    before, after = tried.attempts[0].accuracy, tried.attempts[tried.chosen].accuracy
    assert before.high < after.low and after.value > 0.9
    assert f"with values from 0 to 255 {100 * before.value:.0f} %" in message
    assert f"{100 * after.value:.0f} % (" in message and f"mean = {list(tried.image.mean)}" in fix


def test_swapped_channels_are_named_and_mean_and_std_go_along(material: Material, tmp_path: Path) -> None:
    tried = ask(tmp_path, photos(material), net(material, material.weights("bgr"), IMAGENET))
    assert abouts(tried) == ["channels"] and tried.image == BGR and tried.order == ()
    assert tried.findings[0].message.startswith("channels are bgr: with rgb ")
    assert 'channels = "bgr", mean = [0.406, 0.456, 0.485]' in tried.findings[0].fix


def test_a_gray_teacher_is_found_by_what_it_runs_on(material: Material, tmp_path: Path) -> None:
    told = ask(tmp_path, photos(material), net(material, material.weights("gray"), GRAY, "gray"))
    assert told.findings == () and told.image == GRAY
    tried = ask(tmp_path, photos(material), net(material, material.weights("gray"), IMAGENET, "gray"))
    assert abouts(tried)[0] == "channels" and "cannot run on rgb images" in tried.findings[0].message
    assert tried.image and tried.image.channels == "gray" and tried.chosen is not None
    assert {a.image.channels for a in tried.attempts if a.image} == {"gray"}
    best = tried.attempts[tried.chosen].accuracy.value
    assert best == max(a.accuracy.value for a in tried.attempts if a.samples == tried.samples)


def test_classes_in_another_order_are_named_and_put_right(material: Material, tmp_path: Path) -> None:
    order = ("sea", "sand", "brick", "leaf", "night", "rose")
    state = torch.load(material.weights("rgb"), weights_only=True)
    rows = torch.tensor([colours.CLASSES.index(name) for name in order])
    turned = {name: value[rows] if name.startswith("head") else value for name, value in state.items()}
    torch.save(turned, tmp_path / "turned.pt")
    teacher = net(material, tmp_path / "turned.pt", IMAGENET)
    tried = ask(tmp_path, photos(material), teacher)
    assert abouts(tried) == ["classes"] and tried.order == order and tried.image == IMAGENET
    assert "output 0 is 'sea', not 'brick'" in tried.findings[0].message
    assert tried.attempts[0].accuracy.value < 0.1
    data = photos(material)
    source = data.source.model_copy(update={"settings": data.source.settings | {"classes": list(tried.order)}})
    again = ask(tmp_path, data.model_copy(update={"source": source}), teacher)
    assert again.findings == () and again.classes == order and again.attempts[0].accuracy.value > 0.9


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_teacher_that_knows_nothing_is_no_better_than_chance(
    material: Material, tmp_path: Path, scale: float
) -> None:
    state = torch.load(colours.learnt(tmp_path / "no.pt", IMAGENET, rounds=0), weights_only=True)
    torch.save({name: value * scale for name, value in state.items()}, tmp_path / "no.pt")
    tried = ask(tmp_path, photos(material), net(material, tmp_path / "no.pt", IMAGENET))
    assert abouts(tried) == ["accuracy"] and tried.chosen is None and tried.image == IMAGENET
    assert "by chance, under any of the usual settings: at best " in tried.findings[0].message
    assert {attempt.samples for attempt in tried.attempts} == {300}


def test_a_size_at_which_it_cannot_run_is_found(material: Material, tmp_path: Path) -> None:
    given = IMAGENET.model_copy(update={"size": 100})
    tried = ask(tmp_path, photos(material), net(material, None, given, "build", side=32))
    assert abouts(tried)[0] == "size" and tried.image and tried.image.size == 32
    assert "cannot run on images of 100 pixels" in tried.findings[0].message
    nowhere = ask(tmp_path, photos(material), net(material, None, given, "build", side=40))
    assert abouts(nowhere) == ["size"] and "cannot be multiplied" in nowhere.findings[0].message
    assert nowhere.image == given and nowhere.attempts == ()


def test_other_classes_and_too_few_samples_are_said(material: Material, tmp_path: Path) -> None:
    tried = ask(tmp_path, photos(material), net(material, None, IMAGENET, "thousand"))
    assert abouts(tried) == ["outputs"] and "knows 1000 classes, but the data has 6" in tried.findings[0].message
    np.savez(tmp_path / "few.npz", x=np.zeros((9, 16, 16, 3), np.uint8), y=np.arange(9) % 6)
    tried = ask(tmp_path, arrays(tmp_path / "few.npz"), net(material, material.weights("rgb"), IMAGENET))
    assert abouts(tried) == ["accuracy"] and "there are 9 labelled samples" in tried.findings[0].message


@pytest.mark.parametrize("fault", ["member", "weights"])
def test_a_teacher_that_cannot_be_loaded_is_a_mistake(material: Material, tmp_path: Path, fault: str) -> None:
    wrong = net(material, material.weights("gray" if fault == "weights" else "rgb"), IMAGENET)
    if fault == "member":
        settings = wrong.source.settings | {"make": "my_net:biuld"}
        wrong = wrong.model_copy(update={"source": wrong.source.model_copy(update={"settings": settings})})
    with pytest.raises(UsageError, match="Did you mean 'build'" if fault == "member" else "first"):
        ask(tmp_path, photos(material), wrong)


def arrays(path: Path) -> Data:
    return Data(source=Choice(name="arrays", settings={"train": str(path)}, files={"train": pinned(path)}))


def test_a_black_box_in_onnx_is_tried_too(material: Material, tmp_path: Path) -> None:
    """The nearest of the six colours, on bgr values from 0 to 255: a linear function of the mean colour."""
    paints = np.array(list(colours.PAINTS.values()), np.float32)[:, ::-1]
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(2 * paints.T), "w"),
        numpy_helper.from_array(-(paints**2).sum(1), "b"),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["logits"]),
    ]
    shapes = {"image": ["n", 3, 32, 32], "logits": ["n", 6]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "nearest", ends[:1], ends[1:], weights)
    path = tmp_path / "teacher.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    source = Choice(name="onnx", settings={"file": str(path)}, files={"file": pinned(path)})
    pixels, labels = colours.images()
    np.savez(tmp_path / "data.npz", x=pixels, y=labels)
    given = IMAGENET.model_copy(update={"size": 224})
    tried = ask(tmp_path, arrays(tmp_path / "data.npz"), Teacher(source=source, image=given))
    assert abouts(tried) == ["size", "mean and std", "channels"]
    assert tried.image == BYTES.model_copy(update={"size": 32, "channels": "bgr"})
    assert tried.chosen is not None and tried.attempts[tried.chosen].accuracy.value > 0.9


def test_words_and_a_mask_are_tried_as_they_are(material: Material, tmp_path: Path) -> None:
    (tmp_path / "my_words.py").write_text(
        "import torch\n\nclass Counts(torch.nn.Module):\n"
        "    def forward(self, ids, mask):\n"
        "        return torch.stack([((ids == (n + 1) % 3) * mask).sum(1).float() for n in range(3)], 1)\n"
    )
    splits = learnable.tokens(tmp_path / "entries")
    stored, out = splits.parts["train"], learnable.workspace(tmp_path)
    samples = {name: np.array(out.load(file)) for name, file in stored.inputs.items()}
    np.savez(tmp_path / "words.npz", **samples, y=np.array(out.load(stored.labels)))
    files = {"make": pinned(tmp_path / "my_words.py")}
    teacher = Teacher(source=Choice(name="torch", settings={"make": "my_words:Counts"}, files=files))
    tried = ask(tmp_path, arrays(tmp_path / "words.npz"), teacher)
    assert abouts(tried) == ["classes"] and tried.order == ("1", "2", "0") and tried.image is None
    assert [a.image for a in tried.attempts] == [None] and "numpy.array([2, 0, 1])[y]" in tried.findings[0].fix


def test_saved_outputs_cannot_be_tried(material: Material, tmp_path: Path) -> None:
    np.savez(tmp_path / "saved.npz", train=np.zeros((300, 6), np.float32))
    file = pinned(tmp_path / "saved.npz")
    source = Choice(name="saved", settings={"file": file.path}, files={"file": file})
    tried = ask(tmp_path, photos(material), Teacher(source=source, image=IMAGENET))
    assert tried.attempts == () and tried.findings == () and "cannot be tried" in tried.notes[0]


def test_the_step_names_what_it_depends_on(material: Material) -> None:
    step = TryOut(data=photos(material), teacher=net(material, None, IMAGENET))
    assert step.plugins() == (("datasets", "folder"), ("teachers", "torch"))
    assert key(step) != key(step.model_copy(update={"teacher": net(material, None, BGR)}))
