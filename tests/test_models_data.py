"""The vendored data are what their cards say."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from edgekd import files
from edgekd.datasets import arrays
from edgekd.plugins import Canvas

FOLDER = Path(__file__).parent.parent / "models" / "data"
CARDS = sorted(FOLDER.glob("*/card.toml"))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.parent.name)
def test_every_file_has_the_digest_of_its_card(card: Path) -> None:
    page = tomllib.loads(card.read_text(encoding="utf-8"))
    assert page["sha256"] == {file.name: files.digest(file) for file in card.parent.glob("*.npz")}
    assert page["name"] == card.parent.name and page["licence"] == "MIT" and page["source"].startswith("https://")


def test_fashion_mnist_has_its_counts_classes_and_licence() -> None:
    folder = FOLDER / "fashion-mnist"
    page = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))["data"]
    assert page.pop("use") == "arrays"
    settings = arrays.Settings.model_validate(page)
    paths = {name: folder / page[name] for name in ("train", "test")}
    got = arrays.read(settings, paths, Canvas(28, "gray", "bilinear"), False)
    assert got.test is not None and (len(got.train.labels), len(got.test.labels)) == (10_000, 5_000)
    assert got.train.inputs["image"].shape == (10_000, 28, 28, 1) and (got.train.labels >= 0).all()
    assert np.bincount(got.test.labels).min() > 400 and len(got.classes) == 10
    assert (got.classes[0], got.classes[8]) == ("T-shirt/top", "Bag")
    licence = (folder / "LICENSE").read_text(encoding="utf-8")
    assert "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in licence and "MIT License" in licence
