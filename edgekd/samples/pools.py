"""A user's named arrays, checked and turned into samples: all mistakes of all parts at once, images on the canvas.

Labels that are whole numbers name classes; floats are numbers to be told. Labels of several heads are y_<head> each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Array, Canvas, Pool, Source
from edgekd.results import Head
from edgekd.runtimes import preprocess

Arrays = Mapping[str, Array]
LABELS, GROUPS, IMAGE = "y", "group", "image"
HEAD = f"{LABELS}_"
Names = Sequence[str] | Mapping[str, Sequence[str]]
# Samples whose numbers are in the same one of so many equally large parts of all are alike enough for a split.
STRATA = 10


def source(parts: Mapping[str, Arrays], where: Mapping[str, str], names: Names, canvas: Canvas | None) -> Source:
    """Make a Source of `parts` "train" and, if there, "test" and "unlabelled": arrays by input name, labels under "y".

    Who or what each sample is of may stand under "group", as whole numbers or text. Where there is no "y", arrays
    "y_<head>" are the labels of several heads.
    `where` says for each part what to call it in a message; `names` are the classes (empty: 0 to the largest label),
    of several heads those of each. Images are the input "image" (or "x", where there is no "image" and a network wants
    images). Raises UsageError.
    """
    parts = {part: _renamed(arrays, canvas) for part, arrays in parts.items()}
    problems = [p for part, arrays in parts.items() for p in _part_problems(part, arrays, where[part], canvas)]
    if not problems:
        others = [part for part in parts if part != "train"]
        problems = [p for part in others for p in _differences(parts["train"], parts[part], where[part], canvas)]
    labels = [arrays[LABELS] for arrays in parts.values() if not problems and LABELS in arrays]
    if not problems and (arrays := _of_labels(parts["train"])):
        return _of_heads(parts, where, arrays, names, canvas)
    if isinstance(names, Mapping):
        message = f"classes are given for {', '.join(names)}, but the labels are not of several heads"
        problems.append(Problem(where["train"], message, f"Name arrays of labels {HEAD}<head>, or list the classes"))
        names = ()
    if labels and is_numbers(labels[0]):
        return _of_numbers(parts, where, names, canvas)
    classes = _classes(labels, names, where["train"], problems)
    if problems:
        raise UsageError(*problems)
    pools = {part: _pool(arrays, canvas) for part, arrays in parts.items()}
    train = join(pools["train"], pools["unlabelled"]) if "unlabelled" in pools else pools["train"]
    return Source(train, pools.get("test"), classes)


def _classes(labels: Sequence[Array], names: Sequence[str], where: str, problems: list[Problem]) -> tuple[str, ...]:
    """The names of the classes; problems are added."""
    largest = max((int(values.max()) for values in labels), default=-1)
    # a class without a sample is refused later; here it keeps a stray label from making a billion names
    known = len(names) or sum(map(len, labels))
    if largest >= known:
        message = f"a label is {largest}, but there are {known} {'classes' if names else 'labels in all'}"
        problems.append(Problem(where, message, "Labels count from 0; name every class in `classes`"))
    classes = tuple(names) or tuple(str(label) for label in range(min(largest + 1, known)))
    if len(set(classes)) != len(classes):
        problems.append(Problem(where, "two classes have the same name", "Give each class its own name"))
    return classes


def heads(arrays: Arrays) -> tuple[str, ...]:
    """The names of the heads that arrays have labels of; none where there are plain labels, or none."""
    return tuple(name.removeprefix(HEAD) for name in _of_labels(arrays))


def _of_labels(arrays: Arrays) -> tuple[str, ...]:
    """The arrays of labels of several heads."""
    return () if LABELS in arrays else tuple(name for name in arrays if name.startswith(HEAD))


def _of_heads(
    parts: Mapping[str, Arrays], where: Mapping[str, str], arrays: Sequence[str], names: Names, canvas: Canvas | None
) -> Source:
    """The Source of checked parts whose samples have a label of each of several heads."""
    problems, found = list[Problem](), list[Head]()
    if not isinstance(names, Mapping):
        if names:
            message = f"classes are listed, but there are labels of {len(arrays)} heads"
            hint = "Give a table: classes = { " + f"{arrays[0].removeprefix(HEAD)} = [...] " + "}"
            problems.append(Problem(where["train"], message, hint))
        names = {}
    of_heads = [array.removeprefix(HEAD) for array in arrays]
    if unknown := [name for name in names if name not in of_heads]:
        message = f"classes are given for {', '.join(unknown)}, but the heads are {', '.join(of_heads)}"
        problems.append(Problem(where["train"], message, "Name the heads as their arrays are named"))
    for array, name in zip(arrays, of_heads, strict=True):
        labels = [each[array] for each in parts.values() if array in each]
        place, start = f"{where['train']}, array {array!r}", found[-1].columns.stop if found else 0
        classes = _classes(labels, tuple(names.get(name, ())), place, problems)
        if len(classes) < 2:
            message = f"there is {len(classes)} class, and a choice needs at least 2"
            problems.append(Problem(place, message, "Leave that head out"))
        found.append(Head(name=name, start=start, classes=classes))
    if problems:
        raise UsageError(*problems)
    pools = {part: _with_heads(_pool(each, canvas, arrays), each, found) for part, each in parts.items()}
    train = join(pools["train"], pools["unlabelled"]) if "unlabelled" in pools else pools["train"]
    every = tuple(f"{head.name}: {name}" for head in found for name in head.classes)
    return Source(train, pools.get("test"), every, heads=tuple(found))


def _with_heads(pool: Pool, arrays: Arrays, heads: Sequence[Head]) -> Pool:
    """Samples with their labels of all heads; a plain label is the column of the first head that has one."""
    none = np.full(len(pool.labels), -1, np.int64)
    columns = [np.maximum(arrays.get(f"{HEAD}{head.name}", none).astype(np.int64), -1) for head in heads]
    labels = none
    for head, column in zip(heads, columns, strict=True):
        labels = np.where((labels < 0) & (column >= 0), head.start + column, labels)
    return replace(pool, labels=labels, heads=np.stack(columns, axis=1))


def is_numbers(labels: Array) -> bool:
    """Whether labels are numbers to be told, no names of classes."""
    return labels.dtype.kind == "f"


def _of_numbers(
    parts: Mapping[str, Arrays], where: Mapping[str, str], names: Sequence[str], canvas: Canvas | None
) -> Source:
    """The Source of checked parts whose labels are numbers."""
    if names:
        hint = "Leave `classes` out, or give whole numbers under y"
        raise UsageError(Problem(where["train"], "classes are named, but the labels are numbers", hint))
    pools = {part: _pool(arrays, canvas) for part, arrays in parts.items()}
    train = pools["train"]
    if "unlabelled" in pools:
        train = join(train, pools["unlabelled"])
    return Source(train, pools.get("test"), ())


def strata(targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row of (N, columns) the tenth of all that its first number is in; -1 where a number is missing."""
    known = np.isfinite(targets).all(axis=1)
    edges = np.quantile(targets[known, 0], np.arange(1, STRATA) / STRATA) if known.any() else np.empty(0)
    return np.where(known, np.searchsorted(edges, targets[:, 0], side="right"), -1).astype(np.int64)


def join(first: Pool, second: Pool) -> Pool:
    """The samples of one pool, then those of another, which have no numbers to be told."""
    inputs = {name: np.concatenate([first.inputs[name], second.inputs[name]]) for name in first.inputs}
    names = (*first.names, *second.names)
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = np.concatenate([first.groups, second.groups])
    targets, heads = first.targets, None
    if targets is not None:
        targets = np.concatenate([targets, np.full((len(second.labels), targets.shape[1]), np.nan)])
    if first.heads is not None and second.heads is not None:
        heads = np.concatenate([first.heads, second.heads])
    return Pool(inputs, np.concatenate([first.labels, second.labels]), names, groups, targets, heads)


def on_canvas(images: NDArray[np.uint8], canvas: Canvas) -> NDArray[np.uint8]:
    """Bring images, uint8 (N, H, W) or (N, H, W, 1 or 3), to (N, canvas, canvas, C); unchanged where they are so."""
    images = preprocess.ordered(images if images.ndim == 4 else images[..., None], canvas.channels)
    if images.shape[1:3] == (canvas.size, canvas.size):
        return images
    result = np.empty((len(images), canvas.size, canvas.size, images.shape[3]), np.uint8)
    for i, image in enumerate(images):
        result[i] = preprocess.square(image, canvas.size, canvas.filter)
    return result


def _renamed(arrays: Arrays, canvas: Canvas | None) -> Arrays:
    """Arrays with "x" called "image" where images are wanted and nothing else is called so."""
    if canvas is None or IMAGE in arrays or "x" not in arrays:
        return arrays
    return {IMAGE if name == "x" else name: array for name, array in arrays.items()}


def _part_problems(part: str, arrays: Arrays, where: str, canvas: Canvas | None) -> list[Problem]:
    """What is wrong with the arrays of one part, each by itself."""
    labels = _of_labels(arrays)
    inputs = {name: array for name, array in arrays.items() if name not in (LABELS, GROUPS, *labels)}
    problems = [p for name, array in inputs.items() for p in _input_problems(name, array, where)]
    if not inputs:
        problems.append(Problem(where, "there is no input array", f"Name images {IMAGE!r} and labels {LABELS!r}"))
    elif canvas is not None:
        problems += _image_problems(inputs, where)
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
        problems.append(Problem(where, f"arrays have different numbers of samples: {counts}", "Make them equal"))
    elif 0 in lengths.values():
        problems.append(Problem(where, "there are no samples"))
    for name in labels or (LABELS,):
        problems += _label_problems(part, arrays.get(name), f"{where}, array {name!r}", name != LABELS)
    return [*problems, *_group_problems(arrays.get(GROUPS), where)]


def _input_problems(name: str, array: Array, where: str) -> list[Problem]:
    """What is wrong with one input array."""
    place = f"{where}, array {name!r}"
    if not name.isidentifier():
        return [Problem(place, "the name of an input must be letters, digits and _", "Rename the array")]
    if array.dtype.kind not in "biuf" or array.ndim < 1 or 0 in array.shape[1:]:
        message = f"{array.dtype} {array.shape} is not an input"
        return [Problem(place, message, "Give numbers, whole numbers or booleans, the samples first")]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        rows = ", ".join(map(str, bad[:5]))
        return [Problem(place, f"{len(bad)} samples hold NaN or infinity (rows {rows}, ...)", "Remove or fill them")]
    return []


def _image_problems(inputs: Arrays, where: str) -> list[Problem]:
    """What is wrong with the images that a network asked for."""
    if IMAGE not in inputs:
        hint = f"Name the array of images {IMAGE!r}, or leave out `image` at teacher and student"
        return [Problem(where, f"images are wanted, but the arrays are {', '.join(inputs)}", hint)]
    image = inputs[IMAGE]
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or (image.ndim == 4 and image.shape[3] not in (1, 3)):
        hint = "Give uint8 of (N, H, W) or (N, H, W, 1 or 3), 0 to 255, not scaled"
        return [Problem(f"{where}, array {IMAGE!r}", f"{image.dtype} {image.shape} are not images", hint)]
    return []


def _label_problems(part: str, labels: Array | None, place: str, of_head: bool = False) -> list[Problem]:
    """What is wrong with the labels of one part; a test sample may lack the label of one head."""
    if labels is None:
        return [Problem(place, "test samples need labels, and there are none")] if part == "test" else []
    if part == "unlabelled":
        return [Problem(place, "unlabelled samples have labels", "Remove the array, or give them as training samples")]
    if is_numbers(labels) and not of_head:
        return _number_problems(part, labels, place)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        message = f"labels are {labels.dtype} {labels.shape}"
        hint = (
            "Give one whole number a sample, counted from 0, for classes (negative: unlabelled), or floats for numbers"
        )
        return [Problem(place, message, hint)]
    if part == "test" and labels.min(initial=0) < 0 and not of_head:
        return [Problem(place, f"{int((labels < 0).sum())} test samples have no label", "Leave those samples out")]
    return []


def _number_problems(part: str, labels: Array, place: str) -> list[Problem]:
    """What is wrong with labels that are numbers to be told."""
    if labels.ndim not in (1, 2) or 0 in labels.shape[1:]:
        return [Problem(place, f"numbers are of the shape {labels.shape}", "Give (N,) or (N, columns)")]
    if np.isinf(labels).any():
        return [
            Problem(place, f"{int(np.isinf(labels).sum())} numbers are infinite", "Write NaN for what is not known")
        ]
    missing = int(np.isnan(labels).reshape(len(labels), -1).any(axis=1).sum())
    if part == "test" and missing:
        return [Problem(place, f"{missing} test samples have no number (NaN)", "Leave those samples out")]
    return []


def _group_problems(groups: Array | None, where: str) -> list[Problem]:
    """What is wrong with the groups of one part."""
    if groups is None or (groups.dtype.kind in "iuU" and groups.ndim == 1):
        return []
    message = f"groups are {groups.dtype} {groups.shape}"
    return [Problem(f"{where}, array {GROUPS!r}", message, "Give one whole number or text a sample")]


def _differences(train: Arrays, other: Arrays, where: str, canvas: Canvas | None) -> list[Problem]:
    """How the arrays of another part differ from those of the training samples."""
    labels = _of_labels(train)
    left_out = {LABELS} if _of_labels(other) else {LABELS, *labels}  # unlabelled samples have none
    ours, theirs = (sorted(set(arrays) - left_out) for arrays in (train, other))
    if ours != theirs:
        message = f"its arrays are {', '.join(theirs)}; those of the training samples are {', '.join(ours)}"
        return [Problem(where, message, "Give both the same arrays")]
    problems = _kinds_differ(train, other, where)
    for name in (name for name in ours if name != GROUPS and name not in labels):
        expected, got = ((arrays[name].dtype, arrays[name].shape[1:]) for arrays in (train, other))
        if expected != got and not (canvas is not None and name == IMAGE):
            message = f"{got[0]} {got[1]} a sample, but {expected[0]} {expected[1]} in the training samples"
            problems.append(Problem(f"{where}, array {name!r}", message, "Give both the same type and shape"))
    return problems


def _kinds_differ(train: Arrays, other: Arrays, where: str) -> list[Problem]:
    """Labels that name classes in one part, and are numbers in another, or more of them."""
    if LABELS not in train or LABELS not in other:
        return []
    theirs, ours = other[LABELS], train[LABELS]
    if is_numbers(theirs) == is_numbers(ours) and theirs.shape[1:] == ours.shape[1:]:
        return []
    message = f"{theirs.dtype} {theirs.shape[1:]} a sample, but {ours.dtype} {ours.shape[1:]} in the training samples"
    return [Problem(f"{where}, array {LABELS!r}", message, "Give both the same kind of labels")]


def _pool(arrays: Arrays, canvas: Canvas | None, labels_of: Sequence[str] = ()) -> Pool:
    """Checked arrays of one part -> samples; `labels_of` are the arrays of labels of heads."""
    inputs = {}
    for name, array in arrays.items():
        if name == IMAGE and canvas is not None:
            inputs[name] = on_canvas(array, canvas)
        elif name not in (LABELS, GROUPS, *labels_of):
            inputs[name] = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    count = len(next(iter(inputs.values())))
    groups = arrays[GROUPS].astype(np.str_) if GROUPS in arrays else None
    if LABELS in arrays and is_numbers(arrays[LABELS]):
        targets = arrays[LABELS].astype(np.float64).reshape(count, -1)
        return Pool(inputs, strata(targets), groups=groups, targets=targets)
    labels = np.full(count, -1, np.int64) if LABELS not in arrays else arrays[LABELS].astype(np.int64)
    return Pool(inputs, np.maximum(labels, -1), groups=groups)
