"""Train networks on cached soft targets and ground truth, or on ground truth alone; goes on where a kill stopped it."""

import json
import math
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor

from edgekd import files, plugins
from edgekd.errors import EdgekdError, Problem, UsageError
from edgekd.nets import networks
from edgekd.nets.batches import Order, Prepared, Rows
from edgekd.nets.inner import LOGITS
from edgekd.nets.learning import Judge, Learner, optimizer, rate, watching
from edgekd.nets.live import Live, beside
from edgekd.nets.terms import Sides, Terms, make
from edgekd.plugins import Batch
from edgekd.results import Checkpoint, File, Signature, TensorSpec, Trained
from edgekd.samples.views import Feed
from edgekd.steps import Train
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "lightning-fabric", "safetensors", "numpy")
RESUMES = True

RESUME = "resume.pt"
SAVE_SECONDS = 10.0
SAY_SECONDS = 0.4
EVALUATIONS = 10
SETTLE = 32
# Steps of an epoch that small batches are to make possible, and the batches to choose from.
STEPS, SMALLEST, LARGEST = 32, 16, 128


@dataclass
class Position:
    """How far a training is: finished steps, seconds (those of a teacher beside it among them), losses since the last
    evaluation, and all evaluations."""

    step: int = 0
    seconds: float = 0.0
    teacher_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


def run(step: Train, out: Workspace) -> Trained:
    """Train with AdamW, warm-up and cosine; the averaged weights at the end are the answer, nothing is picked.

    Without soft targets only labelled samples are drawn, for the same number of optimizer steps. Raises EdgekdError if
    the loss stops being finite; the last good weights are kept.
    """
    # Two trainings run side by side, one on each core; denormal numbers would slow the late steps down.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        torch.manual_seed(step.seed)
        return _train(Training(step, out), out.resumed)
    finally:
        torch.set_flush_denormal(False)


def _train(training: "Training", resumed: bool) -> Trained:
    """Take every step that is left, saving and telling now and then."""
    position = training.resume() if resumed else Position()
    training.save(position)
    before, saved, said = time.monotonic() - position.seconds - training.spent, time.monotonic(), 0.0
    while position.step < training.total:
        training.advance(position)
        now = time.monotonic()
        position.seconds = now - before
        if evaluated := training.due(position):
            training.evaluate(position)
        if evaluated or now - saved > SAVE_SECONDS:
            training.save(position)
            saved = now
        if evaluated or now - said > SAY_SECONDS:
            training.say(position)
            said = now
    return training.finish(position)


class Training:
    """A training of one or more networks: takes a step, judges, saves its state and goes back to it."""

    def __init__(self, step: Train, out: Workspace) -> None:
        self.step, self.out = step, out
        schedule, soft = step.schedule, step.soft_targets
        count = step.splits.parts["train"].count
        batch = schedule.batch or _batch(count)
        self.epoch = math.ceil(count / batch)
        self.total = self.epoch * schedule.epochs
        signatures = [networks.signature(step.splits, network.image, out) for network in step.networks]
        self.labels = np.array(out.load(step.splits.parts["train"].labels), np.int64)
        self.rows = _rows(step, self.labels)
        self.targets, self.deviation = _numbers(step, out)
        heads = step.splits.parts["train"].heads
        self.known = None if heads is None else np.array(out.load(heads), np.int64)
        self.soft = None if soft is None else np.asarray(out.load(soft.train))
        self.views = _views(step, signatures)
        self.order = Order(self.rows, batch, self.views, step.seed)
        self.gauge = plugins.gauge(step.metric, step.splits.columns[0].unit if step.splits.columns else "")
        self.fabric = Fabric(accelerator="cpu", devices=1)
        self.made: dict[tuple[TensorSpec, ...], Prepared] = {}
        self.learners, self.judges = [], []
        for number, signature in enumerate(signatures):
            module = networks.build(step.networks[number], signature)
            if step.init:
                networks.load_weights(module, out.locate(step.init[number].weights))
            inputs = self._prepared(signature)
            learner = Learner(self.fabric, module, signature, inputs, schedule.ema_decay, step.fake_quant)
            self.learners.append(learner)
            self.judges.append(Judge(step.metric, Feed(out, step.splits, "validation", signature, False, 0), signature))
        # the student draws the same random numbers whatever stands beside it
        with torch.random.fork_rng(devices=[]):
            self.live, self.terms = self._taught()
        self.spent = 0.0 if self.live is None else self.live.seconds
        scheme, settings = networks.configured("schemes", step.scheme)
        self.loss = partial(scheme.loss, settings, terms=self.terms.terms)
        chosen = optimizer([*(learner.module for learner in self.learners), self.terms.parts], schedule)
        self.optimizer = self.fabric.setup_optimizers(chosen)

    def _prepared(self, signature: Signature) -> Prepared:
        """Training inputs for networks of a signature, the same ones for all that take the same inputs."""
        step, soft = self.step, self.step.soft_targets
        if signature.inputs not in self.made:
            seed, mirror = (step.view_seed, step.mirror) if soft is None else (soft.seed, soft.mirror)
            feed = Feed(self.out, step.splits, "train", signature, step.augment, seed, mirror)
            self.made[signature.inputs] = Prepared(feed, signature, self.rows, self.views)
        return self.made[signature.inputs]

    def _taught(self) -> tuple[Live | None, Terms]:
        """The teacher beside the first network, and the terms of the loss."""
        step, live = self.step, None
        if step.teacher is not None:
            live = beside(step.teacher, step.splits, self.out, self._prepared)
        given = self.soft is not None or live is not None
        if len(self.learners) > 1:
            return live, make(step.objectives, Sides(given))
        terms = watching(step.objectives, given, self.learners[0], live, self.rows)
        if live is not None and live.worth_keeping(self.views * len(self.rows), self.total * self.order.batch):
            text = "the teacher's inner values: {:.0%}"
            live.keep(self.rows, self.views, lambda share: self.out.progress(0.0, text.format(share)))
        return live, terms

    def _given(self, rows: Rows, views: Rows) -> Batch:
        """What a step learns from: labels, soft targets, and what a live teacher says."""
        labels = torch.from_numpy(self.labels[rows])
        soft = None if self.soft is None else torch.from_numpy(self.soft[views, rows])
        inner = {} if self.live is None else self.live(rows, views)
        given = inner.get(LOGITS) if soft is None else soft
        targets = None if self.targets is None else self.targets[rows]
        known, heads = None if self.known is None else torch.from_numpy(self.known[rows]), self.step.splits.heads
        return Batch(labels, given, inner, self.learners[0].batch, targets, self.deviation, heads, known)

    def advance(self, position: Position) -> None:
        """Take one optimizer step."""
        rows, views = self.order(position.step)
        for learner in self.learners:
            learner.at(position.step / self.total)
        outputs = [learner(rows, views) for learner in self.learners]
        loss = self.loss(outputs, self._given(rows, views))
        value = loss.item()
        if not math.isfinite(value):
            raise self._diverged(position, value)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step.schedule, position.step, self.total)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        for learner in self.learners:
            learner.follow(position.step)
        position.step += 1
        position.teacher_seconds = 0.0 if self.live is None else self.live.seconds
        position.losses.append(value)

    def due(self, position: Position) -> bool:
        """Whether an evaluation is due: at the end of every epoch, or of every few where there are many."""
        every = self.epoch * max(1, self.step.schedule.epochs // EVALUATIONS)
        return position.step % every == 0 or position.step == self.total

    def evaluate(self, position: Position) -> None:
        """Judge the averaged weights on the validation part; for the history only, no choice hangs on it."""
        if position.step == self.total:
            for learner in self.learners:
                learner.settle(self.order(number) for number in range(min(self.epoch, SETTLE)))
        accuracies = [judge(learner) for judge, learner in zip(self.judges, self.learners, strict=True)]
        loss = sum(position.losses) / max(1, len(position.losses))
        epoch = position.step / self.epoch
        position.history.append({"epoch": epoch, "loss": loss, "validation_accuracy": accuracies})
        position.losses.clear()

    def say(self, position: Position) -> None:
        """Tell the build how far the training is."""
        text = f"epoch {min(position.step // self.epoch + 1, self.step.schedule.epochs)} of {self.step.schedule.epochs}"
        loss = position.losses[-1] if position.losses else position.history[-1]["loss"]
        text += f", loss {loss:.3f}"
        if position.history:
            shown = ", ".join(self.gauge.show(value) for value in position.history[-1]["validation_accuracy"])
            text += f", validation {self.gauge.name} {shown}"
        self.out.progress(position.step / self.total, text)

    def save(self, position: Position) -> None:
        """Write everything that a killed training needs to go on bit for bit, whole or not at all."""
        if not all(learner.finite() for learner in self.learners):
            return
        state = asdict(position) | {
            "learners": [learner.state() for learner in self.learners],
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        if len(parts := self.terms.parts):
            state["parts"] = parts.state_dict()
        temporary = self.out.path(f".{RESUME}")
        torch.save(state, temporary)
        temporary.replace(self.out.path(RESUME))

    def resume(self) -> Position:
        """Go back to the state that a killed worker left, or start where there is none that can be read."""
        try:
            state = torch.load(self.out.path(RESUME), map_location="cpu", weights_only=True)
        except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
            return Position()
        for learner, saved in zip(self.learners, state["learners"], strict=True):
            learner.restore(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.terms.parts.load_state_dict(state.get("parts", {}))
        torch.set_rng_state(state["random"])
        told = {one.name: state[one.name] for one in fields(Position) if one.name in state}
        if self.live is not None:
            self.live.seconds += told.get("teacher_seconds", 0.0)
        return Position(**told)

    def finish(self, position: Position) -> Trained:
        """Write the averaged weights and the history of each network."""
        if not position.history:
            self.evaluate(position)
        checkpoints = []
        for number, learner in enumerate(self.learners):
            history = [
                entry | {"validation_accuracy": entry["validation_accuracy"][number]} for entry in position.history
            ]
            outputs = self.judges[number].outputs(learner)
            files.write(self.out.path(f"history-{number}.json"), json.dumps(history, indent=1))
            checkpoints.append(
                Checkpoint(
                    architecture=self.step.networks[number],
                    weights=self._write(f"weights-{number}.safetensors", learner.average.state_dict()),
                    validation_accuracy=history[-1]["validation_accuracy"],
                    validation_spread=self.judges[number].spread(outputs),
                    history=self.out.file(f"history-{number}.json"),
                    validation_outputs=self.out.save(f"validation-{number}.npy", outputs),
                    epochs=self.step.schedule.epochs,
                    steps=position.step,
                    seconds=position.seconds,
                    teacher_seconds=position.teacher_seconds,
                    seed=self.step.seed,
                )
            )
        self.out.path(RESUME).unlink(missing_ok=True)
        return Trained(checkpoints=tuple(checkpoints))

    def _write(self, name: str, state: Mapping[str, Tensor]) -> File:
        # safetensors wants plain memory layouts; a clone parts tensors that share memory, such as tied weights
        save_file({key: value.contiguous().clone() for key, value in state.items()}, self.out.path(name))
        return self.out.file(name)

    def _diverged(self, position: Position, loss: float) -> EdgekdError:
        """Keep the last good weights under a name of their own, and say what happened and what to try."""
        schedule, epoch = self.step.schedule, position.step // self.epoch + 1
        at, path = rate(schedule, position.step, self.total), self.out.path("last-good-0.safetensors")
        kept = "No weights before it were finite"
        if self.out.path(RESUME).exists():
            kept = f"The last good weights, of step {self.resume().step}, are in {path}"
            for number, learner in enumerate(self.learners):
                self._write(f"last-good-{number}.safetensors", learner.average.state_dict())
        return EdgekdError(
            f"The loss became {loss} at step {position.step + 1} of {self.total} (epoch {epoch}, "
            f"learning rate {at:.2g})."
            f" {kept}. Try a learning rate of {schedule.learning_rate / 3:.1g} or a longer warm-up, "
            "and look for NaN or huge values in the data and in the teacher's outputs"
        )


def _batch(count: int) -> int:
    """Samples of an optimizer step: a power of two that makes an epoch of some 32 steps or more, where that can be."""
    return min(LARGEST, max(SMALLEST, 1 << (max(1, count // STEPS).bit_length() - 1)))


def _rows(step: Train, labels: Rows) -> Rows:
    """Sample numbers to draw from: all of them with a teacher, else the labelled ones."""
    taught = step.soft_targets is not None or step.teacher is not None
    rows = np.arange(len(labels)) if taught else np.flatnonzero(labels >= 0)
    if not len(rows):
        what = "samples" if taught else "labelled samples"
        raise UsageError(Problem("data", f"the train part has no {what}", "Add some, or hold out fewer"))
    return rows


def _numbers(step: Train, out: Workspace) -> tuple[Tensor | None, Tensor | None]:
    """The numbers to be told of the training samples, (N, columns), and each column's deviation; of classes neither."""
    file = step.splits.parts["train"].targets
    if file is None:
        return None, None
    deviation = torch.tensor([column.deviation for column in step.splits.columns])
    return torch.from_numpy(np.asarray(out.load(file), np.float32)), deviation


def _views(step: Train, signatures: Sequence[Signature]) -> int:
    """How many views of a sample there are to draw from; where nothing is an image, all views are the same."""
    if not step.augment or all(spec.preprocess is None for signature in signatures for spec in signature.inputs):
        return 1
    return step.views if step.soft_targets is None else step.soft_targets.views
