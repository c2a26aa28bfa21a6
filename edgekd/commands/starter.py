"""Writes a commented recipe for a user's own teacher and data."""

import os
from pathlib import Path

from edgekd.errors import Problem, UsageError
from edgekd.spec import Value

# What a teacher's file is, by its ending; anything else is module:function.
TEACHERS = {".onnx": "onnx", ".pt2": "program", ".npz": "saved"}


class Start(Value):
    """What the user said about teacher, data and target; paths as written, relative to the current folder."""

    teacher: str
    data: str
    weights: str = ""
    test: str = ""
    size: int = 224
    target: str = "tflite"


def _text(value: str) -> str:
    """A TOML string."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(written: str, recipe: Path) -> str:
    """A path as a page in another folder must name it."""
    return Path(os.path.relpath(Path(written).expanduser(), recipe.parent)).as_posix()


def compose(start: Start, recipe: Path) -> str:
    """The page's text for the file `recipe`. Raises UsageError for what cannot be a teacher or data."""
    kind = TEACHERS.get(Path(start.teacher).suffix.lower(), "")
    if not kind and ":" not in start.teacher:
        endings = ", ".join(TEACHERS)
        hint = f"Write module:function, for example my_net:build, or a file that ends in {endings}"
        raise UsageError(Problem("--teacher", f"{start.teacher!r} is neither code nor a model file", hint))
    source = "arrays" if Path(start.data).suffix.lower() == ".npz" else "folder"
    images = source == "folder"
    return "\n".join((*_data(start, source, recipe), *_teacher(start, kind, images, recipe), *_rest(start, images)))


def _data(start: Start, source: str, recipe: Path) -> list[str]:
    what = "one sub-folder of images a class" if source == "folder" else "x (samples first) and y (class numbers)"
    lines = ["[data]", f"{source} = {_text(_path(start.data, recipe))}            # {what}"]
    if start.test:
        lines.append(f"test = {_text(_path(start.test, recipe))}      # samples that the teacher has not seen")
    else:
        lines.append('# test = "..."          # samples that the teacher has not seen; without it a share is held out')
    lines.append("# labels = 1000             # keep so many labels; the other samples are used without theirs")
    return [*lines, "# validation = 1000", "# calibration = 256", ""]


def _teacher(start: Start, kind: str, images: bool, recipe: Path) -> list[str]:
    lines = ["[teacher]"]
    if kind:
        lines.append(f"{kind} = {_text(_path(start.teacher, recipe))}")
    else:
        module, _, function = start.teacher.rpartition(":")
        folder = _path(str(Path(*module.split(".")).parent), recipe)
        name = module.rpartition(".")[2]
        code = f"{name}:{function}" if folder == "." else f"{folder.replace('/', '.')}.{name}:{function}"
        lines.append(f"make = {_text(code)}            # module:function; it returns the torch network")
    if start.weights:
        lines.append(f"weights = {_text(_path(start.weights, recipe))}            # safetensors, or a state dict")
    if images and kind != "saved":
        lines += [
            "# How the teacher was trained to see its images. These are ImageNet's numbers: write those of its own",
            "# training here. A wrong mean, std or channel order costs accuracy silently.",
            f"image = {{ size = {start.size}, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }}",
        ]
    return [*lines, ""]


def _rest(start: Start, images: bool) -> list[str]:
    lines = ["[student]", 'family = "convnet"         # see: edgekd list students; or make = "my_student:build"']
    if images:
        lines.append(f"image = {{ size = {min(start.size, 96)} }}     # smaller images are faster")
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
