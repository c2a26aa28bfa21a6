"""The split as a step: files, digests, order, determinism, with images and without."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from edgekd import files
from edgekd.errors import UsageError
from edgekd.results import File, Signature, Splits, TensorSpec
from edgekd.samples.views import Feed
from edgekd.spec import Choice, Data, Image, UserFile
from edgekd.stages import split
from edgekd.steps import Split
from edgekd.workspace import Workspace

KEY = "ab" * 32
SHIPPED = Path(__file__).parent.parent / "models" / "data" / "fashion-mnist"


def workspace(root: Path) -> Workspace:
    """A workspace that is its own store entry, so that the next stage finds the files."""
    folder = root / KEY[:2] / KEY
    folder.mkdir(parents=True)
    return Workspace(folder, root, KEY)


def choice(name: str, settings: dict[str, object] | None = None, **paths: Path) -> Choice:
    found = {setting: UserFile(path=str(path), sha256=files.digest(path)) for setting, path in paths.items()}
    written = {setting: str(path) for setting, path in paths.items()}
    return Choice(name=name, settings=written | (settings or {}), files=found)  # type: ignore[arg-type]


def toy(path: Path, count: int, seed: int, labelled: bool = True) -> Path:
    """Sequences of ids with a mask; the class is whether the ids that are not masked add up to an odd number."""
    random = np.random.default_rng(seed)
    ids = random.integers(1, 1000, (count, 6)).astype(np.int32)
    mask = np.arange(6) < random.integers(1, 7, count)[:, None]
    labels = {"y": (ids * mask).sum(1) % 2} if labelled else {}
    np.savez(path, ids=ids, mask=mask, **labels)
    return path


def loaded(out: Workspace, file: File) -> np.ndarray:
    return np.array(out.load(file))


def test_a_task_without_images_goes_through(tmp_path: Path) -> None:
    source = choice(
        "arrays",
        train=toy(tmp_path / "a.npz", 300, 0),
        test=toy(tmp_path / "b.npz", 80, 1),
        unlabelled=toy(tmp_path / "u.npz", 100, 2, labelled=False),
    )
    out = workspace(tmp_path / "entries")
    data = Data(source=source, labels=100, validation=50, calibration=30)
    splits = split.run(Split(data=data, images=()), out)
    assert splits.canvas is None and splits.channels is None and splits.classes == ("0", "1") and splits.read == 480
    assert {name: (part.count, part.labelled) for name, part in splits.parts.items()} == {
        "train": (320, 100),
        "validation": (50, 50),
        "calibration": (30, 0),
        "test": (80, 80),
    }
    original = np.load(tmp_path / "a.npz")
    rows, part = loaded(out, splits.parts["validation"].rows or pytest.fail("no rows")), splits.parts["validation"]
    assert list(part.inputs) == ["ids", "mask"]
    for name in part.inputs:
        np.testing.assert_array_equal(loaded(out, part.inputs[name]), original[name][rows])
        assert loaded(out, part.inputs[name]).dtype == original[name].dtype
    np.testing.assert_array_equal(loaded(out, part.labels), original["y"][rows])
    assert Splits.model_validate_json(splits.model_dump_json()) == splits


def test_a_feed_reads_what_the_split_wrote(tmp_path: Path) -> None:
    source = choice("arrays", train=toy(tmp_path / "a.npz", 200, 0))
    out = workspace(tmp_path / "entries")
    splits = split.run(Split(data=Data(source=source, validation=20, calibration=20), images=()), out)
    inputs = (
        TensorSpec(name="ids", shape=(-1, 6), dtype="int32"),
        TensorSpec(name="mask", shape=(-1, 6), dtype="bool"),
    )
    signature = Signature(inputs=inputs, outputs=(TensorSpec(name="logits", shape=(-1, 2)),))
    feed = Feed(out, splits, "train", signature, augment=True, seed=0)
    batch = feed.batch(np.arange(5), view=2)
    np.testing.assert_array_equal(
        (batch["ids"] * batch["mask"]).sum(1) % 2, feed.labels[:5], "inputs and labels belong together"
    )


def test_the_shipped_data_split_as_the_default_recipe_says(tmp_path: Path) -> None:
    source = choice("arrays", train=SHIPPED / "train.npz", test=SHIPPED / "test.npz")
    out = workspace(tmp_path / "entries")
    step = Split(data=Data(source=source, labels=1000), images=(Image(size=28, channels="gray"),))
    splits = split.run(step, out)
    counts = {name: (part.count, part.labelled) for name, part in splits.parts.items()}
    assert counts == {
        "train": (8744, 1000),
        "validation": (1000, 1000),
        "calibration": (256, 256),
        "test": (5000, 5000),
    }
    assert splits.caveats == () and (splits.canvas, splits.channels) == (28, "gray")
    stored = out.load(splits.parts["test"].inputs["image"])
    assert stored.shape == (5000, 28, 28, 1) and stored.dtype == np.uint8
    test = np.load(SHIPPED / "test.npz")["image"]
    expected = hashlib.sha256(b"image |u1 (28, 28, 1)\n" + test.tobytes())
    expected.update(loaded(out, splits.parts["test"].labels).tobytes())
    assert splits.parts["test"].digest == expected.hexdigest()


def test_the_same_step_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    source = choice("arrays", train=toy(tmp_path / "a.npz", 200, 0))
    data = Data(source=source, validation=20, calibration=20)
    first, again, other = (
        split.run(Split(data=data, images=(), seed=seed), workspace(tmp_path / name))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again and first.parts["train"].digest != other.parts["train"].digest


def photos(root: Path, count: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    for i in range(count):
        path = root / ("cat", "dog")[i % 2] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return root


def test_the_canvas_serves_every_network_and_bad_images_are_skipped_on_demand(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", 120, 0)
    (root / "cat" / "bad.png").write_bytes(b"no image")
    images = (Image(size=6, channels="gray", filter="box"), Image(size=8, channels="bgr", filter="lanczos"))
    step = Split(data=Data(source=choice("folder", folder=root)), images=images)
    with pytest.raises(UsageError, match=r"cat/bad\.png.*--skip-bad"):
        split.run(step, workspace(tmp_path / "a"))
    splits = split.run(step.model_copy(update={"skip_bad": True}), workspace(tmp_path / "b"))
    assert (splits.canvas, splits.channels, splits.skipped) == (8, "rgb", ("folder/cat/bad.png",))
    assert splits.caveats[0] == "1 images do not decode and were left out: folder/cat/bad.png"
    assert splits.classes == ("cat", "dog") and any("no test set was given" in text for text in splits.caveats)
    assert str(tmp_path) not in splits.model_dump_json(), "where the user keeps the folder is not part of the answer"


def test_common_canvas() -> None:
    assert split.common_canvas(()) is None
    gray = Image(size=28, channels="gray", filter="bicubic")
    canvas = split.common_canvas((gray, Image(size=20, channels="gray")))
    assert canvas is not None and (canvas.size, canvas.channels, canvas.filter) == (28, "gray", "bicubic")


def test_an_image_that_is_in_training_and_test_is_refused_by_file_name(tmp_path: Path) -> None:
    train, test = photos(tmp_path / "train", 120, 0), photos(tmp_path / "test", 20, 1)
    (test / "dog" / "again.png").write_bytes((train / "cat" / "004.png").read_bytes())
    step = Split(data=Data(source=choice("folder", folder=train, test=test)), images=(Image(size=8),))
    with pytest.raises(UsageError, match=r"1 test samples are also .*cat/004\.png = .*dog/again\.png"):
        split.run(step, workspace(tmp_path / "a"))


def test_mistakes_in_settings_and_data_are_told_at_once(tmp_path: Path) -> None:
    file = toy(tmp_path / "a.npz", 30, 0)
    wrong = choice("arrays", {"clases": ["a", "b"], "test": 3}, train=file)
    with pytest.raises(UsageError) as caught:
        split.run(Split(data=Data(source=wrong), images=()), workspace(tmp_path / "a"))
    assert "data.clases" in str(caught.value) and "'classes'" in str(caught.value) and "data.test" in str(caught.value)
    few = Data(source=choice("arrays", train=file), validation=3, labels=1)
    with pytest.raises(UsageError) as caught:
        split.run(Split(data=few, images=()), workspace(tmp_path / "b"))
    assert [p.where for p in caught.value.problems] == ["data.validation", "data.labels", "data"]


def test_large_parts_are_written_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = choice("arrays", train=toy(tmp_path / "a.npz", 200, 0))
    step = Split(data=Data(source=source, validation=20, calibration=20), images=())
    whole = split.run(step, workspace(tmp_path / "a"))
    monkeypatch.setattr(split, "CHUNK_BYTES", 100)
    assert split.run(step, workspace(tmp_path / "b")) == whole


def test_progress_is_told(tmp_path: Path) -> None:
    out = workspace(tmp_path / "a")
    source = choice("arrays", train=toy(tmp_path / "a.npz", 200, 0))
    split.run(Split(data=Data(source=source, validation=20, calibration=20), images=()), out)
    told = json.loads((out.folder / "progress.json").read_text())
    assert 0.7 <= told["done"] <= 1 and "part" in told["text"]


def test_groups_are_written_beside_their_samples(tmp_path: Path) -> None:
    of = np.arange(240) // 8 % 6
    np.savez(tmp_path / "a.npz", x=np.arange(240)[:, None].astype(np.float32), y=np.arange(240) % 2, group=of)
    out = workspace(tmp_path / "entries")
    data = Data(source=choice("arrays", train=tmp_path / "a.npz"), validation=40, calibration=10)
    splits = split.run(Split(data=data, images=()), out)
    told: dict[str, set[int]] = {}
    for name, part in splits.parts.items():
        assert part.groups is not None and "group" not in part.inputs
        mine, rows = loaded(out, part.groups), loaded(out, part.rows)  # type: ignore[arg-type]
        for one in np.unique(mine):
            assert len(set(of[rows[mine == one]])) == 1, "a number is one group"
        told[name] = set(of[rows].tolist())
    assert not told["test"] & told["train"] and not told["validation"] & (told["train"] | told["test"])
    assert any("intervals are over the 1 groups" in c or "no interval tells" in c for c in splits.caveats)
