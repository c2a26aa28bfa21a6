"""Convert a program to the file of a target's own runtime, in one precision."""

import json
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from edgekd import files, plugins
from edgekd.errors import EdgekdError, NotConverted, Problem, Unsuited, UsageError
from edgekd.nets import programs, surgery
from edgekd.nets.culprit import culprit, instead, told
from edgekd.plugins import Conversion, Lowered
from edgekd.results import Artifact, Signature, TensorSpec
from edgekd.samples.views import Feed
from edgekd.spec import CALIBRATED, FLOATS
from edgekd.steps import Convert
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("torch", "numpy")

LAYERS = "layers.json"
# Samples that show the ranges of a part of a program: it shall fail or not, its accuracy is of no matter.
FEW = 8
PIXELS = (
    "The input {} takes raw pixels, uint8 of {} x {}, {}: {}channels {}, scale, mean and deviation are in the graph."
)
AUDIO = "The input {} takes raw audio, 16-bit samples: scaling them to -1..1 is in the graph."


def run(step: Convert, out: Workspace) -> Artifact:
    """Have the format's plug-in convert the program, with the calibration part prepared as the program wants it.

    Raises UsageError for a precision that the format does not have, or where int8 lacks calibration samples, Unsuited
    where it can do nothing for this program, and NotConverted where the converter fails.
    """
    torch.set_num_threads(1)
    format = plugins.find("formats", step.format)
    _check(step, format.PRECISIONS)
    conversion = Conversion(
        program=out.locate(step.program.file),
        signature=programs.with_batch(step.program.signature, 1) if step.one else step.program.signature,
        precision=step.precision,
        calibration=_calibration(step, out),
        folder=out.folder,
        base=_base(step, out),
        ranges=step.ranges,
        in_float=frozenset(step.in_float) | _fronts(step, out),
        route=step.route,
    )
    try:
        converted = format.convert(conversion)
    except EdgekdError:
        raise
    except Exception as error:  # whatever a converter raises, it is told as its failure; the log has all of it
        traceback.print_exc()
        raise _failure(step, conversion, format, error, out) from error
    layers = json.dumps(dict(converted.layers), indent=1)
    files.write(out.path(LAYERS), layers)
    return Artifact(
        file=out.file(converted.name),
        format=step.format,
        precision=step.precision,
        signature=converted.signature,
        golden=step.program.golden,
        size=files.size(out.path(converted.name)),
        graph=step.program.digest,
        made_by=converted.made_by,
        notes=_notes(converted.signature, converted.notes),
        layers=out.file(LAYERS),
        route=step.route,
    )


def _notes(signature: Signature, told: tuple[str, ...]) -> tuple[str, ...]:
    """A format's notes, with what raw inputs are; what it says of inputs and outputs then holds for outputs alone."""
    raw = [_told(spec) for spec in signature.inputs if spec.is_raw]
    if not raw:
        return told
    words = ((", inputs and outputs", " and outputs"), ("Inputs and outputs", "Outputs"))
    for old, new in words:
        told = tuple(note.replace(old, new) for note in told)
    return (*raw, *told)


def _told(spec: TensorSpec) -> str:
    how = spec.inside
    if how is None:
        return AUDIO.format(spec.name)
    resized = "" if how.size == how.canvas else f"resizing to {how.size} x {how.size} ({how.filter}), "
    kind = "gray" if spec.shape[3] == 1 else "RGB"
    return PIXELS.format(spec.name, how.canvas, how.canvas, kind, resized, how.channels)


def _fronts(step: Convert, out: Workspace) -> frozenset[str]:
    """What stands before raw inputs, where its weights would have fewer bits: they are few, and all depends on them."""
    path, raw = out.locate(step.program.file), any(spec.is_raw for spec in step.program.signature.inputs)
    if not raw or step.precision in (*FLOATS, *CALIBRATED) or path.suffix == ".onnx":
        return frozenset()
    return surgery.fronts(programs.load(path))


def _failure(
    step: Convert, conversion: Conversion, format: plugins.Format, error: Exception, out: Workspace
) -> NotConverted:
    """What a converter's error means in the user's own network: which operator, in which module, what instead.

    It is looked for in the precision that failed: what converts in float32 may fail in 8 bits.
    """
    where, said = f"{step.format} {step.precision}", f"{type(error).__name__}: {_first_line(error)}"
    unknown = NotConverted(Problem(where, f"the converter failed: {said}", "Its log has all that it said"))
    if conversion.program.suffix == ".onnx":
        return unknown  # whose parts are no torch programs
    program = programs.load(conversion.program)
    few = {name: values[:FEW] for name, values in conversion.calibration.items()}
    with tempfile.TemporaryDirectory() as name:
        tries = count()

        def fails(part: ExportedProgram, signature: Signature) -> bool:
            number = next(tries)
            out.progress(1 - 0.7**number, f"the converter failed; part {number + 1} of the network is tried")
            folder = Path(name, str(number))
            folder.mkdir()
            programs.write(part, folder / "part.pt2")
            try:
                format.convert(
                    replace(
                        conversion,
                        program=folder / "part.pt2",
                        signature=signature,
                        calibration=few,
                        base=None,
                        folder=folder,
                    )
                )
            except Unsuited:  # what can do nothing for this part does not fail at it
                return False
            except Exception:  # any failure of a converter is the answer
                return True
            return False

        node = culprit(program, conversion.signature, str(error), fails)
    if node is None:
        return unknown
    message = f"the converter fails at {told(node)}: {said}"
    return NotConverted(Problem(where, message, f"Instead, {instead(node)}; or leave this target out"))


def _first_line(error: Exception) -> str:
    """The line of a converter's message that says most: the innermost cause, without what follows it."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return next((line.strip() for line in str(inner).splitlines() if line.strip()), "no reason given")


def _base(step: Convert, out: Workspace) -> Lowered | None:
    """The float32 file to start from, if there is one."""
    base = step.base
    if base is None:
        return None
    layers = json.loads(out.locate(base.layers).read_text(encoding="utf-8")) if base.layers else {}
    return Lowered(path=out.locate(base.file), signature=base.signature, made_by=base.made_by, layers=layers)


def _check(step: Convert, precisions: tuple[str, ...]) -> None:
    """Raise UsageError before the converter starts, if it cannot do what is asked."""
    problems = []
    if step.precision not in precisions:
        message = f"the format {step.format} has no precision {step.precision!r}"
        problems.append(Problem("precision", message, f"Choose from: {', '.join(precisions)}"))
    calibration = step.splits.parts.get("calibration")
    if step.precision in CALIBRATED and (calibration is None or not calibration.count):
        message = f"{step.precision} needs calibration samples, and the data has none"
        problems.append(Problem("data.calibration", message, "Set it to 64 or more, or use float32"))
    if problems:
        raise UsageError(*problems)


def _calibration(step: Convert, out: Workspace) -> Mapping[str, NDArray[np.float32]]:
    """Prepared calibration inputs by name; none where the data has no such part."""
    if "calibration" not in step.splits.parts:
        return {}
    feed = Feed(out, step.splits, "calibration", step.program.signature, augment=False, seed=0)
    given = feed.batch(np.arange(feed.count))
    if not step.more:
        return given
    further = Feed(out, step.splits, "train", step.program.signature, augment=False, seed=0)
    added = further.batch(balanced(np.asarray(out.load(step.splits.parts["train"].labels)), step.more))
    return {name: np.concatenate([values, added[name]]) for name, values in given.items()}


def balanced(labels: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Rows of `count` samples (or all), of each class as many as it has; unlabelled ones are a class of their own."""
    order = np.random.default_rng(0).permutation(len(labels))
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        turn[rows] = np.arange(len(rows))
    chosen: NDArray[np.int64] = np.sort(order[np.argsort(turn[order], kind="stable")][:count])
    return chosen
