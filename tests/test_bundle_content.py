"""What application bundles hold is read back as any language would, by the JSON pages alone."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from edgekd.bundle import content
from edgekd.errors import UsageError
from tests.test_bundle import written


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bundle"), images=True)


@pytest.fixture(scope="module")
def held(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[content.Content, Path]:
    folder = tmp_path_factory.mktemp("app")
    return content.write(bundle, folder), folder


def array(folder: Path, told: dict, count: int = -1) -> np.ndarray:
    flat = np.fromfile(folder / "model/golden" / told["file"], np.dtype(told["dtype"]).newbyteorder("<"))
    return flat.reshape(count, *told["shape"])


def test_pages_are_json_and_list_every_file(held: tuple[content.Content, Path]) -> None:
    found, folder = held
    model = json.loads((folder / "model/model.json").read_text())
    assert model == found.model and json.loads((folder / "model/golden/golden.json").read_text()) == found.golden
    inner = folder / "model"
    files = {path.relative_to(inner).as_posix() for path in inner.rglob("*") if path.is_file()}
    assert set(model["files"]) == files - {"model.json"}
    for name, told in model["files"].items():
        data = (inner / name).read_bytes()
        assert told == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert {path.name for path in folder.iterdir()} == {"model", "MODEL_CARD.md", "LICENSES", "certificate.json"}
    assert model["slug"] == found.slug and found.image and found.facts[-1].startswith("Size: ")


def test_golden_arrays_are_those_of_the_bundle(bundle: Path, held: tuple[content.Content, Path]) -> None:
    found, folder = held
    with np.load(bundle / "golden/golden.npz") as stored:
        np.testing.assert_array_equal(array(folder, found.golden["inputs"][0]), stored["input:image"])
        np.testing.assert_array_equal(array(folder, found.golden["outputs"][0]), stored["runtime:logits"])
        for row, picture in enumerate(found.golden["pictures"]):
            canvas = np.fromfile(folder / "model/golden" / picture["canvas"], np.uint8)
            np.testing.assert_array_equal(canvas, stored["image:canvas"][row].reshape(-1))
            fed = np.fromfile(folder / "model/golden" / picture["input"], "<f4")
            np.testing.assert_array_equal(fed, stored["image:input"][row].reshape(-1))
            assert picture["outputs"] == stored["image:runtime:logits"][row].tolist()
            assert (folder / "model/golden" / picture["file"]).is_file()


def test_answers_are_the_classes_of_the_outputs(held: tuple[content.Content, Path]) -> None:
    found, folder = held
    outputs = array(folder, found.golden["outputs"][0])
    classes = found.model["signature"]["classes"]
    assert [one["labels"] for one in found.golden["answers"]] == [[classes[k]] for k in outputs.argmax(1)]
    assert all(0 < one["probabilities"][0] <= 1 for one in found.golden["answers"])
    assert {one["fault"] for one in found.golden["margins"]} >= {"bgr", "exif", "mean", "label", "softmax", "truncated"}
    assert [one["margin"] for one in found.golden["margins"] if one["caught_by"] == "files"] == [None, None]


def test_inputs_that_are_no_images_have_no_pictures(tmp_path: Path) -> None:
    found = content.write(written(tmp_path, images=False), tmp_path / "app")
    assert found.golden["pictures"] == [] and not found.image
    assert [(one["name"], one["dtype"]) for one in found.golden["inputs"]] == [("ids", "int64"), ("mask", "float32")]
    assert {one["fault"] for one in found.golden["margins"]} == {"label", "softmax", "delegate", "truncated", "other"}


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    damaged = written(tmp_path, images=False)
    (damaged / "labels.txt").write_text("other\n")
    with pytest.raises(UsageError, match=r"is no whole bundle: labels\.txt"):
        content.write(damaged, tmp_path / "app")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("fashion-mnist for tflite", "fashion-mnist-tflite"),
        ("My Düne 2 for onnx@browser", "my-d-ne-2-onnx-browser"),
        ("4 seasons", "model-4-seasons"),
        ("", "model"),
    ],
)
def test_a_slug_is_a_name_for_packages(title: str, name: str) -> None:
    assert content.slug(title) == name
