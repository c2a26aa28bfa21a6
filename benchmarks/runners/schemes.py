"""Each way to train a student beside what its paper compares it with, on the embedded images of Fashion-MNIST.

    python -m benchmarks.runners.schemes [--store FOLDER] [--scheme NAME] [--seeds N]

With a store of its own it goes on where it was stopped, and parts of the table can be run one by one. All trainings of
a comparison have the same number of optimizer steps and the same, untuned rates, and see plain images: the shipped
teacher is asked once about each. Whether a scheme did what its paper says is read from the interval. All accuracies are
of the trained networks in torch, on the test part: what files and runtimes do to them is no matter of schemes.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.runners.methods import STUDENT, Case, Found, Rights, Size, recipe, shown, taught
from benchmarks.runners.methods import Bench as Base
from edgekd import files
from edgekd.nets import inference, networks
from edgekd.policies.course import assisted, taught_by
from edgekd.policies.known import Known, distillation
from edgekd.policies.race import control
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Checkpoint, SoftTargets
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Choice, Data, Objective, Plan, Teacher, UserFile
from edgekd.statistics import paired_interval
from edgekd.steps import Count, Label, Train
from edgekd.store import Store
from edgekd.workspace import Workspace

SIZE = Size(epochs=16, trial=1, views=1)
SOFT = distillation(2.0, 0.9)
# A head's loss is as large as the student's own.
HEADS = Objective(use=Choice(name="deep_to_shallow"), weight=0.3)
# Teachers that are trained here, smaller than the shipped one, on the labels that the student has.
WIDTH, EPOCHS = 8, 6
SHARES = [3.0, 1.0]
# Of the case of few labels: those to train on, a fifth of all for validation, and unlabelled images for calibration.
FEW, HELD, CALIBRATION = 1000, 250, 200
BATCH = 128
CHUNK = 1000


Outputs = NDArray[np.float32]


class Row(NamedTuple):
    """One line: what was trained, and what its paper says that it is better than."""

    found: Found
    base: Found | None = None


class Bench(Base):
    """A data set, split and labelled by the shipped teacher, and what is trained on it."""

    def __init__(self, store: Store, case: Case, plan: Plan, seeds: int, folder: Path) -> None:
        super().__init__(store, case, plan, seeds)
        self.folder = folder

    def said(self) -> tuple[Outputs, Outputs]:
        """What the teacher said of all training and test samples, in the data's own order."""
        splits, soft = self.known.splits, self.known.soft_targets
        parts = {part: np.load(self.store.path(file)) for part, file in soft.parts.items()}
        parts["train"] = np.load(self.store.path(soft.train))[0]
        test = parts.pop("test")
        given = np.full((sum(map(len, parts.values())), test.shape[1]), np.nan, np.float32)
        for part, values in parts.items():
            rows = splits.parts[part].rows
            assert rows is not None
            given[np.load(self.store.path(rows))] = values
        assert np.isfinite(given).all(), "the teacher was not asked about some samples"
        return given, test

    def rights(self, checkpoints: Sequence[Checkpoint]) -> Rights:
        """What each network gets right of the test part."""
        torch.set_num_threads(1)
        out = Workspace(self.folder, self.store.entries, "")
        signature = networks.signature(self.known.splits, self.student.image, out)
        feed, found = Feed(out, self.known.splits, "test", signature, augment=False, seed=0), []
        for one in checkpoints:
            module = networks.build(one.architecture, signature)
            networks.load_weights(module, self.store.path(one.weights))
            ask = inference.answers(module, signature, channels_last=True)
            chunks = [np.arange(start, min(start + CHUNK, feed.count)) for start in range(0, feed.count, CHUNK)]
            found.append(self._right(np.concatenate([ask(feed.batch(rows), rows, "test") for rows in chunks])))
        return found

    def train(self, name: str, steps: Sequence[Train], how: str = "") -> tuple[Found, list[Checkpoint]]:
        """A row of trainings, one for each seed, and the first network of each. Of peers the row is the mean."""
        done = self.store.do(*steps)
        every = [self.rights(one.checkpoints) for one in done]
        right = [np.mean(peers, axis=0) for peers in every]
        return Found(name, right, 0.0, how), [one.checkpoints[0] for one in done]

    def alone(self, name: str = "labels alone") -> tuple[Found, list[Checkpoint]]:
        """The student from labels alone, at the schedule's own rates."""
        return self.train(name, [self.from_labels(seed) for seed in self.seeds])

    def from_labels(self, seed: int) -> Train:
        """A training from labels alone, without a search for its rates."""
        base = self.known.plan.schedule
        return control(self.known, self.student, (base.learning_rate, base.weight_decay), self.effort.epochs, seed)

    def distilled(self, name: str, known: Known, how: str = "") -> tuple[Found, list[Checkpoint]]:
        """The student from soft targets and labels."""
        return self.train(name, [self.soft(known, self.student, seed) for seed in self.seeds], how)

    def soft(self, known: Known, network: Architecture, seed: int) -> Train:
        """A training from soft targets and labels."""
        return self.from_labels(seed).model_copy(
            update={"networks": (network,), "objectives": SOFT, "soft_targets": known.soft_targets}
        )

    def asked(self, teacher: Teacher) -> Known:
        """What is known with another teacher's answers."""
        plan = self.known.plan
        (soft,) = self.store.do(
            Label(
                teacher=teacher,
                splits=self.known.splits,
                views=self.effort.views,
                augment=plan.augment,
                mirror=plan.mirror,
            )
        )
        return self.known.model_copy(update={"soft_targets": soft})

    def from_the_shipped(self) -> tuple[Found, list[Checkpoint]]:
        """Offline distillation from the shipped teacher."""
        return self.distilled("KD from the shipped teacher", self.known)


def remembered(folder: Path, name: str, train: Outputs, test: Outputs) -> Teacher:
    """A teacher of saved outputs, so that a large one need not be asked again."""
    path = folder / f"{name}.npz"
    np.savez(path, train=train, test=test)
    source = Choice(
        name="saved",
        settings={"file": str(path)},
        files={"file": UserFile(path=str(path), sha256=files.digest(path))},
    )
    return Teacher(source=source, image=load_plan("fashion-mnist", Flags(target=("onnx",))).teacher.image)


def offline(bench: Bench) -> Iterator[Row]:
    """Labels alone against the shipped teacher's soft targets."""
    base, _ = bench.alone()
    yield Row(bench.teacher())
    yield Row(base)
    yield Row(bench.from_the_shipped()[0], base)


def ensemble(bench: Bench) -> Iterator[Row]:
    """The shipped teacher with a weaker one, which was trained here."""
    weak = taught(bench.store, bench.known.plan, WIDTH, EPOCHS)
    saved = remembered(bench.folder, "shipped", *bench.said())
    best = bench.from_the_shipped()[0]
    yield Row(bench.answers("teacher A", bench.asked(weak).soft_targets))
    ways = ("mean", []), ("shares 3 to 1", SHARES), ("learned shares", "learned")
    yield from _joined(bench, "the shipped teacher and A", (saved, weak), best, ways)


def ensemble_of_equals(bench: Bench) -> Iterator[Row]:
    """Two teachers of one size that were trained alike, but for the seed."""
    equals = [taught(bench.store, bench.known.plan, WIDTH, EPOCHS, seed) for seed in (0, 1)]
    known = [bench.asked(one) for one in equals]
    told = [bench.answers(f"teacher {name}", one.soft_targets) for name, one in zip("AB", known, strict=True)]
    better = max((0, 1), key=lambda i: float(np.mean(told[i].right)))
    best, _ = bench.distilled(f"KD from {told[better].name}", known[better])
    yield from map(Row, (*told, best))
    yield from _joined(bench, "A and B", equals, best, (("mean", []), ("learned shares", "learned")))


def _joined(
    bench: Bench, who: str, teachers: Sequence[Teacher], best: Found, ways: Sequence[tuple[str, object]]
) -> Iterator[Row]:
    """Students of an ensemble, against the one of its best single member."""
    singles = [bench.asked(one).soft_targets for one in teachers]
    better = max((bench.answers(best.name, one) for one in singles), key=lambda found: float(np.mean(found.right)))
    for way, shares in ways:
        known = bench.asked(_together(teachers, shares))
        how = _shares(known.soft_targets)
        yield Row(
            bench.answers(f"ensemble of {who}, {way}", known.soft_targets), better._replace(name="its best member")
        )
        yield Row(bench.distilled(f"KD from {who}, {way}", known, how)[0], best)


def _shares(soft: SoftTargets) -> str:
    return "shares " + " and ".join(f"{share:.2f}" for share in soft.shares) if soft.shares else ""


def _together(teachers: Sequence[Teacher], shares: object) -> Teacher:
    """An ensemble."""
    members = [{"name": one.source.name, **one.source.settings} for one in teachers]
    paths = {f"members.{i}.{key}": file for i, one in enumerate(teachers) for key, file in one.source.files.items()}
    source = Choice.model_validate(
        {"name": "ensemble", "settings": {"members": members, "shares": shares}, "files": paths}
    )
    return Teacher(source=source, image=teachers[0].image)


def assistants(bench: Bench) -> Iterator[Row]:
    """The teacher through an assistant between, against the teacher itself."""
    base, _ = bench.from_the_shipped()
    plan = bench.known.plan
    (counted,) = bench.store.do(Count(student=plan.student, teacher=plan.teacher, splits=bench.known.splits))
    own = next(o for o in counted.options if STUDENT.settings.items() <= o.architecture.family.settings.items())
    known = bench.known.model_copy(update={"options": counted.options, "course": {"assistants": 1}})
    helped = bench.store.follow(assisted(known, own.architecture, bench.soft))
    (lesson,) = helped.lessons
    assert counted.teacher is not None
    sizes = f"{own.size.params:,} parameters, assistant {lesson.params:,}, teacher {counted.teacher.params:,}"
    yield Row(base)
    yield Row(bench.answers("assistant", helped.known.soft_targets))
    yield Row(bench.distilled("KD through an assistant", helped.known, sizes)[0], base)


def born_again(bench: Bench) -> Iterator[Row]:
    """Two generations after a student of the shipped teacher, and one after a student of labels alone."""
    for (base, parents), generations in ((bench.from_the_shipped(), 2), (bench.alone(), 1)):
        yield Row(base)
        first = base.name
        for number in range(1, generations + 1):
            steps = []
            for parent in parents:
                child = bench.store.follow(taught_by(bench.known, parent))
                steps.append(bench.soft(child, bench.student, parent.seed))
            found, parents = bench.train(f"generation {number} after {first}", steps)
            yield Row(found, base)
            base = found


def mutual(bench: Bench) -> Iterator[Row]:
    """Two peers from labels alone, against one network from labels alone."""
    base, _ = bench.alone()
    together = {"networks": (bench.student,) * 2, "scheme": Choice(name="mutual", settings={"peers": 2})}
    steps = [bench.from_labels(seed).model_copy(update=together) for seed in bench.seeds]
    yield Row(base)
    yield Row(bench.train("two peers from labels", steps, "mean of both peers")[0], base)


def deep_to_shallow(bench: Bench) -> Iterator[Row]:
    """Heads on inner layers, beside labels alone and beside the shipped teacher."""
    for (base, _), step, name in (
        (bench.alone(), bench.from_labels, "labels alone and heads"),
        (bench.from_the_shipped(), lambda seed: bench.soft(bench.known, bench.student, seed), "KD and heads"),
    ):
        yield Row(base)
        steps = [step(seed) for seed in bench.seeds]
        headed = [one.model_copy(update={"objectives": (*one.objectives, HEADS)}) for one in steps]
        yield Row(bench.train(name, headed)[0], base)


def label_scarce(bench: Bench) -> Iterator[Row]:
    """A thousand labels: alone, with a teacher for their images, and with one for the unlabelled images too."""
    large = scarce(bench, True, SIZE)
    count = large.known.splits.parts["train"].count
    # as many optimizer steps as with the unlabelled images
    epochs = round(SIZE.epochs * -(-count // BATCH) / -(-FEW // BATCH))
    small = scarce(bench, False, SIZE._replace(epochs=epochs))
    _same_labels(large, small)
    base, _ = large.alone(f"{FEW:,} labels alone")
    few, _ = small.distilled(f"KD on these {FEW:,} images", small.known)
    yield Row(base)
    yield Row(few, base)
    name = f"KD on {count:,} images, {count - FEW:,} of them unlabelled"
    yield Row(large.distilled(name, large.known)[0], few)


def scarce(bench: Bench, whole: bool, size: Size) -> Bench:
    """Few labels, with or without the unlabelled images; labels, validation and test are the same."""
    plan, folder = bench.known.plan, bench.folder
    with np.load(plan.data.source.files["train"].path) as found:
        images, labels = found["image"], found["y"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    # calibration takes unlabelled images first, and then finds as many as it wants
    order = order if whole else order[: FEW + HELD + CALIBRATION]
    paths = {"train": folder / "few.npz", "unlabelled": folder / f"unlabelled-{len(order)}.npz"}
    np.savez(paths["train"], image=images[order[: FEW + HELD]], y=labels[order[: FEW + HELD]])
    np.savez(paths["unlabelled"], image=images[order[FEW + HELD :]])
    own = {key: UserFile(path=str(path), sha256=files.digest(path)) for key, path in paths.items()}
    source = plan.data.source
    settings = source.settings | {key: str(path) for key, path in paths.items()}
    source = Choice(name=source.name, settings=settings, files=dict(source.files) | own)
    given, test = bench.said()
    plan = plan.model_copy(
        update={
            "data": Data(source=source, validation=HELD, calibration=CALIBRATION),
            "schedule": plan.schedule.model_copy(update={"batch": BATCH}),
            "teacher": remembered(folder, f"few-{len(order)}", given[order], test),
        }
    )
    return Bench(bench.store, Case(recipe("fashion-mnist"), STUDENT, size), plan, len(bench.seeds), folder)


def _same_labels(one: Bench, other: Bench) -> None:
    """The two have the same labelled samples and the same test part, or nothing can be said."""
    told = []
    for bench in (one, other):
        part = bench.known.splits.parts["train"]
        labels = np.load(bench.store.path(part.labels))
        images = np.load(bench.store.path(next(iter(part.inputs.values()))))[labels >= 0]
        told.append((images.tobytes(), labels[labels >= 0].tobytes(), bench.known.splits.parts["test"].digest))
    assert told[0] == told[1], "the labelled samples differ"


SCHEMES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "offline": offline,
    "ensemble": ensemble,
    "ensemble_of_equals": ensemble_of_equals,
    "assistants": assistants,
    "born_again": born_again,
    "mutual": mutual,
    "deep_to_shallow": deep_to_shallow,
    "label_scarce": label_scarce,
}


def verdict(row: Row) -> str:
    """What the interval says of the paper's claim."""
    if row.base is None:
        return ""
    _, low, high = paired_interval(row.found.right, row.base.right)
    if low > 0:
        return "as its paper says"
    return "the opposite of what its paper says" if high < 0 else "not shown here: the interval holds zero"


def line(what: str, row: Row) -> dict[str, str]:
    """A row: accuracy, gain with interval, and whether that is what the paper says."""
    told = shown(what, row.found, row.base, row.base.name if row.base else "")
    return told | {"basis": "; ".join(part for part in (told["basis"], verdict(row)) if part)}


def compared(store: Store, folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """The rows of all schemes that are wanted."""
    case, rows = Case(recipe("fashion-mnist"), STUDENT, SIZE), []
    bench = Bench(store, case, case.plan(store, folder, wanted), wanted.seeds, folder)
    for name, scheme in SCHEMES.items():
        for row in scheme(bench) if not wanted.scheme or name in wanted.scheme else ():
            rows.append(line(f"{name}: {row.found.name}", row))
            print(": ".join(rows[-1].values()), file=sys.stderr, flush=True)
    how = f"{wanted.seeds} seeds, {SIZE.epochs} epochs; mean ± standard deviation; 95 % intervals, bootstrap over seeds"
    how = f"{how} and test samples; what a scheme costs is in docs/schemes.md."
    left = [name for name in SCHEMES if wanted.scheme and name not in wanted.scheme]
    return {"rows": rows, "how": f"{how} Not measured yet: {', '.join(left)}." if left else how}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--store", type=Path, help="a folder to keep answers in, and to go on from")
    parser.add_argument("--scheme", action="append", choices=SCHEMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cores", type=int, help="trainings side by side")
    return parser.parse_args(given)


def main() -> None:
    """Everything, or the schemes that were asked for."""
    wanted = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = wanted.store or Path(name)
        folder.mkdir(exist_ok=True, parents=True)
        with Store(folder / "store", cores=wanted.cores) as store:
            answer = compared(store, folder, wanted)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
