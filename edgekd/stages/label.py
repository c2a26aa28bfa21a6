"""Run the teacher once over every view of the training images and once over the other parts, and keep its outputs."""

import os
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from edgekd.errors import Problem, UsageError
from edgekd.nets import inference, networks, teaching
from edgekd.plugins import Oracle
from edgekd.results import Checkpoint, File, Signature, SoftTargets
from edgekd.samples.views import Feed, mirrored
from edgekd.spec import Part, Teacher
from edgekd.steps import Label
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "numpy")

CHUNK = 1024
OTHERS: tuple[Part, ...] = ("calibration", "validation", "test")
# Logits beyond what float16 holds mean a probability of exactly one or zero either way.
LARGEST = float(np.finfo(np.float16).max)
# Outputs that vary by less than this share of their size say nothing about the sample.
CONSTANT = 1e-6


def run(step: Label, out: Workspace) -> SoftTargets:
    """Soft targets of all parts; raises UsageError where the teacher does not fit the data or answers nonsense."""
    torch.set_num_threads(os.cpu_count() or 1)
    who = step.teacher
    if isinstance(who, Checkpoint):
        signature = networks.signature(step.splits, who.architecture.image, out)
        oracle = _student(who, signature, out)
    else:
        signature = networks.signature(step.splits, who.image, out)
        oracle = teaching.oracle(who, step.splits, signature, out)
        _check_count(step, who, oracle)
    views = step.views if _augmented(step, signature, oracle) else 1
    total = views * step.splits.parts["train"].count
    total += sum(step.splits.parts[part].count for part in OTHERS if part in step.splits.parts)
    progress = _progress(out, total)
    started = time.monotonic()
    train = _train(step, out, signature, oracle, views, progress)
    seconds = (time.monotonic() - started) / views
    parts = {part: _part(step, out, signature, oracle, part, progress) for part in OTHERS if part in step.splits.parts}
    return SoftTargets(
        train=train,
        parts=parts,
        views=views,
        seed=step.seed,
        mirror=step.mirror,
        shares=oracle.shares,
        mirror_loss=_mirror_loss(step, np.load(out.path("train.npy"), mmap_mode="r"))
        if step.mirror and not step.splits.columns and not step.splits.heads
        else None,
        seconds_per_view=seconds,
    )


def _augmented(step: Label, signature: Signature, oracle: Oracle) -> bool:
    """Only images are augmented, and only a teacher that runs can answer for an image that it has not seen yet."""
    return step.augment and oracle.live and any(spec.preprocess is not None for spec in signature.inputs)


def _student(trained: Checkpoint, signature: Signature, out: Workspace) -> Oracle:
    """A trained student as the teacher of another."""
    module = networks.build(trained.architecture, signature)
    networks.load_weights(module, out.locate(trained.weights))
    return Oracle(outputs=inference.answers(module, signature, channels_last=True), module=module)


def _check_count(step: Label, teacher: Teacher, oracle: Oracle) -> None:
    """Raise UsageError where saved outputs cannot be matched with the data's samples."""
    if oracle.count is None:
        return
    if step.splits.read is not None and oracle.count != step.splits.read:
        message = f"{oracle.count} outputs were saved, but the data has {step.splits.read} samples"
        raise UsageError(Problem("teacher", message, "Save one output for each sample, in the data's own order"))
    if any(part.rows is None for part in step.splits.parts.values()):
        message = f"the data source {teacher.source.name!r} cannot be matched: its samples are not numbered"
        raise UsageError(Problem("teacher", message, "Give the teacher itself instead of saved outputs"))


def _train(
    step: Label, out: Workspace, signature: Signature, oracle: Oracle, views: int, progress: Callable[[int], None]
) -> File:
    """float16 (views, N, classes), written piece by piece into a memory-mapped file; numbers to tell are float32."""
    feed = Feed(out, step.splits, "train", signature, views > 1, step.seed, step.mirror)
    shape, numbers = (views, feed.count, step.splits.outputs), bool(step.splits.columns)
    targets = open_memmap(out.path("train.npy"), mode="w+", dtype=np.float32 if numbers else np.float16, shape=shape)
    for view in range(views):
        for rows in _chunks(feed.count):
            outputs = _ask(step, out, oracle, feed, "train", rows, view)
            targets[view, rows] = outputs if numbers else outputs.clip(-LARGEST, LARGEST)
            progress(len(rows))
    _check_varies(np.asarray(targets[0], np.float32))
    targets.flush()
    del targets
    return out.file("train.npy")


def _part(
    step: Label, out: Workspace, signature: Signature, oracle: Oracle, part: Part, progress: Callable[[int], None]
) -> File:
    """float32 (N, classes) of the plain samples of one part."""
    feed = Feed(out, step.splits, part, signature, augment=False, seed=step.seed)
    outputs = np.empty((feed.count, step.splits.outputs), np.float32)
    for rows in _chunks(feed.count):
        outputs[rows] = _ask(step, out, oracle, feed, part, rows, 0)
        progress(len(rows))
    return out.save(f"{part}.npy", outputs)


def _chunks(count: int) -> list[NDArray[np.int64]]:
    return [np.arange(start, min(start + CHUNK, count), dtype=np.int64) for start in range(0, count, CHUNK)]


def _ask(
    step: Label, out: Workspace, oracle: Oracle, feed: Feed, part: Part, rows: NDArray[np.int64], view: int
) -> NDArray[np.float32]:
    """The teacher's checked outputs, float32 (len(rows), classes), for one view of these samples of a part."""
    source = teaching.source_rows(step.splits, part, rows, out)
    outputs = np.asarray(oracle.outputs(feed.batch(rows, view), source, part), np.float32)
    inference.check_outputs(outputs, len(rows), step.splits.outputs, "teacher")
    return outputs


def _check_varies(outputs: NDArray[np.float32]) -> None:
    """Raise UsageError where a teacher says the same of every sample."""
    if len(outputs) > 1 and np.ptp(outputs, axis=0).max() <= CONSTANT * max(float(np.abs(outputs).max()), 1e-30):
        message = f"gives the same outputs for all {len(outputs)} training samples"
        raise UsageError(Problem("teacher", message, "Check its weights, and the mean and std of [teacher] image"))


def _mirror_loss(step: Label, targets: NDArray[np.float16]) -> float | None:
    """The teacher's agreement with itself over (views, N, classes): of shifted images minus of mirrored ones."""
    rows, plain = np.arange(targets.shape[1]), targets[0].argmax(1)
    agrees: dict[bool, list[NDArray[np.bool_]]] = {False: [], True: []}
    for view in range(1, len(targets)):
        same, flipped = targets[view].argmax(1) == plain, mirrored(rows, view, step.seed)
        agrees[False].append(same[~flipped])
        agrees[True].append(same[flipped])
    shifted, flips = (np.concatenate(agrees[kind]) if agrees[kind] else np.empty(0) for kind in (False, True))
    return float(shifted.mean() - flips.mean()) if len(shifted) and len(flips) else None


def _progress(out: Workspace, total: int) -> Callable[[int], None]:
    """A function that counts labelled samples and tells share and rate, at most twice a second."""
    started = last = time.monotonic()
    done = 0

    def add(count: int) -> None:
        nonlocal done, last
        done, now = done + count, time.monotonic()
        if now - last >= 0.5 or done == total:
            rate = done / max(now - started, 1e-9)
            out.progress(done / total, f"{done} of {total} samples labelled, {rate:.0f} a second")
            last = now

    return add
