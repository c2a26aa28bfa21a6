"""Texts as typing errors leave them: letters swapped, left out, typed twice, or the key beside hit instead.

The texts are cut into ids again by the same tokenizer, so that a misspelt word becomes what it would be on the device.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
KINDS = ("letters swapped", "letters dropped", "letters doubled", "keys beside")

# By severity: the chance of a letter that something befalls it; of words of five letters 5 to 40 % are hit.
CHANCE = (0.01, 0.02, 0.04, 0.06, 0.1)
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

Array = NDArray[Any]


class Settings(Value):
    """There is nothing to set."""


def suits(samples: Mapping[str, Array], canvas: int | None) -> bool:
    """Whether some input is texts: (N,) of str objects, as they are before a tokenizer."""
    return any(_is_texts(values) for values in samples.values())


def corrupt(samples: Mapping[str, Array], kind: str, severity: int, random: np.random.Generator) -> Mapping[str, Array]:
    """Copies of the samples with spoiled texts; what is no letter stays, and letters that no key has stay in "keys
    beside"."""
    chance = CHANCE[severity - 1]
    found = {}
    for name, values in samples.items():
        found[name] = values.copy()
        if _is_texts(values):
            for row, text in enumerate(values.tolist()):
                found[name][row] = _spoiled(text, kind, random.random(len(text)) < chance, random)
    return found


def _is_texts(values: Array) -> bool:
    return bool(
        values.dtype == object and values.ndim == 1 and all(isinstance(value, str) for value in values.tolist())
    )


def _spoiled(text: str, kind: str, hit: NDArray[np.bool_], random: np.random.Generator) -> str:
    letters, place = list(text), 0
    while place < len(letters):
        letter = letters[place]
        if hit[place] and letter.isalpha():
            if kind == "letters dropped":
                letters[place] = ""
            elif kind == "letters doubled":
                letters[place] = 2 * letter
            elif kind == "keys beside":
                letters[place] = _beside(letter, random)
            elif place + 1 < len(letters) and letters[place + 1].isalpha():
                letters[place], letters[place + 1] = letters[place + 1], letter
                place += 1  # a letter changes places once
        place += 1
    return "".join(letters)


def _beside(letter: str, random: np.random.Generator) -> str:
    """A letter whose key is beside that of this one on an American keyboard, in the same case."""
    for keys in KEYS:
        at = keys.find(letter.lower())
        if at >= 0:
            near = str(random.choice(list(keys[max(0, at - 1) : at] + keys[at + 1 : at + 2])))
            return near.upper() if letter.isupper() else near
    return letter
