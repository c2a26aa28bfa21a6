"""Optimizer steps of every objective by edgekd, and by a plain torch loop of its bare maths, taking turns.

    python -m benchmarks maths [-- --method NAME ... --rounds N]

Both start from the same weights and see the same batches, and must come to the same losses. What the teacher says is
cached for both. The plain loop keeps no running average of weights, and finds its batches laid out in memory.
"""

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers import bare_maths
from edgekd import files
from edgekd.nets import networks
from edgekd.policies.known import GROUND_TRUTH, images, schedule
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import SoftTargets, Splits
from edgekd.spec import Architecture, Choice, Data, Objective, Plan, Teacher, UserFile
from edgekd.stages.train import Position, Training
from edgekd.steps import Label, Split, Train
from edgekd.store import Store
from edgekd.workspace import Workspace

STEPS, ROUNDS, BATCH, SAMPLES, TEXTS, LENGTH = 16, 15, 128, 2048, 1024, 24
READERS = Path(__file__).parents[1] / "peers" / "readers.py"
# Not compared yet: those of numbers have no such table, and one needs no teacher.
LEFT_OUT = ("bounded", "deep_to_shallow", "huber", "imitation", "squared_error")
OF_TEXTS = ("hidden", "minilm")


class Setting:
    """Data, a teacher and its soft targets, and the student."""

    def __init__(self, store: Store, data: Data, teacher: Teacher, student: Architecture, plan: Plan) -> None:
        self.splits: Splits
        kinds = images(plan) if teacher.image else ()
        (self.splits,) = store.do(Split(data=data, images=kinds))
        self.soft: SoftTargets
        (self.soft,) = store.do(Label(teacher=teacher, splits=self.splits, views=1))
        self.teacher, self.student, self.plan = teacher, student, plan

    def step(self, name: str) -> Train:
        objective = Objective(use=Choice(name=name))
        live = name in ("hint", "attention", "similarity", "rkd", "crd", "review", *OF_TEXTS)
        return Train(
            networks=(self.student,),
            objectives=GROUND_TRUTH if name == "cross_entropy" else (*GROUND_TRUTH, objective),
            splits=self.splits,
            schedule=schedule(self.plan.schedule.model_copy(update={"batch": BATCH}), 1000),
            soft_targets=self.soft,
            augment=False,
            teacher=self.teacher if live else None,
        )


def arrays(folder: Path, name: str, values: Mapping[str, Any], classes: Sequence[str]) -> Data:
    """A file of samples, as data of a plan."""
    path = folder / f"{name}.npz"
    np.savez(path, **values)
    file = UserFile(path=str(path), sha256=files.digest(path))
    source = Choice(name="arrays", settings={"train": str(path), "classes": list(classes)}, files={"train": file})
    return Data(source=source, test_share=0.1, validation=64, calibration=16)


def pictures(store: Store, folder: Path) -> Setting:
    """Some of the shipped images, the shipped teacher and a convnet."""
    plan = load_plan("fashion-mnist", Flags(target=("onnx",)))
    (whole,) = store.do(Split(data=plan.data, images=images(plan)))
    part, out = whole.parts["train"], Workspace(folder, store.entries, "whole")
    labels = np.asarray(out.load(part.labels))
    rows = np.flatnonzero(labels >= 0)[:SAMPLES]
    ((name, file),) = part.inputs.items()
    values = {name: np.asarray(out.load(file)[rows]), "y": labels[rows]}
    family = Choice(name="convnet", settings={"width": 12, "depth": 3})
    assert plan.student is not None
    student = Architecture(family=family, image=plan.student.image)
    return Setting(store, arrays(folder, "images", values, whole.classes), plan.teacher, student, plan)


def texts(store: Store, folder: Path) -> Setting:
    """Random ids: what a step costs does not depend on what they say."""
    plan, random = load_plan("fashion-mnist", Flags(target=("onnx",))), np.random.default_rng(0)
    ids = random.integers(2, 200, (TEXTS, LENGTH))
    values = {"ids": ids, "mask": np.ones_like(ids), "y": np.arange(TEXTS) % 3}
    made = {"make": UserFile(path=str(READERS), sha256=files.digest(READERS))}
    own = partial(Choice, files=made)
    teacher = Teacher(source=own(name="torch", settings={"make": "readers:teacher"}))
    student = Architecture(family=own(name="module", settings={"make": "readers:student"}))
    return Setting(store, arrays(folder, "texts", values, ("a", "b", "c")), teacher, student, plan)


class Plain:
    """The same training as a plain loop: the network, its hooks, the paper's maths, AdamW."""

    def __init__(self, name: str, training: Training, ours: nn.Module) -> None:
        learner, terms = training.learners[0], training.terms
        self.total, self.plan, self.number = training.total, training.step.schedule, 0
        self.batches = [self._batch(training, number) for number in range(STEPS)]
        self.module, self.caught = ours, dict[str, Tensor]()
        self.student, self.teacher = terms.student, terms.teacher
        for path, module in self.module.named_modules():
            if path in self.student:
                module.register_forward_hook(partial(self._catch, path))
        inputs, given, soft, _ = self.batches[0]
        shapes = [self._values(learner.survey(inputs).shapes), [tuple(value.shape) for value in given]]
        if name == "adversarial":
            shapes = [[tuple(soft.shape)], [tuple(soft.shape)]]
        self.maths = bare_maths.ALL[name](*shapes)
        with torch.no_grad():
            for mine, edgekds in zip(self.maths.parameters(), terms.parts.parameters(), strict=True):
                mine.copy_(edgekds)
        self.labels_too = name != "cross_entropy"
        weights = [*self.module.parameters(), *self.maths.parameters()]
        decayed = [p for p in weights if p.ndim > 1], [p for p in weights if p.ndim <= 1]
        groups = [
            {"params": some, "weight_decay": decay}
            for some, decay in zip(decayed, (self.plan.weight_decay, 0.0), strict=True)
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=self.plan.learning_rate, fused=True)

    def _batch(self, training: Training, number: int) -> tuple[dict[str, Tensor], list[Tensor], Tensor, Tensor]:
        """Inputs, the teacher's inner values, its logits, labels."""
        rows, views = training.order(number)
        given = training._given(rows, views)
        assert given.teacher is not None
        inner = [given.inner[name].float() for name in training.terms.teacher if name in given.inner]
        return training.learners[0].inputs(rows, views), inner, given.teacher.float(), given.labels

    def _catch(self, path: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.caught[path] = output

    def _values(self, found: Mapping[str, Any]) -> list[Any]:
        return [found[name] for name in self.student]

    def __call__(self) -> float:
        """One optimizer step; gives the loss."""
        inputs, given, soft, labels = self.batches[self.number % STEPS]
        outputs = self.module(*inputs.values())
        named = returned(outputs) | self.caught
        logits = named["logits"]
        loss: Tensor = self.maths(self._values(named), given, logits, soft, labels)
        if self.labels_too:
            loss = loss + nn.functional.cross_entropy(logits, labels)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.number += 1
        return loss.item()

    def _rate(self) -> float:
        warm = math.ceil(self.plan.warmup_share * self.total)
        if self.number < warm:
            return self.plan.learning_rate * (self.number + 1) / warm
        return self.plan.learning_rate * 0.5 * (1 + math.cos(math.pi * (self.number - warm) / (self.total - warm)))


def returned(outputs: Any) -> dict[str, Tensor]:
    """What a network returns, by name; lists with numbers."""
    if isinstance(outputs, Tensor):
        return {"logits": outputs}
    named: dict[str, Tensor] = {}
    for key, value in outputs.items():
        named |= {key: value} if isinstance(value, Tensor) else {f"{key}[{i}]": one for i, one in enumerate(value)}
    return named


def pair(setting: Setting, name: str, store: Store, folder: Path) -> tuple[Callable[[], float], Callable[[], float]]:
    """A step of edgekd's and one of the plain loop's, both at the beginning of the same training."""
    folder.mkdir()
    torch.manual_seed(0)
    training, position = Training(setting.step(name), Workspace(folder, store.entries, name)), Position()
    signature = training.learners[0].signature
    module = networks.build(setting.student, signature).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.load_state_dict(training.learners[0].module.state_dict())
    plain = Plain(name, training, module.train())

    def ours() -> float:
        training.advance(position)
        return position.losses[-1]

    return ours, plain


def same(name: str, ours: Callable[[], float], plain: Callable[[], float]) -> None:
    """Both come to the same losses on the first batches, or it is not the same maths."""
    pairs = [(ours(), plain()) for _ in range(STEPS)]
    for number, (one, other) in enumerate(pairs):
        if not math.isclose(one, other, rel_tol=1e-4 if number < 2 else 2e-2):
            raise AssertionError(f"{name}: step {number + 1} has a loss of {one}, the plain loop's is {other}")


def timed(act: Callable[[], float]) -> float:
    """Seconds of this process for STEPS steps: on one thread those of the clock, without what other processes take."""
    started = time.process_time()
    for _ in range(STEPS):
        act()
    return time.process_time() - started


def compared(name: str, ours: Callable[[], float], plain: Callable[[], float], rounds: int) -> dict[str, str]:
    """The median of ratios of neighbouring blocks, with the middle half of them."""
    same(name, ours, plain)
    taken = []
    gc.disable()  # a collection falls into one block or the other by chance
    for number in range(rounds):
        # who begins takes turns too
        first, second = (timed(act) for act in ((ours, plain) if number % 2 else (plain, ours)))
        taken.append((first, second) if number % 2 else (second, first))
    gc.enable()
    ratios = sorted(a / b for a, b in taken)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    step = 1e3 * median(b for _, b in taken) / STEPS
    text = f"{median(ratios):.3f} ({low:.3f} to {high:.3f}); {step:.1f} ms a plain step"
    return {"what": f"{name}, edgekd / plain loop", "value": text, "unit": "x", "basis": "measured, paired"}


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--method", action="append", choices=tuple(bare_maths.ALL))
    reader.add_argument("--rounds", type=int, default=ROUNDS)
    given = reader.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows = []
    with tempfile.TemporaryDirectory() as place, Store(Path(place, "store")) as store:
        folder = Path(place)
        settings = {False: pictures(store, folder), True: texts(store, folder)}
        for name in given.method or bare_maths.ALL:
            ours, plain = pair(settings[name in OF_TEXTS], name, store, folder / name)
            rows.append(compared(name, ours, plain, given.rounds))
            print(f"{rows[-1]['what']}: {rows[-1]['value']}", file=sys.stderr, flush=True)
    how = (
        f"convnet width 12 depth 3 on images (transformer of width 32 for {' and '.join(OF_TEXTS)}), batch {BATCH}, "
        f"one thread, cached answers of the teacher; seconds of the process; {given.rounds} rounds of {STEPS} steps "
        "each, taking turns; in brackets the middle half of the ratios."
    )
    print(json.dumps({"rows": rows, "how": how}))


if __name__ == "__main__":
    main()
