"""Writes a commented recipe for a user's own teacher and data, with what a trial of the two has shown."""

import json
import os
import textwrap
import zipfile
from pathlib import Path

import numpy as np

from edgekd.errors import Problem, UsageError
from edgekd.recipes.models import FILES, source_of
from edgekd.results import Finding, Tried
from edgekd.samples.guesses import IMAGENET_MEAN, IMAGENET_STD, adapted, written
from edgekd.spec import Image, Value

SIZE = 224
WIDTH = 118


class Start(Value):
    """What the user said about teacher, data and target; paths as written, relative to the current folder.

    `image` is how the teacher is thought to want its images, None where inputs are not images.
    """

    teacher: str
    data: str
    weights: str = ""
    test: str = ""
    image: Image | None = None
    target: str = "tflite"

    @property
    def kind(self) -> str:
        """The teacher plug-in of a file; empty for code."""
        return FILES.get(Path(self.teacher).suffix.lower(), "")

    @property
    def source(self) -> str:
        """The dataset plug-in."""
        return source_of(self.data)


def first_image(data: str, size: int | None, channels: str | None, mean: str | None, std: str | None) -> Image | None:
    """How the teacher is thought to want its images: as said, else as most do; None where the data are not images."""
    seen = (SIZE, "rgb") if source_of(data) == "folder" else _stored_images(Path(data).expanduser())
    if seen is None and not (size or channels or mean or std):
        return None
    side, stored = seen or (SIZE, "rgb")
    if bool(mean) != bool(std):
        missing = "--std" if mean else "--mean"
        raise UsageError(
            Problem(missing, "is missing: mean and std belong together", "For example --mean 0.5 --std 0.5")
        )
    order = channels or stored
    numbers = [_numbers(text, flag, order) for text, flag in ((mean, "--mean"), (std, "--std")) if text]
    if numbers and min(numbers[1]) <= 0:
        raise UsageError(Problem("--std", f"{std!r} must be above zero", "For example 0.229,0.224,0.225"))
    given = {"mean": numbers[0], "std": numbers[1]} if numbers else {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    if not numbers and order == "bgr":
        given = {name: values[::-1] for name, values in given.items()}
    image = Image.model_validate({"size": size or side, "channels": order} | given)
    return adapted(image, "gray") if order == "gray" and not numbers else image


def _numbers(text: str, flag: str, channels: str) -> tuple[float, ...]:
    """Numbers with commas between them, one or one for each channel."""
    count = 1 if channels == "gray" else 3
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, count) or not np.isfinite(values).all():
        message = f"{text!r} is not {'1 number' if count == 1 else '1 or 3 numbers with commas between them'}"
        raise UsageError(Problem(flag, message, "For example 0.5" + " or 0.485,0.456,0.406" * (count == 3)))
    return values


def _stored_images(path: Path) -> tuple[int, str] | None:
    """Side and channels of the images in an .npz, from its headers alone; None where it holds none."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in ("image.npy", "x.npy") if name in archive.namelist())
            with archive.open(name) as stream:
                readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
                shape, _, dtype = readers[np.lib.format.read_magic(stream)[0]](stream)
    except (OSError, ValueError, KeyError, StopIteration, zipfile.BadZipFile):
        return None  # the data's own reader says what is wrong with it
    if dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        return None
    return min(shape[1:3]), "rgb" if len(shape) == 4 and shape[3] == 3 else "gray"


def _path(path: str, recipe: Path) -> str:
    """A path as a page in another folder must name it."""
    return Path(os.path.relpath(Path(path).expanduser(), recipe.parent)).as_posix()


def _text(value: object) -> str:
    """A TOML string, or a list of them."""
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> list[str]:
    """Text of whatever origin as lines of comment."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return [f"# {line}" for line in textwrap.wrap(plain, WIDTH, break_long_words=False, break_on_hyphens=False)]


def sentence(finding: Finding) -> str:
    """A finding, and what is left to do about it after the recipe was written."""
    return f"{finding.message}. {'The recipe says so' if finding.settled else finding.fix}".removesuffix(" ")


def compose(start: Start, recipe: Path, tried: Tried | None = None, untried: str = "not tried on the data") -> str:
    """The page's text for the file `recipe`. Raises UsageError for what cannot be a teacher or data."""
    if not start.kind and ":" not in start.teacher:
        endings = ", ".join(FILES)
        hint = f"Write module:function, for example my_net:build, or a file that ends in {endings}"
        raise UsageError(Problem("--teacher", f"{start.teacher!r} is neither code nor a model file", hint))
    image = tried.image if tried else start.image
    return "\n".join(
        (*_data(start, recipe, tried), *_teacher(start, image, recipe, tried, untried), *_rest(start, image))
    )


def _data(start: Start, recipe: Path, tried: Tried | None) -> list[str]:
    what = "one sub-folder of images a class" if start.source == "folder" else "x (samples first), y (class numbers)"
    lines = ["[data]", f"{start.source} = {_text(_path(start.data, recipe))}            # {what}"]
    if tried and tried.order and start.source == "folder":
        lines += [
            "# The order of the teacher's outputs, as its own answers suggest it: check it.",
            f"classes = {_text(list(tried.order))}",
        ]
    if start.test:
        lines.append(f"test = {_text(_path(start.test, recipe))}      # samples that the teacher has not seen")
    else:
        lines.append('# test = "..."          # samples that the teacher has not seen; without it a share is held out')
    lines.append("# labels = 1000             # keep so many labels; the other samples are used without theirs")
    return [*lines, "# validation = 1000", "# calibration = 256", ""]


def _teacher(start: Start, image: Image | None, recipe: Path, tried: Tried | None, untried: str) -> list[str]:
    lines = ["[teacher]"]
    if start.kind:
        lines.append(f"{start.kind} = {_text(_path(start.teacher, recipe))}")
    else:
        module, _, function = start.teacher.rpartition(":")
        folder = _path(str(Path(*module.split(".")).parent), recipe)
        name = module.rpartition(".")[2]
        code = f"{name}:{function}" if folder == "." else f"{folder.replace('/', '.')}.{name}:{function}"
        lines.append(f"make = {_text(code)}            # module:function; it returns the torch network")
    if start.weights:
        lines.append(f"weights = {_text(_path(start.weights, recipe))}            # safetensors, or a state dict")
    lines += _shown(tried) if tried else _comment(f"The teacher was {untried}.")
    if image and start.kind != "saved":
        lines += [
            "# How the teacher was trained to see its images. A wrong mean, std or order of channels costs accuracy",
            "# silently: if you know what its training used, write that.",
            f"image = {written(image)}",
        ]
    return [*lines, ""]


def _shown(tried: Tried) -> list[str]:
    """What the trial has shown, as comments."""
    lines = []
    if tried.chosen is not None:
        best = tried.attempts[tried.chosen]
        value = best.reordered if tried.order and best.reordered else best.accuracy
        right = f"{100 * value.value:.0f} % ({100 * value.low:.0f} to {100 * value.high:.0f})"
        so = "with these settings" if best.image else "as they are"
        lines += _comment(f"Tried on {tried.samples} labelled training samples: {right} are right {so}.")
    for finding in tried.findings:
        lines += _comment(f"FOUND: {sentence(finding)}")
    for note in tried.notes:
        lines += _comment(f"Note: {note}.")
    return lines


def _rest(start: Start, image: Image | None) -> list[str]:
    lines = ["[student]", 'family = "convnet"         # see: edgekd list students; or make = "my_student:build"']
    if image:
        lines.append(f"image = {{ size = {min(image.size, 96)} }}     # smaller images are faster")
    return [
        *lines,
        "",
        "[[target]]",
        f"format = {_text(start.target)}          # see: edgekd list targets",
        '# max_latency = "20ms"',
        '# max_size = "256KiB"',
        '# max_drop = "1pp"           # against the teacher',
        "",
    ]
