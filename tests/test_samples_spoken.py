"""Ids are told as the words that they are, and texts become the ids that the tokenizer gives."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from edgekd import plugins
from edgekd.datasets import texts
from edgekd.results import Predictions, Splits
from edgekd.samples.spoken import Spoken
from edgekd.stages import contrast, corrupt
from edgekd.steps import Contrast, Corrupt
from tests import learnable

WORDS = ["[PAD]", "[UNK]", "a", "good", "bad", "film", "very"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    """Sixteen texts as ids of whole words; letters alone and parts of words are known too."""
    vocabulary = [*WORDS, *(letter for letter in LETTERS if letter != "a"), *(f"##{letter}" for letter in LETTERS)]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lines = [f"{('no', 'yes')[i % 2]}\ta very {('bad', 'good')[i % 2]} film\n" for i in range(16)]
    (tmp_path / "train.tsv").write_text("".join(lines), encoding="utf-8")
    paths = {name: tmp_path / file for name, file in (("train", "train.tsv"), ("tokenizer", "tokenizer.json"))}
    settings = texts.Settings(train="train.tsv", tokenizer="tokenizer.json", length=24)
    source = texts.read(settings, paths, None, False)
    entries = tmp_path / "entries"
    made = learnable.tokens(entries)
    part = made.parts["test"].model_copy(
        update={
            "inputs": {
                name: learnable.store(entries, f"{name}.npy", values) for name, values in source.train.inputs.items()
            },
            "labels": learnable.store(entries, "labels.npy", source.train.labels),
            "count": 16,
            "labelled": 16,
        }
    )
    file = learnable.store(entries, "x.npy", np.zeros(1))
    held = learnable.workspace(tmp_path).locate(file).parent / "tokenizer.json"
    held.write_bytes(source.attached["tokenizer.json"])
    attached = {"tokenizer.json": file.model_copy(update={"name": "tokenizer.json"})}
    update = {"parts": {**made.parts, "test": part}, "classes": ("no", "yes")}
    return made.model_copy(update={**update, "front_ends": dict(source.front_ends), "attached": attached})


def stored(splits: Splits, folder: Path) -> dict[str, np.ndarray]:
    out = learnable.workspace(folder)
    return {name: np.array(out.load(file)) for name, file in splits.parts["test"].inputs.items()}


def test_there_and_back_again(splits: Splits, tmp_path: Path) -> None:
    spoken, samples = Spoken.of(splits, learnable.workspace(tmp_path)), stored(splits, tmp_path)
    assert spoken is not None and spoken.faithful(samples) == 1.0
    assert spoken.texts(samples)[1] == "a very good film" and spoken.word(3) == "good"
    samples["ids"][:4, 0] = 1  # a word that it does not know is lost on the way
    assert spoken.faithful(samples) == 0.75 or spoken.texts(samples)[0].startswith("[UNK]")
    plain = splits.model_copy(update={"front_ends": {}})
    assert Spoken.of(plain, learnable.workspace(tmp_path)) is None


def test_words_of_texts_are_shown(splits: Splits, tmp_path: Path) -> None:
    right = np.eye(2, dtype=np.float32)[np.arange(16) % 2]
    entries = tmp_path / "entries"
    said = Predictions(outputs=learnable.store(entries, "s.npy", right[:, ::-1].copy()), part="test", basis="measured")
    step = Contrast(student=said, teacher=learnable.store(entries, "t.npy", right), splits=splits)
    found = contrast.run(step, learnable.workspace(tmp_path))
    assert found.parted
    for one in found.parted:
        assert one.words == ("a", "very", ("bad", "good")[one.number % 2], "film")


def test_texts_are_spoiled_by_letters_and_cut_into_ids_again(splits: Splits, tmp_path: Path) -> None:
    step = Corrupt(splits=splits, among=plugins.names("corruptions"), samples=16, severities=(1, 5))
    found = corrupt.run(step, learnable.workspace(tmp_path))
    assert found.by == "typos"
    ids = np.load(learnable.workspace(tmp_path).path("test.ids.npy"))
    mask = np.load(learnable.workspace(tmp_path).path("test.mask.npy"))
    clean = stored(splits, tmp_path)
    assert sorted(map(tuple, ids[:16].tolist())) == sorted(map(tuple, clean["ids"].tolist()))
    for at, (kind, severity) in enumerate(found.kinds[1:], 1):
        copy = ids[16 * at : 16 * at + 16]
        changed = (copy != ids[:16]).any(axis=1)
        assert severity == 1 or changed.any(), kind
        assert (mask[16 * at : 16 * at + 16][~changed] == mask[:16][~changed]).all()
    severe = ids[-16:]
    assert (severe >= len(WORDS)).any(), "a misspelt word falls into letters"
