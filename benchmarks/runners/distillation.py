"""Optimizer steps of one student: plain, distilled from the cache, and distilled with the teacher run in every step.

All three train the same network on the same images, all of them labelled, in blocks that take turns in one process on
one thread. A live step is a cached step plus the teacher's forward pass on the batch: what the cache saves.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from edgekd.nets import networks
from edgekd.policies.known import GROUND_TRUTH, distillation, images, schedule
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.spec import Architecture, Choice
from edgekd.stages.train import Position, Training
from edgekd.steps import Label, Split, Train
from edgekd.store import Store
from edgekd.workspace import Workspace

STEPS, ROUNDS = 50, 9


class Bench:
    """The three kinds of step, ready to take turns."""

    def __init__(self, store: Store, folder: Path) -> None:
        plan = load_plan("fashion-mnist", Flags(target=("onnx",)))
        (self.splits,) = store.do(Split(data=plan.data, images=images(plan)))
        (self.soft,) = store.do(Label(teacher=plan.teacher, splits=self.splits, views=plan.effort.views))
        family = Choice(name="convnet", settings={"width": 12, "depth": 3})
        step = Train(
            networks=(Architecture(family=family, image=plan.student.image),),
            objectives=GROUND_TRUTH,
            splits=self.splits,
            schedule=schedule(plan.schedule, 1000),
            views=self.soft.views,
            view_seed=self.soft.seed,
        )
        taught = step.model_copy(update={"objectives": distillation(4.0, 0.9), "soft_targets": self.soft})
        self._plain = self._training(step, store, folder / "plain")
        self._taught = self._training(taught, store, folder / "taught")
        out = Workspace(folder, store.entries, "teacher")
        signature = networks.signature(self.splits, plan.teacher.image, out)
        kind, settings = networks.configured("teachers", plan.teacher.source)
        module = kind.load(settings, networks.paths(plan.teacher.source), signature, False).module
        self._teacher = module.eval().to(memory_format=torch.channels_last)
        shape = (len(self._taught.order(0)[0]), *signature.inputs[0].shape[1:])
        self._batch = torch.randn(shape).contiguous(memory_format=torch.channels_last)

    def _training(self, step: Train, store: Store, folder: Path) -> Training:
        folder.mkdir()
        return Training(step, Workspace(folder, store.entries, folder.name))

    def plain(self, position: Position) -> None:
        """Cross-entropy on the labels alone."""
        self._plain.advance(position)

    def cached(self, position: Position) -> None:
        """Distillation from the cached soft targets."""
        self._taught.advance(position)

    def live(self, position: Position) -> None:
        """The same, and the teacher's forward pass on a batch."""
        with torch.inference_mode():
            self._teacher(self._batch)
        self._taught.advance(position)


def timed(act: Callable[[Position], None], position: Position) -> float:
    """Seconds of STEPS steps."""
    started = time.perf_counter()
    for _ in range(STEPS):
        act(position)
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "store")) as store:
        bench = Bench(store, Path(folder))
        kinds = {"plain": bench.plain, "cached": bench.cached, "live": bench.live}
        positions = {name: Position() for name in kinds}
        for name, act in kinds.items():
            timed(act, positions[name])
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, act in kinds.items():
                taken[name].append(timed(act, positions[name]))
    print(json.dumps(report(taken, bench.soft.seconds_per_view, bench.splits.parts["train"].count)))


def report(taken: dict[str, list[float]], seconds_per_view: float, samples: int) -> dict[str, object]:
    """Medians of the paired ratios, with their range over the rounds."""
    rows = [
        {"what": f"one {name} step", "value": f"{1e3 * median(values) / STEPS:.1f}", "unit": "ms", "basis": "measured"}
        for name, values in taken.items()
    ]
    for above, below in (("cached", "plain"), ("live", "cached")):
        ratios = sorted(a / b for a, b in zip(taken[above], taken[below], strict=True))
        value = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        rows.append({"what": f"{above} / {below}", "value": value, "unit": "x", "basis": "measured, paired"})
    rows.append(
        {
            "what": f"labelling one view of {samples} images, all cores",
            "value": f"{seconds_per_view:.1f}",
            "unit": "s, once",
            "basis": "measured",
        }
    )
    how = f"convnet width 12 depth 3, batch 128, one thread; {ROUNDS} rounds of {STEPS} steps each, taking turns."
    return {"rows": rows, "how": how}


if __name__ == "__main__":
    main()
