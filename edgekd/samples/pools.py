"""A user's named arrays, checked and turned into samples: all mistakes of all parts at once, images on the canvas.

Labels that are whole numbers name classes; floats are numbers to be told.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.plugins import Array, Canvas, Pool, Source
from edgekd.runtimes import preprocess

Arrays = Mapping[str, Array]
LABELS, GROUPS, IMAGE = "y", "group", "image"
NO_INPUTS = (LABELS, GROUPS)
# Samples whose numbers are in the same one of so many equally large parts of all are alike enough for a split.
STRATA = 10


def source(
    parts: Mapping[str, Arrays], where: Mapping[str, str], names: Sequence[str], canvas: Canvas | None
) -> Source:
    """Make a Source of `parts` "train" and, if there, "test" and "unlabelled": arrays by input name, labels under "y".

    Who or what each sample is of may stand under "group", as whole numbers or text.
    `where` says for each part what to call it in a message; `names` are the classes (empty: 0 to the largest label).
    Images are the input "image" (or "x", where there is no "image" and a network wants images). Raises UsageError.
    """
    parts = {part: _renamed(arrays, canvas) for part, arrays in parts.items()}
    problems = [p for part, arrays in parts.items() for p in _part_problems(part, arrays, where[part], canvas)]
    if not problems:
        others = [part for part in parts if part != "train"]
        problems = [p for part in others for p in _differences(parts["train"], parts[part], where[part], canvas)]
    labels = [arrays[LABELS] for arrays in parts.values() if not problems and LABELS in arrays]
    if labels and is_numbers(labels[0]):
        return _of_numbers(parts, where, names, canvas)
    largest = max((int(values.max()) for values in labels), default=-1)
    # a class without a sample is refused later; here it keeps a stray label from making a billion names
    known = len(names) or sum(map(len, labels))
    if largest >= known:
        message = f"a label is {largest}, but there are {known} {'classes' if names else 'labels in all'}"
        problems.append(Problem(where["train"], message, "Labels count from 0; name every class in `classes`"))
    classes = tuple(names) or tuple(str(label) for label in range(min(largest + 1, known)))
    if len(set(classes)) != len(classes):
        problems.append(Problem(where["train"], "two classes have the same name", "Give each class its own name"))
    if problems:
        raise UsageError(*problems)
    pools = {part: _pool(arrays, canvas) for part, arrays in parts.items()}
    train = join(pools["train"], pools["unlabelled"]) if "unlabelled" in pools else pools["train"]
    return Source(train, pools.get("test"), classes)


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
    targets = first.targets
    if targets is not None:
        targets = np.concatenate([targets, np.full((len(second.labels), targets.shape[1]), np.nan)])
    return Pool(inputs, np.concatenate([first.labels, second.labels]), names, groups, targets)


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
    inputs = {name: array for name, array in arrays.items() if name not in NO_INPUTS}
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
    return [*problems, *_label_problems(part, arrays.get(LABELS), where), *_group_problems(arrays.get(GROUPS), where)]


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


def _label_problems(part: str, labels: Array | None, where: str) -> list[Problem]:
    """What is wrong with the labels of one part."""
    place = f"{where}, array {LABELS!r}"
    if labels is None:
        return [Problem(place, "test samples need labels, and there are none")] if part == "test" else []
    if part == "unlabelled":
        return [Problem(place, "unlabelled samples have labels", "Remove the array, or give them as training samples")]
    if is_numbers(labels):
        return _number_problems(part, labels, place)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        message = f"labels are {labels.dtype} {labels.shape}"
        hint = (
            "Give one whole number a sample, counted from 0, for classes (negative: unlabelled), or floats for numbers"
        )
        return [Problem(place, message, hint)]
    if part == "test" and labels.min(initial=0) < 0:
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
    ours, theirs = (sorted(set(arrays) - {LABELS}) for arrays in (train, other))
    if ours != theirs:
        message = f"its arrays are {', '.join(theirs)}; those of the training samples are {', '.join(ours)}"
        return [Problem(where, message, "Give both the same arrays")]
    problems = _kinds_differ(train, other, where)
    for name in (name for name in ours if name != GROUPS):
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


def _pool(arrays: Arrays, canvas: Canvas | None) -> Pool:
    """Checked arrays of one part -> samples."""
    inputs = {}
    for name, array in arrays.items():
        if name == IMAGE and canvas is not None:
            inputs[name] = on_canvas(array, canvas)
        elif name not in NO_INPUTS:
            inputs[name] = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    count = len(next(iter(inputs.values())))
    groups = arrays[GROUPS].astype(np.str_) if GROUPS in arrays else None
    if LABELS in arrays and is_numbers(arrays[LABELS]):
        targets = arrays[LABELS].astype(np.float64).reshape(count, -1)
        return Pool(inputs, strata(targets), groups=groups, targets=targets)
    labels = np.full(count, -1, np.int64) if LABELS not in arrays else arrays[LABELS].astype(np.int64)
    return Pool(inputs, np.maximum(labels, -1), groups=groups)
