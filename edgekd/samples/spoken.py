"""Ids back to what a person reads: the words of a sample, and texts that the same tokenizer makes ids of again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.results import Splits, Tokens
from edgekd.runtimes import tokens
from edgekd.workspace import Workspace

Array = NDArray[Any]

# What a tokenizer gives for bytes that are no whole letter.
BROKEN = "\ufffd"


class Spoken:
    """The tokenizer that made the input `name`; `of` finds it in a split."""

    def __init__(self, name: str, how: Tokens, file: Path) -> None:
        self.name, self.how, self._tokenizer = name, how, tokens.load(file)

    @classmethod
    def of(cls, splits: Splits, out: Workspace) -> "Spoken | None":
        """None where no input was made by a tokenizer whose file is there."""
        for name, how in splits.front_ends.items():
            if isinstance(how, Tokens) and how.file in splits.attached:
                return cls(name, how, out.locate(splits.attached[how.file]))
        return None

    def word(self, number: int) -> str:
        """What one id stands for: as it is read, or as the tokenizer writes it where it is only a part of a letter."""
        text: str = self._tokenizer.decode([number], skip_special_tokens=False).strip()
        if text and BROKEN not in text:
            return text
        return self._tokenizer.id_to_token(number) or str(number)

    def texts(self, samples: Mapping[str, Array]) -> Array:
        """The text of each sample, (N,) of str objects, without the marks that the tokenizer adds by itself."""
        ids, mask = samples[self.name], samples[self.how.mask].astype(bool)
        rows = [row[seen].tolist() for row, seen in zip(ids, mask, strict=True)]
        return np.array([*self._tokenizer.decode_batch(rows), ""], object)[:-1]

    def inputs(self, texts: Sequence[str], like: Mapping[str, Array]) -> dict[str, Array]:
        """Ids and mask of texts, in the types of `like`."""
        ids, mask = tokens.encode(self._tokenizer, texts, self.how.length, self.how.padding)
        made = {self.name: ids, self.how.mask: mask}
        return {name: values.astype(like[name].dtype) for name, values in made.items()}

    def faithful(self, samples: Mapping[str, Array]) -> float:
        """The share of samples whose text becomes the same ids again."""
        again = self.inputs(self.texts(samples).tolist(), samples)
        return float((again[self.name] == samples[self.name]).all(axis=1).mean())
