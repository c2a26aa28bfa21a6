"""Scale channels between a program's layers so that 8 bits suit them better; what it computes stays the same."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from edgekd.errors import EdgekdError, Problem, Unsuited, UsageError
from edgekd.nets import inference, programs
from edgekd.nets.equalize import equalize
from edgekd.results import Program
from edgekd.samples.views import Feed
from edgekd.spec import Part
from edgekd.steps import Equalize
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("torch", "numpy")

# torch writes a file's name into it, so this is the same for every program
NAME = "student.pt2"
# ||y - reference|| / ||reference|| that rounding in float32 may cause.
TOLERANCE = 1e-4


def run(step: Equalize, out: Workspace) -> Program:
    """Equalize a program by its activations on the calibration part, and check it on the validation part.

    Raises Unsuited where no layers allow it or none would gain, UsageError where there are no calibration samples, and
    EdgekdError where the outcome is not the program's own.
    """
    # sums in another order differ in their last bits, and the same step shall give the same bytes
    torch.set_num_threads(1)
    path, parts = out.locate(step.program.file), step.splits.parts
    if path.suffix == ".onnx":
        message = "it works on torch programs, and this network is an ONNX file"
        raise Unsuited(Problem("equalization", message, "Give the torch network it was exported from"))
    if "calibration" not in parts or not parts["calibration"].count:
        message = "equalization needs calibration samples, and the data has none"
        raise UsageError(Problem("data.calibration", message, "Set it to 64 or more"))
    program, _ = equalize(programs.load(path), _batches(step, out, "calibration"))
    _check(step, out, program)
    programs.write(program, out.path(NAME))
    return step.program.model_copy(update={"file": out.file(NAME)})


def _batches(step: Equalize, out: Workspace, part: Part) -> Iterator[Sequence[NDArray[Any]]]:
    """A part's inputs as the program takes them: in its order, as many at once as it allows."""
    signature = step.program.signature
    feed = Feed(out, step.splits, part, signature, augment=False, seed=0)
    limit = inference.CHUNK if programs.dynamic(signature) else 1
    for batch in inference.pieces(feed.batch(np.arange(feed.count)), limit):
        yield [batch[spec.name] for spec in signature.inputs]


def _check(step: Equalize, out: Workspace, program: ExportedProgram) -> None:
    """Raise EdgekdError unless the program still gives what torch gave for the validation part."""
    module = program.module()
    with torch.inference_mode():
        found = [module(*map(torch.tensor, batch))[0].float().numpy() for batch in _batches(step, out, "validation")]
    wanted = np.asarray(out.load(step.program.reference), np.float64)
    error = float(np.linalg.norm(np.concatenate(found) - wanted) / max(float(np.linalg.norm(wanted)), 1e-30))
    if not error <= TOLERANCE:
        raise EdgekdError(
            f"The equalized program is not the same function: its outputs differ by {error:.2g} of their size, where "
            f"{TOLERANCE:.0e} is allowed. It is not used; please report the network that this happened with"
        )
