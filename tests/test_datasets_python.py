"""Samples from the user's own function."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.datasets import python
from edgekd.errors import UsageError
from edgekd.plugins import Source

GOOD = """
from dataclasses import dataclass

import numpy as np
import shapes

@dataclass
class Size:
    count: "int" = 6

def make():
    train = {"ids": np.arange(12).reshape(Size().count, shapes.WIDTH), "y": [0, 1, 0, 1, 0, -1]}
    return {"train": train, "test": {"ids": np.arange(100, 104).reshape(2, 2), "y": [1, 0]}, "classes": ["no", "yes"]}
"""


def read(folder: Path, code: str, make: str = "mine:make") -> Source:
    file = folder / f"{make.partition(':')[0]}.py"
    file.write_text(code)
    return python.read(python.Settings(make=make), {"make": file}, None, False)


def mistakes(folder: Path, code: str, make: str = "mine:make") -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, code, make)
    return str(caught.value)


def test_the_function_gives_the_samples(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text("WIDTH = 2")
    got = read(tmp_path, GOOD)
    assert got.classes == ("no", "yes") and got.train.labels.tolist() == [0, 1, 0, 1, 0, -1]
    assert got.test is not None and got.test.inputs["ids"].dtype == np.int64
    assert got.train.inputs["ids"][5].tolist() == [10, 11]


def test_a_module_called_like_one_of_pythons_own_is_no_trouble(tmp_path: Path) -> None:
    code = 'import random\n\ndef make():\n    return {"train": {"a": [[random.random()]] * 2, "y": [0, 1]}}\n'
    assert len(read(tmp_path, code.replace("random.random()", "1.0"), "random:make").train.labels) == 2
    assert len(read(tmp_path, code).train.labels) == 2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def make(:", "SyntaxError"),
        ("\ndef make():\n    return 1 / 0", "mine.py, line 3 raises ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "line 1 raises SystemExit: 3"),
        ("def other(): pass", "has no function 'make'. It has: other"),
        ("def make(): return [1]", "returns a list"),
        ("def make(): return {'test': {}, 'trian': {}}", "unknown key 'trian'"),
        ("def make(): return {'train': [1, 2]}", "train: is a list, not arrays by name"),
        ("def make(): return {'train': {'a': [1.0], 'y': ['x']}}", "labels are <U1 (1,)"),
        ("def make(): return {'train': {'a': [1.0], 'y': [0]}, 'classes': 'ab'}", "neither a list of names"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, code: str, message: str) -> None:
    assert message in mistakes(tmp_path, code)


@pytest.mark.parametrize("make", ["mine", "mine:", ":make"])
def test_the_form_of_the_setting(make: str) -> None:
    with pytest.raises(UsageError, match="is not module:function"):
        python.read(python.Settings(make=make), {}, None, False)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"gone\.py of 'gone:make' is not a Python file"):
        python.read(python.Settings(make="gone:make"), {}, None, False)
