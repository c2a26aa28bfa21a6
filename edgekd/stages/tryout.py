"""Try a teacher on a few samples of the data: are its images prepared and its classes ordered as it learnt them?"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.nets import fitting, networks
from edgekd.nets.fitting import CannotRun, Running, typed
from edgekd.plugins import Canvas
from edgekd.results import Finding, Preprocess, Tried
from edgekd.runtimes import preprocess
from edgekd.samples import verdict as judging
from edgekd.samples.classes import evenly
from edgekd.samples.guesses import Guess, guesses, written
from edgekd.samples.verdict import Answers
from edgekd.spec import Image
from edgekd.steps import TryOut
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "numpy", "pillow")

# Labelled samples that are looked at; guesses are first compared on fewer, since a teacher may be slow.
SAMPLES, SCREENED = 400, 64
# The fewest that can say anything, and samples that are prepared at once.
NEEDED, CHUNK = 20, 32
SIZE_NOTE = "a wrong size is found only where the teacher cannot run at it: one that still runs costs accuracy unseen"

Array = NDArray[Any]


@dataclass(frozen=True)
class Samples:
    """Labelled samples by input name, drawn evenly from the classes."""

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    heads: int = 0


def run(step: TryOut, out: Workspace) -> Tried:
    """What was found; raises UsageError where data cannot be read or the teacher cannot be loaded."""
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(step.seed)
    out.progress(0.0, "reading samples")
    samples = _read(step, step.teacher.image)
    if not samples.classes:
        message = "these data tell numbers, and a teacher is tried by the classes that it gets right"
        raise UsageError(Problem("data", message, "Write the recipe by hand: docs/regression.md shows one"))
    if samples.heads:
        message = f"these data have {samples.heads} heads, and a teacher is tried on the classes of one"
        raise UsageError(Problem("data", message, "Write the recipe by hand: docs/heads.md shows one"))
    nothing = Tried(samples=len(samples.labels), classes=samples.classes, image=step.teacher.image)
    if len(samples.labels) < NEEDED:
        message = f"there are {len(samples.labels)} labelled samples, and {NEEDED} are needed to try the teacher"
        return nothing.model_copy(update={"findings": (Finding(about="accuracy", message=message),)})
    out.progress(0.1, "loading the teacher")
    try:
        running = fitting.running(step.teacher, samples.inputs, samples.classes)
    except CannotRun as error:
        finding = Finding(about="size", message=str(error), fix="Check the side of its images, and its forward")
        return nothing.model_copy(update={"findings": (finding,)})
    if running.outputs is None:
        note = "a teacher of saved outputs cannot be tried: it has no answers for other images"
        return nothing.model_copy(update={"notes": (note,)})
    misfit = _misfit(running.outputs, len(samples.classes))
    if misfit:
        return nothing.model_copy(update={"image": running.image, "findings": (misfit,)})
    if running.image and step.teacher.image and running.image.size != step.teacher.image.size:
        samples = _read(step, running.image)
    return _judged(step, running, samples, out)


def _read(step: TryOut, image: Image | None) -> Samples:
    """Labelled training samples; of a data set that can, only those that are looked at are decoded."""
    module, settings = networks.configured("datasets", step.data.source, "data")
    files = networks.paths(step.data.source)
    if image is not None and hasattr(module, "few"):
        source = module.few(settings, files, Canvas(image.size, "rgb", image.filter), SAMPLES, step.seed)
    else:
        canvas = None if image is None else Canvas(image.size, "rgb", image.filter)
        source = module.read(settings, files, canvas, True)
    rows = evenly(source.train.labels, SAMPLES, step.seed)
    inputs = {name: np.asarray(array[rows]) for name, array in source.train.inputs.items()}
    return Samples(inputs, source.train.labels[rows], tuple(source.classes), len(source.heads))


def _misfit(outputs: Array, classes: int) -> Finding | None:
    """What is wrong with outputs for two samples, so that they cannot be compared with labels."""
    if outputs.ndim != 2 or len(outputs) != 2:
        message = f"the teacher gives outputs of shape {tuple(outputs.shape)} for 2 samples, not (2, classes)"
        return Finding(about="outputs", message=message, fix="Return one number for each class and sample")
    if outputs.shape[1] == classes:
        return None
    message = f"the teacher knows {outputs.shape[1]} classes, but the data has {classes}"
    return Finding(about="outputs", message=message, fix="Give both the same classes in the same order")


def _judged(step: TryOut, running: Running, samples: Samples, out: Workspace) -> Tried:
    """Try every guess on a few samples, the promising ones on all, and say what that shows."""
    tried = (Guess("as it is"),) if running.image is None else guesses(running.image, _pixels(samples))
    ask = _asker(running, samples, out, len(tried))
    few = min(SCREENED, len(samples.labels))
    screened = [ask(guess, few) for guess in tried]
    if len(tried) > 1 and few < len(samples.labels):
        listed = judging.shortlist(screened)
        answers = [ask(tried[i], len(samples.labels)) for i in listed]
        if not judging.decide(answers, len(tried)).skilled:  # "none of the usual ways" must have been tried in full
            listed = list(range(len(tried)))
            answers = [ask(guess, len(samples.labels)) for guess in tried]
    else:
        listed, answers = list(range(len(tried))), [ask(guess, len(samples.labels)) for guess in tried]
    found = judging.decide(answers, len(tried))
    rest = [answer for i, answer in enumerate(screened) if i not in listed]
    return _told(step, running, samples, answers, rest, found)


def _pixels(samples: Samples) -> NDArray[np.uint8]:
    return next(array for array in samples.inputs.values() if array.dtype == np.uint8 and array.ndim == 4)


def _asker(running: Running, samples: Samples, out: Workspace, count: int) -> Callable[[Guess, int], Answers]:
    """A function that gives the teacher's answers to the first samples under a guess, each asked for once."""
    known: dict[Guess, NDArray[np.int64]] = {}
    total = count * min(SCREENED, len(samples.labels)) + 5 * len(samples.labels)
    done = 0

    def ask(guess: Guess, samples_wanted: int) -> Answers:
        nonlocal done
        found = known.get(guess, np.empty(0, np.int64))
        for start in range(len(found), samples_wanted, CHUNK):
            rows = np.arange(start, min(start + CHUNK, samples_wanted))
            outputs = np.asarray(running.oracle.outputs(_inputs(running, samples, guess, rows), rows, "train"))
            leads = np.where(np.isfinite(outputs).all(1), outputs.argmax(1), -1).astype(np.int64)
            found = np.concatenate([found, leads])
            done += len(rows)
            out.progress(min(0.1 + 0.9 * done / total, 0.99), guess.name)
        known[guess] = found
        return Answers(guess, found[:samples_wanted], samples.labels[:samples_wanted], len(samples.classes))

    return ask


def _inputs(running: Running, samples: Samples, guess: Guess, rows: NDArray[np.int64]) -> dict[str, Array]:
    """Prepared inputs by name, images as a guess says."""
    made: dict[str, Array] = {}
    for spec in running.signature.inputs:
        stored = samples.inputs[spec.name][rows]
        how: Preprocess | None = spec.preprocess
        if how is None or guess.image is None:
            made[spec.name] = typed(stored)
            continue
        spec = networks.image_spec(spec.name, guess.image, guess.image.size)
        assert spec.preprocess is not None
        made[spec.name] = preprocess.prepare(stored, spec.preprocess.model_dump())
    return made


def _told(
    step: TryOut,
    running: Running,
    samples: Samples,
    answers: Sequence[Answers],
    rest: Sequence[Answers],
    found: judging.Verdict,
) -> Tried:
    """A verdict in words."""
    given, now = step.teacher.image, running.image
    findings: list[Finding] = []
    image = found.chosen.guess.image if found.skilled else now
    fix = f"Write image = {written(image)} in [teacher]" if image else ""
    if given and now and now.size != given.size:
        message = f"the teacher cannot run on images of {given.size} pixels; of the usual sizes it runs on {now.size}"
        findings.append(Finding(about="size", message=message, fix=fix, settled=True))
    if given and now and (now.channels == "gray") != (given.channels == "gray"):
        message = f"channels are {now.channels}: the teacher cannot run on {given.channels} images"
        findings.append(Finding(about="channels", message=message, fix=fix, settled=True))
    order: tuple[str, ...] = ()
    if not found.skilled:
        best = max(answers, key=lambda answer: float(answer.plain.mean()))
        usual = ", under any of the usual settings" if image else ""
        message = (
            f"the teacher is no better than a network that learnt nothing may be by chance{usual}: "
            f"at best {judging.told(best.plain)} of the samples are right"
        )
        hint = "Check its weights, and whether these are the classes that it knows"
        findings.append(Finding(about="accuracy", message=message, fix=hint))
    else:
        findings += judging.about_images(answers[0], found, fix)
        if not found.in_order:
            renaming = step.data.source.name == "folder"
            order, finding = judging.about_classes(found.chosen, samples.classes, renaming)
            findings.append(finding)
    return Tried(
        samples=len(samples.labels),
        classes=samples.classes,
        image=image,
        attempts=tuple(answer.attempt() for answer in (*answers, *rest)),
        chosen=list(answers).index(found.chosen) if found.skilled else None,
        order=order,
        findings=tuple(findings),
        notes=tuple(_notes(found, samples, image)),
    )


def _notes(found: judging.Verdict, samples: Samples, image: Image | None) -> Sequence[str]:
    """What the trial cannot say."""
    notes = []
    if found.alike:
        names = "; ".join(f"{a.guess.title}, {a.guess.channels}" for a in found.alike)
        notes.append(f"these do as well on the samples, so what its training used is not certain: {names}")
    if found.chosen.reordered is None:
        notes.append(f"{len(samples.labels)} samples are too few to find the order of {len(samples.classes)} classes")
    return [*notes, SIZE_NOTE] if image else notes
