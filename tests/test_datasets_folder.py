"""Images in folders: classes, order, what is skipped, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.datasets import folder
from edgekd.errors import UsageError
from edgekd.plugins import Canvas, Source

CANVAS = Canvas(8, "rgb", "bilinear")


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (11, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i, name in enumerate(("dog/b.jpg", "dog/a.png", "cat/c.webp", "cat/deep/d.bmp", "cat/E.JPEG")):
        picture(tmp_path / "photos" / name, i)
    return tmp_path / "photos"


def read(skip_bad: bool = False, canvas: Canvas | None = CANVAS, **paths: Path) -> Source:
    settings = folder.Settings(**{name: path.name for name, path in paths.items()})
    return folder.read(settings, paths, canvas, skip_bad)


def mistakes(**asked: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(**asked)  # type: ignore[arg-type]
    return str(caught.value)


def test_classes_are_the_sorted_sub_folders(photos: Path) -> None:
    (photos / "dog" / "notes.txt").write_text("a good dog")
    (photos / "dog" / ".hidden.jpg").write_text("not one")
    (photos / ".cache").mkdir()
    got = read(folder=photos)
    assert got.classes == ("cat", "dog") and got.test is None and not got.skipped
    assert got.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert [Path(name).name for name in got.train.names] == ["E.JPEG", "c.webp", "d.bmp", "a.png", "b.jpg"]
    assert got.train.inputs["image"].shape == (5, 8, 8, 3) and got.train.inputs["image"].dtype == np.uint8


def test_test_and_unlabelled_folders(photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "test" / "cat" / "x.png", 7)
    picture(tmp_path / "test" / "dog" / "y.png", 8)
    picture(tmp_path / "more" / "any" / "z.png", 9)
    got = read(folder=photos, test=tmp_path / "test", unlabelled=tmp_path / "more")
    assert got.test is not None and got.test.labels.tolist() == [0, 1]
    assert got.train.labels.tolist() == [0, 0, 0, 1, 1, -1]


def test_gray_is_decoded_as_gray(photos: Path) -> None:
    assert read(canvas=Canvas(5, "gray", "box"), folder=photos).train.inputs["image"].shape == (5, 5, 5, 1)


def test_images_that_do_not_decode_are_all_named(photos: Path) -> None:
    for i in range(25):
        (photos / "dog" / f"bad{i:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    text = mistakes(folder=photos)
    assert all(f"bad{i:02}.png" in text for i in range(20)) and "bad20.png" not in text
    assert "5 more images do not decode" in text and text.count("--skip-bad") == 1
    got = read(skip_bad=True, folder=photos)
    assert len(got.skipped) == 25 and got.skipped[0] == "folder/dog/bad00.png"
    assert got.train.labels.tolist() == [0, 0, 0, 1, 1] and len(got.train.names) == 5


def test_a_class_of_which_nothing_decodes_is_refused_even_when_skipping(photos: Path) -> None:
    (photos / "eel").mkdir()
    (photos / "eel" / "a.gif").write_bytes(b"GIF89a")
    assert "eel): none of the images of this class decodes" in mistakes(folder=photos, skip_bad=True)


def test_everything_wrong_with_the_folders_is_told_at_once(photos: Path, tmp_path: Path) -> None:
    (photos / "empty").mkdir()
    picture(photos / "loose.png")
    picture(tmp_path / "test" / "cat" / "x.png")
    picture(tmp_path / "test" / "cow" / "x.png")
    (tmp_path / "more").mkdir()
    text = mistakes(folder=photos, test=tmp_path / "test", unlabelled=tmp_path / "more")
    assert "empty): the class has no images" in text and "1 images have no class, e.g. loose.png" in text
    assert "lacks dog, empty and adds cow" in text and "more): there are no images" in text


def test_no_folder_no_sub_folders_and_no_preprocessing(tmp_path: Path, photos: Path) -> None:
    assert "there is no such folder" in mistakes(folder=tmp_path / "gone")
    assert "there are no sub-folders" in mistakes(folder=photos / "dog")
    assert "neither teacher nor student" in mistakes(folder=photos, canvas=None)


def test_large_sets_are_kept_on_disk(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read(folder=photos).train.inputs["image"]
    monkeypatch.setattr(folder, "IN_MEMORY", 100)
    stored = read(folder=photos).train.inputs["image"]
    assert isinstance(stored, np.memmap) and not isinstance(plain, np.memmap)
    np.testing.assert_array_equal(stored, plain)


def test_the_order_of_classes_can_be_another(photos: Path) -> None:
    settings = folder.Settings(folder="photos", classes=("dog", "cat"))
    got = folder.read(settings, {"folder": photos}, CANVAS, False)
    assert got.classes == ("dog", "cat") and got.train.labels.tolist() == [0, 0, 1, 1, 1]
    with pytest.raises(UsageError, match=r"dog, eel are not the sub-folders, which are cat, dog"):
        folder.read(settings.model_copy(update={"classes": ("dog", "eel")}), {"folder": photos}, CANVAS, False)


def test_a_few_images_are_read_evenly_and_the_same_again(photos: Path) -> None:
    for i in range(20):
        picture(photos / "dog" / f"more{i}.png", i)
    settings = folder.Settings(folder="photos")
    got = folder.few(settings, {"folder": photos}, CANVAS, 6, 0)
    assert sorted(got.train.labels.tolist()) == [0, 0, 0, 1, 1, 1] and got.test is None
    assert got.train.names == folder.few(settings, {"folder": photos}, CANVAS, 6, 0).train.names
    whole = folder.read(settings, {"folder": photos}, CANVAS, False).train
    row = list(whole.names).index(got.train.names[0])
    assert (whole.inputs["image"][row] == got.train.inputs["image"][0]).all()


def test_a_few_leave_out_what_does_not_decode_unless_nothing_does(tmp_path: Path) -> None:
    picture(tmp_path / "photos/cat/a.png")
    (tmp_path / "photos/cat/b.png").write_text("no image")
    settings, files = folder.Settings(folder="photos"), {"folder": tmp_path / "photos"}
    got = folder.few(settings, files, CANVAS, 10, 0)
    assert len(got.train.labels) == 1 and got.skipped == ("folder/cat/b.png",)
    (tmp_path / "photos/cat/a.png").write_text("no image")
    with pytest.raises(UsageError, match=r"a\.png"):
        folder.few(settings, files, CANVAS, 10, 0)
