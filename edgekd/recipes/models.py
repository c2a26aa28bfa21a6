"""A model named on the command line, with its data, as the page that a recipe would be."""

from pathlib import Path
from typing import Any

from edgekd.catalog import Entry, Page, Table
from edgekd.errors import Problem
from edgekd.mistakes import Gather
from edgekd.spec import Value

# What a model's file is, by its ending; anything else is module:function.
FILES = {".onnx": "onnx", ".pt2": "program", ".npz": "saved"}


class Model(Value):
    """What the user said of a model and its data; paths as written, relative to the current folder.

    `image` is how the model was trained to see its images, None where inputs are not images.
    """

    model: str
    data: str
    weights: str = ""
    test: str = ""
    image: dict[str, Any] | None = None


def source_of(data: str) -> str:
    """The dataset plug-in that reads a path."""
    return "arrays" if Path(data).suffix.lower() == ".npz" else "folder"


def name_of(model: str) -> str:
    """A short name for runs: the file's stem, or the function's module."""
    return model.partition(":")[0].rpartition(".")[2] if ":" in model else Path(model).stem


def page(said: Model) -> Page:
    """The page with [data] and [teacher]; messages name the flags. Raises UsageError for what is no model."""
    kind, gather = FILES.get(Path(said.model).suffix.lower(), ""), Gather()
    if not kind and ":" not in said.model:
        hint = f"Write module:function, for example my_net:build, or a file that ends in {', '.join(FILES)}"
        gather.problems.append(Problem("MODEL", f"{said.model!r} is neither code nor a model file", hint))
    if kind == "saved":
        hint = "Give the network itself: a module:function, a .pt2 or an .onnx file"
        gather.problems.append(Problem("MODEL", f"{said.model!r} holds saved outputs, not a network", hint))
    if said.weights and kind:
        gather.problems.append(Problem("--weights", f"{said.model!r} has its weights in it", "Leave --weights out"))
    gather.check()
    here = Path.cwd()
    data: Table = {source_of(said.data): Entry(said.data, "--data", here)}
    if said.test:
        data["test"] = Entry(said.test, "--test", here)
    teacher: Table = {kind or "make": Entry(said.model, "MODEL", here)}
    if said.weights:
        teacher["weights"] = Entry(said.weights, "--weights", here)
    if said.image is not None:
        teacher["image"] = Entry(said.image, "--size, --channels, --mean or --std", here)
    top = {"name": Entry(name_of(said.model), "MODEL", here)}
    return Page(Path("MODEL"), top, {"data": data, "teacher": teacher}, {})
