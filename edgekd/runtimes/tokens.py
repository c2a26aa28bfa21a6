"""From text to ids, by the very tokenizer file of the training: for data sets and bundles. Needs `tokenizers`.

Devices without that package take ids as they are; `how` has the fields of results.Tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    from tokenizers import Tokenizer
except ModuleNotFoundError:  # a device that is fed ids does without
    Tokenizer = None  # type: ignore[assignment, misc]

MISSING = "tokenizers is needed to read texts. Run: pip install tokenizers"


def load(file: Path) -> Any:
    """A tokenizer from its file, without cutting or filling up. Raises ValueError where it is none."""
    if Tokenizer is None:
        raise ModuleNotFoundError(MISSING, name="tokenizers")
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    # the library raises plain Exception
    except Exception as error:
        raise ValueError(f"{file} is not the file of a tokenizer ({error})") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def encode(tokenizer: Any, texts: Sequence[str], length: int, padding: int) -> tuple[Any, Any]:
    """Ids and mask of texts, both int64 (N, length). Of a text that is too long the special tokens at its end stay."""
    tokenizer.enable_truncation(length)
    ids = np.full((len(texts), length), padding, np.int64)
    mask = np.zeros((len(texts), length), np.int64)
    for row, found in enumerate(tokenizer.encode_batch(list(texts))):
        ids[row, : len(found.ids)] = found.ids
        mask[row, : len(found.ids)] = 1
    return ids, mask


def prepare(folder: Path, texts: Sequence[str], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs by name for an input's signature, with the tokenizer that lies in `folder`.

    Raises ValueError where its file is not the one of the training, ModuleNotFoundError without tokenizers.
    """
    how = spec["front_end"]
    file = folder / Path(how["file"]).name
    if hashlib.sha256(file.read_bytes()).hexdigest() != how["sha256"]:
        raise ValueError(f"{file} is not the tokenizer that the model was trained with")
    ids, mask = encode(load(file), texts, how["length"], how["padding"])
    return {spec["name"]: ids, how["mask"]: mask}
