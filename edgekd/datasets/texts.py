"""Texts with a class: a line for each sample, class and text with a tab between, cut into ids by your tokenizer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Canvas, Pool, Source
from edgekd.results import Tokens
from edgekd.runtimes import tokens
from edgekd.samples import pools
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy", "tokenizers")
EXTRA = "text"
FILES = ("train", "test", "unlabelled", "tokenizer")
PARTS = ("train", "test", "unlabelled")
FILE, EXAMPLES, SHOWN = "tokenizer.json", "texts.json", 8
HINT = "Write a class, a tab and a text on every line, in UTF-8"


class Settings(Value):
    """Files of training, test and unlabelled texts (these without a class); the teacher's tokenizer, a tokenizer.json.

    `length` is how many ids a text is cut or filled up to; `classes` are the names in the order of the teacher's
    outputs, sorted if left out.
    """

    train: str
    tokenizer: str
    test: str | None = None
    unlabelled: str | None = None
    length: int = Field(default=64, ge=2, le=4096)
    classes: tuple[str, ...] = ()


def read(settings: Settings, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source:
    """Read and tokenize the files; raises UsageError with every mistake and its line. There is nothing to skip here."""
    written = {part: getattr(settings, part) for part in (*PARTS, "tokenizer")}
    paths = {part: files.get(part, Path(value)) for part, value in written.items() if value is not None}
    where = {part: f"data.{part} ({path})" for part, path in paths.items()}
    problems: list[Problem] = []
    lines = {part: _lines(paths[part], part, where[part], problems) for part in PARTS if part in paths}
    tokenizer = _tokenizer(paths["tokenizer"], where["tokenizer"], problems)
    classes = settings.classes or tuple(sorted({name for found in lines.values() for name, _ in found if name}))
    for part, found in lines.items():
        unknown = sorted({name for name, _ in found if name} - set(classes))
        if unknown:
            message = f"the classes {', '.join(unknown[:5])} are not in `classes`"
            problems.append(Problem(where[part], message, "Name every class there"))
    if problems:
        raise UsageError(*problems)
    how = _front_end(tokenizer, paths["tokenizer"], settings.length)
    parts = {part: _arrays(found, tokenizer, classes, how) for part, found in lines.items()}
    source = pools.source(parts, where, classes, None)
    attached = {FILE: paths["tokenizer"].read_bytes(), EXAMPLES: _examples(lines["train"], source.train)}
    return Source(source.train, source.test, classes, front_ends={"ids": how}, attached=attached)


def _lines(path: Path, part: str, where: str, problems: list[Problem]) -> list[tuple[str, str]]:
    """(class, text) of each line that is not empty; an unlabelled text has no class."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(where, f"cannot be read as UTF-8 text: {error}", HINT))
        return []
    found, bad = [], []
    for number, line in enumerate(lines, 1):
        name, tab, text = ("", "\t", line) if part == "unlabelled" else line.rstrip("\r").partition("\t")
        if not line.strip():
            continue
        if not tab or not text.strip() or (part != "unlabelled" and not name.strip()):
            bad.append(number)
        found.append((name.strip(), text.strip()))
    if bad:
        shown = ", ".join(map(str, bad[:5])) + ", ..." * (len(bad) > 5)
        problems.append(Problem(where, f"{len(bad)} lines are no class and text: {shown}", HINT))
    return found


def _tokenizer(path: Path, where: str, problems: list[Problem]) -> Any:
    try:
        return tokens.load(path)
    except (OSError, ValueError) as error:
        hint = "Save it with tokenizer.save or, from transformers, tokenizer.backend_tokenizer.save"
        problems.append(Problem(where, str(error), hint))
        return None


def _front_end(tokenizer: Any, path: Path, length: int) -> Tokens:
    """What the signature says of a tokenizer. Ids of padding are those of its own padding token, or 0."""
    said = json.loads(tokenizer.to_str())
    padding = next((i for i in map(tokenizer.token_to_id, ("[PAD]", "<pad>", "<|pad|>")) if i is not None), 0)
    return Tokens(
        name=str(said.get("model", {}).get("type") or "tokenizer"),
        file=FILE,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        length=length,
        vocabulary=max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
        padding=padding,
        mask="mask",
    )


def _arrays(found: Sequence[tuple[str, str]], tokenizer: Any, classes: Sequence[str], how: Tokens) -> pools.Arrays:
    """Ids, mask and, but for unlabelled texts, the classes' numbers."""
    ids, mask = tokens.encode(tokenizer, [text for _, text in found], how.length, how.padding)
    number = {name: i for i, name in enumerate(classes)}
    labels = {pools.LABELS: np.array([number[name] for name, _ in found], np.int64)} if found and found[0][0] else {}
    return {"ids": ids, "mask": mask, **labels}


def _examples(found: Sequence[tuple[str, str]], pool: Pool) -> bytes:
    """The first training texts with their ids, which a bundle's tokenizer must give again."""
    rows = [{"text": text, "ids": pool.inputs["ids"][row].tolist()} for row, (_, text) in enumerate(found[:SHOWN])]
    return json.dumps(rows, ensure_ascii=False).encode()
