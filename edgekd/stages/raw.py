"""Make a program take what a camera or a microphone gives, with its preparation as the first part of its graph."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd import plugins
from edgekd.errors import EdgekdError
from edgekd.nets import inference, programs
from edgekd.raw import network, sensors
from edgekd.raw.front import fronts
from edgekd.results import File, Program, Signature
from edgekd.runtimes import replay, tensors
from edgekd.samples.views import Feed
from edgekd.steps import Raw
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "numpy", "pillow")

# torch writes a file's name into it, so this is the same for every program
NAME = "student.pt2"
ONNX_NAME = "student.onnx"
GOLDEN = "golden.npz"
# ||y - reference|| / ||reference|| that rounding in float32 may cause, and where images are resized in it: there a sum
# on the edge between two levels may fall to the other one.
TOLERANCE, RESIZED = 1e-4, 1e-3

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Answer = Callable[[Arrays], Array]


def run(step: Raw, out: Workspace) -> Program:
    """The same function of other inputs: torch's outputs for the prepared ones stay what every file is held against.

    An input that the network takes from its sensor already stays as it is. Raises UsageError where no input is what a
    sensor gives, and EdgekdError where the outcome is not the program's own function.
    """
    # sums in another order differ in their last bits, and the same step shall give the same bytes
    torch.set_num_threads(1)
    given, parts = step.program, step.splits.parts.values()
    stored = {s.name: [out.load(part.inputs[s.name]) for part in parts] for s in given.signature.inputs}
    signature = sensors.raw(given.signature, stored)
    if signature == given.signature:
        return given
    foreign = given.file.name.endswith(".onnx")
    path = out.path(ONNX_NAME if foreign else NAME)
    digest, answer = (_grafted if foreign else _traced)(out.locate(given.file), signature, path)
    feed = Feed(out, step.splits, "validation", signature, augment=False, seed=0)
    _check(answer, feed, signature, np.asarray(out.load(given.reference), np.float64))
    golden = _golden(out, given.golden, signature)
    new = {"file": out.file(path.name), "signature": signature, "golden": golden, "digest": digest}
    return given.model_copy(update=new)


def _traced(source: Path, signature: Signature, path: Path) -> tuple[str, Answer]:
    """A torch program with raw inputs: its digest, and what gives its first output."""
    program = network.with_fronts(programs.load(source), signature, fronts(signature))
    programs.write(program, path)
    module = program.module()

    def answer(batch: Arrays) -> Array:
        with torch.inference_mode():
            first: Array = module(*(torch.from_numpy(batch[s.name]) for s in signature.inputs))[0].float().numpy()
        return first

    return programs.digest(program), answer


def _grafted(source: Path, signature: Signature, path: Path) -> tuple[str, Answer]:
    """The same of an ONNX file of the user's own, in its graph."""
    format = plugins.find("formats", "onnx")
    format.with_fronts(source, signature, fronts(signature), path)
    told = signature.model_dump(mode="json")
    model = plugins.find("runtimes", "onnx").load(path, 1, told, 1)
    return format.digest(path), lambda batch: replay.outputs(model, told, batch)[0]


def _check(answer: Answer, feed: Feed, signature: Signature, wanted: NDArray[np.float64]) -> None:
    """Raise EdgekdError unless it gives for raw samples what torch gave for prepared ones."""
    limit = inference.CHUNK if programs.dynamic(signature) else 1
    found = np.concatenate([answer(piece) for piece in inference.pieces(feed.batch(np.arange(feed.count)), limit)])
    error = float(np.linalg.norm(found - wanted) / max(float(np.linalg.norm(wanted)), 1e-30))
    resized = any(spec.inside and spec.inside.size != spec.inside.canvas for spec in signature.inputs)
    most = RESIZED if resized else TOLERANCE
    if not error <= most:
        raise EdgekdError(
            f"The program with raw inputs is not the same function: its outputs differ by {error:.2g} of their size, "
            f"where {most:.0e} is allowed. It is not used; please report the network that this happened with"
        )


def _golden(out: Workspace, golden: File, signature: Signature) -> File:
    """The golden samples as a sensor gives them, and what torch made of them once they were prepared."""
    with np.load(out.locate(golden), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for spec in signature.inputs:
        samples = tensors.encode(arrays[f"raw:{spec.name}"], spec.model_dump(mode="json"))
        arrays |= {f"raw:{spec.name}": samples, f"input:{spec.name}": samples}
    np.savez(out.path(GOLDEN), allow_pickle=False, **arrays)
    return out.file(GOLDEN)
