"""Sounds in folders: a sub-folder for each class, WAV files of 16 bits, cut into clips of log-mel energies."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Canvas, Source
from edgekd.results import LogMel
from edgekd.runtimes import logmel
from edgekd.samples import pools
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("numpy",)
EXTRA = "train"
FILES = ("folder", "test", "unlabelled")
EXAMPLES, SHOWN = "sounds.npz", 4
FLOOR, LOWEST = 1e-6, 20.0
NAMED = 20

Clips = NDArray[np.int16]


class Settings(Value):
    """Folders: training sounds by class, test sounds by the same classes, and sounds without a class.

    A file gives a clip of `seconds` after another (a shorter one gets silence on both sides), and all clips of a file
    stand in one part. A clip has `mels` bands, from windows of `window` seconds, one every `hop` seconds.
    """

    folder: str
    test: str | None = None
    unlabelled: str | None = None
    classes: tuple[str, ...] = ()
    seconds: float = Field(default=1.0, gt=0, le=60)
    mels: int = Field(default=40, ge=4, le=128)
    window: float = Field(default=0.032, gt=0)
    hop: float = Field(default=0.016, gt=0)


def read(settings: Settings, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source:
    """Read every file; raises UsageError naming empty folders, classes that differ, and files that are no such sound.

    With `skip_bad` those files are left out and told in `skipped`.
    """
    named = {part: getattr(settings, part) for part in FILES}
    roots = {part: files.get(part, Path(value)) for part, value in named.items() if value is not None}
    classes = _classes(settings, roots)
    found: dict[str, list[tuple[str, int, Clips]]] = {}
    bad: list[Problem] = []
    rates: dict[int, str] = {}
    for part, root in roots.items():
        found[part] = []
        for path, label in _listed(root, classes, part == "unlabelled"):
            try:
                sound, rate = logmel.read(path)
            except (OSError, ValueError) as error:
                bad.append(Problem(str(path), str(error), "Convert it to a WAV file of 16 bits"))
                continue
            rates.setdefault(rate, str(path))
            found[part].append((path.relative_to(root).as_posix(), label, sound))
    if (bad and not skip_bad) or not found["folder"]:
        raise UsageError(*(bad[:NAMED] or [Problem("data.folder", f"{roots['folder']} holds no WAV file")]))
    if len(rates) > 1:
        told = ", ".join(f"{path}: {rate} Hz" for rate, path in sorted(rates.items()))
        raise UsageError(Problem("data.folder", f"rates differ: {told}", "Resample all sounds to one rate"))
    how = _front_end(settings, next(iter(rates)))
    parts, examples = {}, np.empty((0, how.samples), np.int16)
    for part, sounds in found.items():
        clips, labels, groups = _clips(sounds, how.samples)
        examples = clips[:SHOWN] if part == "folder" else examples
        known = {} if part == "unlabelled" else {pools.LABELS: labels}
        arrays = {"sound": logmel.prepare(clips, how.model_dump()), pools.GROUPS: np.char.add(f"{part}/", groups)}
        parts["train" if part == "folder" else part] = arrays | known
    where = {("train" if part == "folder" else part): f"data.{part} ({root})" for part, root in roots.items()}
    source = pools.source(parts, where, classes, None)
    kept = io.BytesIO()
    np.savez(kept, sound=examples, input=source.train.inputs["sound"][: len(examples)])
    skipped = tuple(problem.where for problem in bad)
    attached = {EXAMPLES: kept.getvalue()}
    return Source(source.train, source.test, classes, skipped, front_ends={"sound": how}, attached=attached)


def _classes(settings: Settings, roots: Mapping[str, Path]) -> tuple[str, ...]:
    """Names of the classes in order; raises UsageError where folders are missing or do not agree."""
    problems = [
        Problem(f"data.{part}", f"{root} is not a folder", "Paths are taken from where the recipe is")
        for part, root in roots.items()
        if not root.is_dir()
    ]
    if problems:
        raise UsageError(*problems)
    own = {part: _visible(root) for part, root in roots.items() if part != "unlabelled"}
    classes = settings.classes or own["folder"]
    for part, names in own.items():
        if sorted(names) != sorted(classes):
            message = f"sub-folders of {roots[part]} are {', '.join(names) or 'none'}, not {', '.join(classes)}"
            problems.append(Problem(f"data.{part}", message, "Put the sounds of each class into a folder of its name"))
    if problems:
        raise UsageError(*problems)
    return classes


def _visible(root: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _listed(root: Path, classes: Sequence[str], unlabelled: bool) -> list[tuple[Path, int]]:
    """WAV files with their class, in the order of the paths."""
    places = [(root, -1)] if unlabelled else [(root / name, label) for label, name in enumerate(classes)]
    return [
        (path, label)
        for place, label in places
        for path in sorted(place.rglob("*"), key=lambda path: path.as_posix())
        if path.suffix.lower() == ".wav" and not path.name.startswith(".")
    ]


def _front_end(settings: Settings, rate: int) -> LogMel:
    """What the signature says: times as samples, and an FFT of the next power of two."""
    window = round(settings.window * rate)
    how = LogMel(
        rate=rate,
        samples=round(settings.seconds * rate),
        window=window,
        hop=max(1, round(settings.hop * rate)),
        fft=1 << (window - 1).bit_length(),
        mels=settings.mels,
        low=LOWEST,
        high=rate / 2,
        floor=FLOOR,
    )
    if how.window < 16 or how.samples < how.window:
        message = f"a clip of {how.samples} samples and windows of {how.window} do not go together"
        raise UsageError(Problem("data.window", message, "Give a window of 16 samples or more, and longer clips"))
    empty = int((logmel.triangles(how.model_dump()).sum(0) == 0).sum())
    if empty:
        message = f"{empty} of {how.mels} mel bands are narrower than what windows of {how.window} samples tell apart"
        raise UsageError(Problem("data.mels", message, "Ask for fewer bands, or for longer windows"))
    return how


def _clips(sounds: Sequence[tuple[str, int, Clips]], samples: int) -> tuple[Clips, NDArray[np.int64], NDArray[np.str_]]:
    """Clips one after another, their classes, and the files that they are of. A rest of half a clip or more is one."""
    clips, labels, groups = [], [], []
    for name, label, sound in sounds:
        whole = [sound[start : start + samples] for start in range(0, len(sound), samples)]
        for clip in [clip for clip in whole if 2 * len(clip) >= samples] or whole[:1]:
            clips.append(logmel.cut(clip, samples))
            labels.append(label)
            groups.append(name)
    if not clips:
        return np.empty((0, samples), np.int16), np.empty(0, np.int64), np.empty(0, np.str_)
    return np.stack(clips), np.array(labels, np.int64), np.array(groups, np.str_)
