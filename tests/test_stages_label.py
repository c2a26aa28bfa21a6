"""Soft targets are what the teacher says, of every view, and a teacher that does not fit the data is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekd import files as digests
from edgekd.errors import UsageError
from edgekd.nets import networks
from edgekd.results import Checkpoint, File, SoftTargets, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Choice, Image, Teacher, UserFile
from edgekd.stages import label
from edgekd.steps import Label
from tests import learnable

IMAGE = Image(size=12, channels="gray", mean=(0.3,), std=(0.2,))
SEEN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=3, scale=1.0, flat=False):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.scale, self.flat = nn.Linear(144, classes), scale, flat

    def forward(self, image):
        logits = self.scale * self.layer(image.flatten(1))
        return logits * 0 + 1 if self.flat else logits

class Sides(nn.Module):
    def __init__(self, blind=False):
        super().__init__()
        self.blind = blind

    def forward(self, image):
        left, right = image[..., :8].mean((1, 2, 3)), image[..., 8:].mean((1, 2, 3))
        if self.blind:
            left, right = left + right, image.flatten(1).std(1) - 9
        return torch.stack((left, right, torch.full_like(left, -9.0)), 1)

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.layer = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, ids, mask):
        x = self.embed(ids) * mask.unsqueeze(2)
        return {"logits": self.layer(x.sum(1) / mask.sum(1, keepdim=True))}
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label.os, "cpu_count", lambda: 1)


def teacher(folder: Path, member: str = "Net", image: Image | None = IMAGE, **arguments: object) -> Teacher:
    (folder / "my_net.py").write_text(SEEN)
    files = {"make": UserFile(path=str(folder / "my_net.py"), sha256="")}
    settings = {"make": f"my_net:{member}", "arguments": arguments}
    return Teacher(source=Choice(name="torch", settings=settings, files=files), image=image)


def ask(folder: Path, splits: Splits, who: Teacher, **more: object) -> tuple[SoftTargets, dict[str, np.ndarray]]:
    """The stage's answer and its arrays by part."""
    out = learnable.workspace(folder)
    found = label.run(Label(teacher=who, splits=splits, **{"views": 3, "seed": 4, **more}), out)
    files = {"train": found.train, **found.parts}
    return found, {part: np.load(out.path(file.name)) for part, file in files.items()}


def live(folder: Path, splits: Splits, who: Teacher, part: str, view: int, seed: int = 4) -> np.ndarray:
    """What the teacher says now, sample by sample, of one view of a part."""
    out = learnable.workspace(folder)
    signature = networks.signature(splits, who.image, out)
    kind, settings = networks.configured("teachers", who.source)
    oracle = kind.load(settings, networks.paths(who.source), signature, False)
    feed = Feed(out, splits, part, signature, augment=view > 0, seed=seed)
    return np.concatenate([oracle.outputs(feed.batch([row], view), np.array([row]), part) for row in range(feed.count)])


def refusal(folder: Path, splits: Splits, who: Teacher) -> str:
    with pytest.raises(UsageError) as caught:
        ask(folder, splits, who)
    return str(caught.value)


def test_cached_outputs_equal_live_ones_in_every_view(tmp_path: Path) -> None:
    splits, who = learnable.images(tmp_path / "entries"), teacher(tmp_path)
    found, arrays = ask(tmp_path, splits, who)
    assert (found.views, found.seed) == (3, 4)
    assert found.seconds_per_view > 0
    assert arrays["train"].dtype == np.float16
    assert arrays["train"].shape == (3, 160, 3)
    for view in range(3):
        np.testing.assert_allclose(
            arrays["train"][view], live(tmp_path, splits, who, "train", view), rtol=2e-3, atol=1e-3
        )
    assert not np.array_equal(arrays["train"][0], arrays["train"][1])
    for part in ("calibration", "validation", "test"):
        assert arrays[part].dtype == np.float32
        np.testing.assert_allclose(arrays[part], live(tmp_path, splits, who, part, 0), rtol=1e-5, atol=1e-5)


def test_pieces_do_not_matter_and_the_same_step_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits, who = learnable.images(tmp_path / "entries"), teacher(tmp_path)
    first, whole = ask(tmp_path, splits, who)
    again, _ = ask(tmp_path, splits, who)
    assert again.train.sha256 == first.train.sha256
    assert again.parts == first.parts
    monkeypatch.setattr(label, "CHUNK", 7)
    _, pieces = ask(tmp_path, splits, who)
    np.testing.assert_allclose(pieces["train"], whole["train"], rtol=2e-3, atol=1e-3)


def test_without_augmentation_there_is_one_view(tmp_path: Path) -> None:
    splits = learnable.images(tmp_path / "entries")
    found, arrays = ask(tmp_path, splits, teacher(tmp_path), augment=False)
    assert found.views == 1
    assert arrays["train"].shape == (1, 160, 3)


def test_where_left_and_right_matter_views_need_not_be_mirrored(tmp_path: Path) -> None:
    splits, who = learnable.images(tmp_path / "entries"), teacher(tmp_path)
    found, arrays = ask(tmp_path, splits, who, mirror=False)
    assert (found.mirror, found.mirror_loss) == (False, None)
    out = learnable.workspace(tmp_path)
    feed = Feed(out, splits, "train", networks.signature(splits, who.image, out), augment=True, seed=4, mirror=False)
    kind, settings = networks.configured("teachers", who.source)
    oracle = kind.load(settings, networks.paths(who.source), networks.signature(splits, who.image, out), False)
    now = oracle.outputs(feed.batch(np.arange(160), 2), np.arange(160), "train")
    np.testing.assert_allclose(arrays["train"][2], now, rtol=2e-3, atol=1e-3)


def test_a_teacher_that_takes_mirrored_images_for_others_is_told(tmp_path: Path) -> None:
    entries, pixels = tmp_path / "entries", {}
    for part, count in learnable.COUNTS.items():
        images = np.zeros((count, 16, 16, 1), np.uint8)
        images[::2, :, 1:7], images[1::2, :, 9:15] = 200, 200
        pixels[part] = {"image": images}
    labels = {part: np.arange(count) % 3 for part, count in learnable.COUNTS.items()}
    sides = learnable.split(entries, pixels, labels, canvas=16, channels="gray")
    found, _ = ask(tmp_path, sides, teacher(tmp_path, "Sides"))
    assert found.mirror_loss is not None and found.mirror_loss > 0.9
    found, _ = ask(tmp_path, sides, teacher(tmp_path, "Sides", blind=True))
    assert found.mirror_loss is not None and abs(found.mirror_loss) < 0.05


def test_ids_and_a_mask(tmp_path: Path) -> None:
    splits, who = learnable.tokens(tmp_path / "entries"), teacher(tmp_path, "Words", image=None)
    found, arrays = ask(tmp_path, splits, who)
    assert found.views == 1
    np.testing.assert_allclose(arrays["train"][0], live(tmp_path, splits, who, "train", 0), rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(arrays["test"], live(tmp_path, splits, who, "test", 0), rtol=1e-5, atol=1e-6)


def numbered(folder: Path, splits: Splits, read: int | None = None) -> Splits:
    """The splits with the samples' numbers in the source: a held-out order of 216, and 16 test samples of its own."""
    order, start, parts = np.random.default_rng(3).permutation(216), 0, {}
    for part, files in splits.parts.items():
        rows = np.arange(files.count) if part == "test" else order[start : start + files.count]
        start += 0 if part == "test" else files.count
        kept = learnable.store(folder / "entries", f"{part}-rows.npy", rows.astype(np.int64))
        parts[part] = files.model_copy(update={"rows": kept})
    return splits.model_copy(update={"parts": parts, "read": read})


def saved(folder: Path, train: int = 216) -> tuple[Teacher, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    arrays = random.normal(size=(train, 3)).astype(np.float32), random.normal(size=(16, 3)).astype(np.float32)
    np.savez(folder / "o.npz", train=arrays[0], test=arrays[1])
    file = UserFile(path=str(folder / "o.npz"), sha256="")
    return Teacher(source=Choice(name="saved", settings={"file": "o.npz"}, files={"file": file})), *arrays


def test_saved_outputs_go_to_their_own_samples(tmp_path: Path) -> None:
    splits = numbered(tmp_path, learnable.images(tmp_path / "entries"), read=232)
    who, train, test = saved(tmp_path)
    found, arrays = ask(tmp_path, splits, who)
    assert found.views == 1
    out = learnable.workspace(tmp_path)
    for part in ("calibration", "validation"):
        np.testing.assert_array_equal(arrays[part], train[out.load(splits.parts[part].rows)])
    np.testing.assert_array_equal(arrays["train"][0], train[out.load(splits.parts["train"].rows)].astype(np.float16))
    np.testing.assert_array_equal(arrays["test"], test)


def test_saved_outputs_of_other_data_are_refused(tmp_path: Path) -> None:
    plain = learnable.images(tmp_path / "entries")
    message = refusal(tmp_path, numbered(tmp_path, plain, read=232), saved(tmp_path, train=217)[0])
    assert "233 outputs were saved, but the data has 232 samples" in message
    assert "not numbered" in refusal(tmp_path, plain, saved(tmp_path)[0])
    assert "has 100 outputs of train" in refusal(tmp_path, numbered(tmp_path, plain), saved(tmp_path, train=100)[0])


def test_a_teacher_of_other_classes_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, learnable.images(tmp_path / "entries"), teacher(tmp_path, classes=5))
    assert message.startswith("teacher: knows 5 classes, but the data has 3")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"scale": float("nan")}, "not finite numbers for 160 of 160 samples"),
        ({"flat": True}, "gives the same outputs"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, arguments: dict, says: str) -> None:
    assert says in refusal(tmp_path, learnable.images(tmp_path / "entries"), teacher(tmp_path, **arguments))


def test_huge_logits_stay_finite_in_float16(tmp_path: Path) -> None:
    _, arrays = ask(tmp_path, learnable.images(tmp_path / "entries"), teacher(tmp_path, scale=1e6))
    assert np.isfinite(arrays["train"]).all()
    assert np.abs(arrays["train"]).max() == np.finfo(np.float16).max


def test_progress_tells_the_rate(tmp_path: Path) -> None:
    ask(tmp_path, learnable.images(tmp_path / "entries"), teacher(tmp_path), augment=False)
    text = (tmp_path / "work" / "progress.json").read_text()
    assert '"done": 1.0' in text
    assert "232 of 232 samples labelled" in text


def test_all_cores_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    monkeypatch.setattr(label.os, "cpu_count", lambda: 6)
    ask(tmp_path, learnable.images(tmp_path / "entries"), teacher(tmp_path), augment=False)
    assert seen == [6]


def test_a_trained_student_teaches_as_a_teacher_does(tmp_path: Path) -> None:
    splits, network = learnable.images(tmp_path / "entries"), learnable.bars(width=4, depth=1)
    out = learnable.workspace(tmp_path, "trained")
    signature = networks.signature(splits, network.image, out)
    torch.manual_seed(3)
    module = networks.build(network, signature)
    folder = tmp_path / "entries" / learnable.ENTRY[:2] / learnable.ENTRY
    save_file(module.state_dict(), folder / "weights.safetensors")
    digest = digests.digest(folder / "weights.safetensors")
    weights = File(entry=learnable.ENTRY, name="weights.safetensors", sha256=digest, size=1)
    student = Checkpoint(architecture=network, weights=weights, validation_accuracy=0.5)
    found = label.run(Label(teacher=student, splits=splits, views=2, seed=4), learnable.workspace(tmp_path))
    assert found.views == 2
    feed = Feed(out, splits, "test", signature, augment=False, seed=4)
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(feed.batch(np.arange(feed.count))["image"]))["logits"].numpy()
    np.testing.assert_allclose(np.load(tmp_path / "work" / found.parts["test"].name), expected, rtol=1e-4, atol=1e-5)


def test_an_ensemble_learns_its_shares_on_the_validation_samples(tmp_path: Path) -> None:
    splits, one = learnable.images(tmp_path / "entries"), teacher(tmp_path).source
    members = [{"name": "torch", **one.settings}, {"name": "torch", "make": "my_net:Net", "arguments": {"scale": -1.0}}]
    pinned = {f"members.{i}.make": one.files["make"] for i in range(2)}
    settings = {"members": members, "shares": "learned"}
    who = Teacher(source=Choice(name="ensemble", settings=settings, files=pinned), image=IMAGE)
    found, arrays = ask(tmp_path, splits, who)
    assert len(found.shares) == 2 and sum(found.shares) == pytest.approx(1, abs=1e-5)
    alone = [
        np.load(tmp_path / f"{i}" / "validation.npy")
        for i in range(2)
        if label.run(
            Label(teacher=teacher(tmp_path, **members[i].get("arguments", {})), splits=splits, views=1),
            learnable.workspace(tmp_path, str(i)),
        )
    ]
    chance = [np.exp(each) / np.exp(each).sum(1, keepdims=True) for each in alone]
    mixed = found.shares[0] * chance[0] + found.shares[1] * chance[1]
    np.testing.assert_allclose(arrays["validation"], np.log(np.maximum(mixed, 1e-12)), rtol=1e-3, atol=1e-3)
