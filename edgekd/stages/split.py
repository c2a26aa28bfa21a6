"""Read every sample once, split them into disjoint parts, and write each part with its digest.

Test: the source's own, or a share that is held out. Validation (labelled) and calibration (unlabelled first) are taken
out of the rest; what is left is the training part, of which `labels` samples keep their label. Copies of a sample never
stand in two parts.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import ValidationError

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import translate
from edgekd.plugins import Array, Canvas, Source
from edgekd.results import Column, File, PartFiles, Splits
from edgekd.samples import sampling
from edgekd.spec import Choice, Data, Image, Part, Value
from edgekd.steps import Split
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("numpy",)
CHUNK_BYTES = 64 * 1024**2
NAMED = 5


def run(step: Split, out: Workspace) -> Splits:
    """Make the splits of a step; raises UsageError for data that cannot be split honestly, with every reason."""
    out.progress(0.0, "reading samples")
    canvas = common_canvas(step.images)
    module = plugins.find("datasets", step.data.source.name)
    settings = _settings(module.Settings, step.data.source)
    files = {setting: Path(file.path) for setting, file in step.data.source.files.items()}
    source: Source = module.read(settings, files, canvas, step.skip_bad)
    out.progress(0.6, "looking for copies")
    twins = sampling.twins(source)
    problems = [*_misjudged(step.data, source), *sampling.shortcomings(source, twins, step.data)]
    problems += sampling.overlaps(source, twins)
    if problems:
        raise UsageError(*problems)
    drawn = sampling.draw(source, twins, step.data, step.seed)
    parts: dict[Part, PartFiles] = {}
    for i, (part, chosen) in enumerate(drawn.parts.items()):
        out.progress(0.7 + 0.3 * i / len(drawn.parts), f"writing the {part} part")
        parts[part] = _written(part, chosen, out)
    return Splits(
        parts=parts,
        classes=source.classes,
        canvas=None if canvas is None else canvas.size,
        channels=None if canvas is None else ("gray" if canvas.channels == "gray" else "rgb"),
        skipped=source.skipped,
        caveats=(*_left_out(source.skipped), *drawn.caveats),
        read=len(source.train.labels) + (0 if source.test is None else len(source.test.labels)),
        front_ends=dict(source.front_ends),
        attached={name: _attached(name, content, out) for name, content in source.attached.items()},
        columns=_columns(step.data, drawn.parts["train"]),
        heads=source.heads,
    )


def _misjudged(data: Data, source: Source) -> list[Problem]:
    """A metric that says nothing of such labels."""
    wanted, given = plugins.declared("metrics", data.metric), plugins.task(source.train.targets is not None)
    if problem := plugins.misjudges(data.metric, given):
        return [problem]
    if source.heads and "per_sample" not in wanted.offers:
        message = f"{wanted.title or data.metric} is no mean over samples, and there are {len(source.heads)} heads"
        return [Problem("data.metric", message, "Take accuracy, or one head alone: its labels under y")]
    if wanted.classes and len(source.classes) != wanted.classes:
        message = f"{wanted.title or data.metric} is of {wanted.classes} classes, and there are {len(source.classes)}"
        return [Problem("data.metric", message, "Take another metric, or join classes")]
    return []


def _columns(data: Data, train: sampling.Chosen) -> tuple[Column, ...]:
    """What the columns of numbers are called, and how they spread over the labelled training samples."""
    if train.pool.targets is None:
        return ()
    known = train.pool.targets[train.rows][train.labels >= 0]
    count = known.shape[1]
    names = data.targets or (("y",) if count == 1 else tuple(f"y{i}" for i in range(count)))
    means, deviations = known.mean(axis=0), known.std(axis=0)
    return tuple(
        Column(name=name, unit=data.unit, mean=float(mean), deviation=float(deviation) or 1.0)
        for name, mean, deviation in zip(names, means, deviations, strict=True)
    )


def _attached(name: str, content: bytes, out: Workspace) -> File:
    out.path(name).write_bytes(content)
    return out.file(name)


def _left_out(skipped: Sequence[str]) -> tuple[str, ...]:
    """What is told of samples that could not be read: how many, and the first of them by name."""
    if not skipped:
        return ()
    more = ", ..." if len(skipped) > NAMED else ""
    return (f"{len(skipped)} images do not decode and were left out: {', '.join(skipped[:NAMED])}{more}",)


def common_canvas(images: Sequence[Image]) -> Canvas | None:
    """The square that serves all networks: the largest size, its filter, and colour if any network wants colour."""
    if not images:
        return None
    largest = max(images, key=lambda image: image.size)
    gray = all(image.channels == "gray" for image in images)
    return Canvas(largest.size, "gray" if gray else "rgb", largest.filter)


def _settings(kind: type[Value], choice: Choice) -> Value:
    """The settings of the data set as its plug-in reads them; raises UsageError with every mistake."""
    try:
        return kind.model_validate(choice.settings)
    except ValidationError as error:
        raise translate(error, lambda key: f"data.{key}", kind.model_fields) from error


def _written(part: Part, chosen: sampling.Chosen, out: Workspace) -> PartFiles:
    """Write one part; its digest covers names, types, shapes and bytes of all inputs, and the labels."""
    total = hashlib.sha256()
    inputs: dict[str, File] = {}
    for name, array in chosen.pool.inputs.items():
        file = f"{part}.{name}.npy"
        total.update(f"{name} {array.dtype.str} {array.shape[1:]}\n".encode())
        for chunk in _saved(out.path(file), array, chosen.rows):
            total.update(chunk)
        inputs[name] = out.file(file)
    labels = chosen.labels.astype(np.int64)
    total.update(labels.tobytes())
    own = chosen.pool.groups
    groups = None if own is None else np.unique(own[chosen.rows], return_inverse=True)[1].astype(np.int64)
    targets = _targets(chosen)
    if targets is not None:
        total.update(targets.tobytes())
    heads = _heads(chosen)
    if heads is not None:
        total.update(heads.tobytes())
    return PartFiles(
        inputs=inputs,
        labels=out.save(f"{part}-labels.npy", labels),
        count=len(labels),
        labelled=int((labels >= 0).sum()),
        digest=total.hexdigest(),
        rows=out.save(f"{part}-rows.npy", chosen.rows.astype(np.int64)),
        groups=None if groups is None else out.save(f"{part}-groups.npy", groups),
        targets=None if targets is None else out.save(f"{part}-targets.npy", targets),
        heads=None if heads is None else out.save(f"{part}-heads.npy", heads),
    )


def _targets(chosen: sampling.Chosen) -> NDArray[np.float64] | None:
    """The numbers to be told of a part's samples, of those that keep them."""
    every = chosen.pool.targets
    return None if every is None else np.where(chosen.labels[:, None] >= 0, every[chosen.rows], np.nan)


def _heads(chosen: sampling.Chosen) -> NDArray[np.int64] | None:
    """The labels of all heads of a part's samples, of those that keep theirs."""
    every = chosen.pool.heads
    return None if every is None else np.where(chosen.labels[:, None] >= 0, every[chosen.rows], -1)


def _saved(path: Path, array: Array, rows: NDArray[np.int64]) -> Iterator[bytes]:
    """Write rows of an array as .npy piece by piece, since a part may be larger than memory; yields the bytes."""
    header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": (len(rows), *array.shape[1:])}
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    with path.open("wb") as stream:
        npy.write_array_header_1_0(stream, header)
        for start in range(0, len(rows), step):
            chunk = np.ascontiguousarray(array[rows[start : start + step]]).tobytes()
            stream.write(chunk)
            yield chunk
