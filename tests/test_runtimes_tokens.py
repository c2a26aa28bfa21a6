"""Texts to ids by a tokenizer file, and what happens where it is another one, or the package is missing."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from edgekd.runtimes import tokens

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "film")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=99, pad_id=1)  # what it was saved with does not count
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def spec(file: Path, length: int = 6) -> dict[str, Any]:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    how = {"kind": "tokens", "file": file.name, "sha256": digest, "length": length, "padding": 0, "mask": "mask"}
    return {"name": "ids", "front_end": how}


def test_texts_are_filled_up_and_masked(file: Path) -> None:
    found = tokens.prepare(file.parent, ["a good film", "boring"], spec(file))
    assert found["ids"].tolist() == [[2, 4, 5, 6, 3, 0], [2, 1, 3, 0, 0, 0]]
    assert found["mask"].tolist() == [[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]]
    assert all(array.dtype == np.int64 for array in found.values())


def test_long_texts_are_cut_before_their_last_special_token(file: Path) -> None:
    found = tokens.prepare(file.parent, ["a a a good good film"], spec(file, 4))
    assert found["ids"].tolist() == [[2, 4, 4, 3]] and found["mask"].all()


def test_another_tokenizer_is_refused(file: Path) -> None:
    wanted = spec(file)
    file.write_text(file.read_text().replace('"good"', '"fine"'))
    with pytest.raises(ValueError, match="is not the tokenizer that the model was trained with"):
        tokens.prepare(file.parent, ["a"], wanted)


def test_what_is_no_tokenizer_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x\.json is not the file of a tokenizer"):
        tokens.load(tmp_path / "x.json")


def test_without_the_package_the_line_that_installs_it_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "Tokenizer", None)
    with pytest.raises(ModuleNotFoundError, match="pip install tokenizers"):
        tokens.load(file)
