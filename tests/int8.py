"""Programs of small networks of the user's own over `learnable` images, and what their int8 files compute."""

from pathlib import Path

import numpy as np
import onnxruntime

from edgekd import files
from edgekd.results import Checkpoint, Program, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Choice, UserFile
from edgekd.stages import convert, export
from edgekd.steps import Convert, Export
from edgekd.workspace import Workspace
from tests import converted as toy
from tests import learnable


def space(folder: Path) -> Workspace:
    return Workspace(folder, folder / "entries", "0" * 64)


def data(folder: Path, words: bool = False) -> Splits:
    """All labelled, and all training samples for calibration: eight do not show how large values get."""
    entries = folder / "entries"
    made = learnable.tokens(entries) if words else learnable.images(entries, labelled=160)
    return made.model_copy(update={"parts": made.parts | {"calibration": made.parts["train"]}})


def truth(folder: Path) -> np.ndarray:
    """Labels of the validation part."""
    return np.load(folder / "entries" / learnable.ENTRY[:2] / learnable.ENTRY / "validation-labels.npy")


def network(folder: Path, text: str, name: str = "Net", words: bool = False) -> Architecture:
    """A class in a file of the user's own."""
    path = folder / "own_nets.py"
    path.write_text(text)
    file = UserFile(path=str(path), sha256=files.digest(path))
    choice = Choice(name="module", settings={"make": f"own_nets:{name}"}, files={"make": file})
    return Architecture(family=choice, image=None if words else toy.IMAGE)


def program(folder: Path, source: Architecture | Checkpoint, words: bool = False) -> Program:
    return export.run(Export(source=source, splits=data(folder, words)), toy.entry(folder, f"program {source}"))


def outputs(folder: Path, made: Program) -> np.ndarray:
    """What ONNX Runtime makes of the validation part with a program's int8 file."""
    step = Convert(program=made, format="onnx", precision="int8", splits=data(folder))
    file = convert.run(step, toy.entry(folder, f"int8 {made.file.sha256}")).file
    session = onnxruntime.InferenceSession(space(folder).locate(file), providers=["CPUExecutionProvider"])
    feed = Feed(space(folder), data(folder), "validation", made.signature, augment=False, seed=0)
    return session.run(["logits"], feed.batch(np.arange(feed.count)))[0]


def right(folder: Path, outputs: np.ndarray) -> float:
    """Accuracy on the validation part."""
    return float((outputs.argmax(1) == truth(folder)).mean())
