"""Texts with classes: what is read, what the signature learns, and every mistake at once."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from edgekd.datasets import texts
from edgekd.errors import UsageError
from edgekd.plugins import Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = ("[UNK]", "[PAD]", "good", "bad", "film")
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "train.tsv").write_text("yes\tgood film\nno\tbad\r\n\nyes\tgood\tfilm good\n", encoding="utf-8")
    (tmp_path / "more.txt").write_text("film\nbad bad\n", encoding="utf-8")
    return tmp_path


def read(folder: Path, classes: tuple[str, ...] = (), **names: str) -> Source:
    names = {"train": "train.tsv", "tokenizer": "tokenizer.json"} | names
    settings = texts.Settings(**names, classes=classes, length=4)
    return texts.read(settings, {key: folder / name for key, name in names.items()}, None, False)


def test_lines_become_ids_masks_and_classes(folder: Path) -> None:
    source = read(folder, unlabelled="more.txt")
    assert source.classes == ("no", "yes")
    assert source.train.inputs["ids"].tolist() == [[2, 4, 1, 1], [3, 1, 1, 1], [2, 4, 2, 1], [4, 1, 1, 1], [3, 3, 1, 1]]
    np.testing.assert_array_equal(source.train.inputs["mask"], source.train.inputs["ids"] != 1)
    assert source.train.labels.tolist() == [1, 0, 1, -1, -1]


def test_the_front_end_names_the_tokenizer_and_the_bundle_gets_it(folder: Path) -> None:
    source, content = read(folder), (folder / "tokenizer.json").read_bytes()
    how = source.front_ends["ids"]
    assert (how.name, how.length, how.vocabulary, how.padding, how.mask) == ("WordLevel", 4, 5, 1, "mask")
    assert how.sha256 == hashlib.sha256(content).hexdigest() and source.attached["tokenizer.json"] == content
    first = json.loads(source.attached["texts.json"])[0]
    assert first == {"text": "good film", "ids": [2, 4, 1, 1]}


def test_the_order_of_classes_is_the_users(folder: Path) -> None:
    assert read(folder, ("yes", "no")).train.labels.tolist() == [0, 1, 0]


def test_all_mistakes_are_told_with_their_lines(folder: Path) -> None:
    (folder / "bad.tsv").write_text("yes good\nno\tbad\nmaybe\tfilm\n\tnothing\n", encoding="utf-8")
    (folder / "latin.tsv").write_bytes("no\tété".encode("latin-1"))
    (folder / "none.json").write_text("[]")
    with pytest.raises(UsageError) as caught:
        read(folder, ("yes", "no"), train="bad.tsv", test="latin.tsv", tokenizer="none.json", unlabelled="gone.txt")
    told = str(caught.value)
    assert "2 lines are no class and text: 1, 4" in told and "the classes maybe" in told and "yes good" in told
    assert "cannot be read as UTF-8" in told and "is not the file of a tokenizer" in told and "gone.txt" in told
