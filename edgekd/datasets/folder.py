"""Images in folders: a sub-folder for each class, PNG, JPEG, WebP or BMP."""

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Canvas, Pool, Source
from edgekd.runtimes import preprocess
from edgekd.samples.classes import evenly
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy", "pillow")
EXTRA = "train"
FILES = ("folder", "test", "unlabelled")
# What people's tools leave beside images. Anything else is taken for an image, and named if it is none.
NOT_IMAGES = (".txt", ".md", ".json", ".csv", ".tsv", ".xml", ".html", ".yaml", ".yml", ".toml", ".ini", ".db")
# Above this many bytes the decoded images of a part are kept in a temporary file instead of memory.
IN_MEMORY = 1024**3
NAMED = 20

File = tuple[Path, int]


class Settings(Value):
    """Folders: training images by class, test images by the same classes, and images without a class.

    `classes` is the order of the classes, where it is not that of the sub-folders' names.
    """

    folder: str
    test: str | None = None
    unlabelled: str | None = None
    classes: tuple[str, ...] = ()


def read(settings: Settings, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source:
    """Decode every image; raises UsageError naming empty folders, classes that differ and files that do not decode."""
    if canvas is None:
        hint = "Add for example image = { size = 96 } to [teacher] or [student]"
        raise UsageError(Problem("data.folder", "neither teacher nor student says how it wants its images", hint))
    roots, classes = _checked(settings, files)
    listed = {
        s: list(_unlabelled(root) if s == "unlabelled" else _labelled(root, classes)) for s, root in roots.items()
    }
    everything = listed["folder"] + listed.get("unlabelled", [])
    train, bad = _decoded(everything, canvas)
    test, bad_test = _decoded(listed["test"], canvas) if "test" in listed else (None, ())
    bad = (*bad, *bad_test)
    if bad and not skip_bad:
        raise _unreadable(bad)
    _nothing_left(classes, roots, {"folder": train, "test": test})
    return Source(train, test, classes, tuple(_short(problem.where, roots) for problem in bad))


def few(settings: Settings, files: Mapping[str, Path], canvas: Canvas, count: int, seed: int) -> Source:
    """Up to `count` training images, of each class as many as can be, without decoding the others."""
    roots, classes = _checked(settings, files)
    listed = list(_labelled(roots["folder"], classes))
    rows = evenly(np.array([label for _, label in listed], np.int64), count, seed)
    pool, bad = _decoded([listed[row] for row in rows], canvas)
    if not len(pool.labels):
        raise _unreadable(bad)
    return Source(pool, None, classes, tuple(_short(problem.where, roots) for problem in bad))


def _checked(settings: Settings, files: Mapping[str, Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The folders by setting and the classes in order; raises UsageError for what is wrong before any is opened."""
    named = {name: getattr(settings, name) for name in FILES}
    roots = {name: files.get(name, Path(value)) for name, value in named.items() if value is not None}
    classes = _classes(roots["folder"])
    problems = [p for setting, root in roots.items() for p in _problems(setting, root, classes)]
    if settings.classes and classes and sorted(settings.classes) != sorted(classes):
        message = f"{', '.join(settings.classes)} are not the sub-folders, which are {', '.join(classes)}"
        problems.append(Problem("data.classes", message, "Name each sub-folder once, in the order that is meant"))
    if problems:
        raise UsageError(*problems)
    return roots, settings.classes or classes


def _short(path: str, roots: Mapping[str, Path]) -> str:
    """A file by its setting and its place there, which is the same wherever the user keeps the folder."""
    setting, root = next((s, root) for s, root in roots.items() if Path(path).is_relative_to(root))
    return f"{setting}/{Path(path).relative_to(root).as_posix()}"


def _visible(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)


def _classes(root: Path) -> tuple[str, ...]:
    """Names of the sub-folders, sorted."""
    return tuple(p.name for p in _visible(root) if p.is_dir()) if root.is_dir() else ()


def _images(folder: Path) -> list[Path]:
    """Everything below a folder that is not hidden and may be an image, in the order of the paths."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() not in NOT_IMAGES and p.is_file())
    seen = (p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return sorted(seen, key=lambda p: p.relative_to(folder).as_posix())


def _labelled(root: Path, classes: Sequence[str]) -> Iterator[File]:
    for label, name in enumerate(classes):
        for path in _images(root / name):
            yield path, label


def _unlabelled(root: Path) -> Iterator[File]:
    for path in _images(root):
        yield path, -1


def _problems(setting: str, root: Path, classes: Sequence[str]) -> list[Problem]:
    """What is wrong with one folder before any image is opened."""
    where = f"data.{setting} ({root})"
    if not root.is_dir():
        return [Problem(where, "there is no such folder", "Paths are taken from where the recipe is")]
    if setting == "unlabelled":
        return [] if _images(root) else [Problem(where, "there are no images in it")]
    if not classes:
        return [Problem(where, "there are no sub-folders", "Make one for each class and put its images there")]
    loose = [p.name for p in _visible(root) if p.is_file() and p.suffix.lower() not in NOT_IMAGES]
    problems = []
    if loose:
        hint = "Move them into the sub-folder of their class, or into a folder that `unlabelled` names"
        problems.append(Problem(where, f"{len(loose)} images have no class, e.g. {loose[0]}", hint))
    if setting == "test" and set(_classes(root)) != set(classes):
        missing, extra = sorted(set(classes) - set(_classes(root))), sorted(set(_classes(root)) - set(classes))
        differs = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"adds {', '.join(extra)}"] * bool(extra)
        message = f"its classes are not those of the training images: it {' and '.join(differs)}"
        problems.append(Problem(where, message, "Give both the same sub-folders"))
    present = [name for name in classes if (root / name).is_dir()]
    empty = [name for name in present if not _images(root / name)]
    return problems + [Problem(f"data.{setting} ({root / name})", "the class has no images") for name in empty]


def _decoded(listed: Sequence[File], canvas: Canvas) -> tuple[Pool, tuple[Problem, ...]]:
    """Decode files in order; those that fail are left out and come back as problems."""
    images = _room((len(listed), canvas.size, canvas.size, 1 if canvas.channels == "gray" else 3))
    kept: list[File] = []
    bad: list[Problem] = []
    for path, label in listed:
        try:
            images[len(kept)] = preprocess.decode(path, canvas.size, canvas.channels, canvas.filter)
        except (ValueError, OSError) as error:
            bad.append(Problem(str(path), str(error)))
        else:
            kept.append((path, label))
    labels = np.array([label for _, label in kept], np.int64)
    return Pool({"image": images[: len(kept)]}, labels, tuple(str(path) for path, _ in kept)), tuple(bad)


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array to decode into: in memory, or in a temporary file that is gone when the array is."""
    if math.prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        file.truncate(math.prod(shape))
        if hasattr(os, "posix_fallocate"):  # a full disk must be an OSError here, not a crash when a page is written
            os.posix_fallocate(file.fileno(), 0, math.prod(shape))
        return np.memmap(file, np.uint8, "r+", shape=shape)


def _unreadable(bad: Sequence[Problem]) -> UsageError:
    """All files that do not decode, by name up to a number."""
    hint = "Repair or remove them, or leave them out with --skip-bad"
    shown = [Problem(p.where, p.message, hint if i == 0 else "") for i, p in enumerate(bad[:NAMED])]
    if len(bad) > NAMED:
        shown.append(Problem("", f"{len(bad) - NAMED} more images do not decode"))
    return UsageError(*shown)


def _nothing_left(classes: Sequence[str], roots: Mapping[str, Path], pools: Mapping[str, Pool | None]) -> None:
    """Raise UsageError for classes that had only images that do not decode."""
    problems = [
        Problem(f"data.{setting} ({roots[setting] / name})", "none of the images of this class decodes")
        for setting, pool in pools.items()
        if pool is not None
        for label, name in enumerate(classes)
        if not (pool.labels == label).any()
    ]
    if problems:
        raise UsageError(*problems)
