"""A made-up world that answers steps at once, so that policies can be tested without torch, files or time.

Accuracy grows with the student's size and the teacher's help; latency is MACs times a constant. Nothing is
measured.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from edgekd.errors import EdgekdError, NotConverted, Problem, StoreError, Unsuited, UsageError, WorkerKilled
from edgekd.kept import Appraised, Calibration, Contrasted, Endured, Explained, OfClass, Parted, Resemblance, Withstood
from edgekd.policies.known import Known
from edgekd.results import (
    Artifact,
    Checkpoint,
    Compared,
    Corrupted,
    DeviceFacts,
    Diffed,
    Estimated,
    File,
    Gain,
    Interval,
    Latency,
    Layer,
    Measured,
    Measurement,
    Option,
    Parity,
    PartFiles,
    Placement,
    Predictions,
    Profiled,
    Program,
    Rehearsed,
    Score,
    Signature,
    Size,
    SoftTargets,
    Splits,
    Trained,
)
from edgekd.spec import Architecture, Budget, Choice, Data, Effort, Plan, Schedule, Student, Target, Teacher
from edgekd.stages.foretell import estimate
from edgekd.steps import (
    Appraise,
    Ask,
    Compare,
    Contrast,
    Convert,
    Corrupt,
    Diff,
    Each,
    Endure,
    Equalize,
    Evaluate,
    Explain,
    Export,
    Foretell,
    Label,
    Measure,
    Predict,
    Profile,
    Reference,
    Rehearse,
    Resemble,
    Step,
    Train,
)

FACTS = DeviceFacts(
    name="made-up computer",
    fingerprint="f",
    model="none",
    system="none",
    processor="none",
    cores=1,
    memory=1,
    python="3",
    runtimes={"tflite": "1", "onnx": "1"},
)


def file(name: str) -> File:
    return File(entry="e" * 8, name=name, sha256="0" * 64, size=1)


def layer(node: str, operator: str, lost: float) -> Layer:
    return Layer(
        node=node, name=node, module=node, kind="", operator=operator, tensor=node, shape=(1,), snr=20 - lost,
        lost=lost, difference=0.1, scale=1.0,
    )  # fmt: skip


DIFFED = Diffed(
    layers=(
        layer("relu", "aten.relu", 30.0),
        *(layer(f"conv{i}", "aten.conv2d", float(i)) for i in range(12)),
    ),
    first="conv3",
    worst=("conv11",),
    hidden=(),
    cause="none",
    advice="none",
    basis="measured",
    samples=8,
    threshold=15.0,
)


def profiled(off: int, time: float | None = None, basis: str = "measured") -> Profiled:
    """Of 20 operators so many fall back, and take this share of the time."""
    every = tuple(
        Placement(name=f"o{i}", kind="CONV_2D", wanted=i >= off, why="" if i >= off else "so") for i in range(20)
    )
    return Profiled(
        basis=basis,
        placements=every,
        fallback=off / 20,
        fallback_time=time,
        why="" if basis == "measured" else "by word",
    )


def part(count: int) -> PartFiles:
    return PartFiles(inputs={"x": file("x.npy")}, labels=file("y.npy"), count=count, labelled=count, digest="d")


SPLITS = Splits(
    parts={"train": part(8000), "calibration": part(200), "validation": part(1000), "test": part(2000)},
    classes=("a", "b"),
)
SOFT = SoftTargets(
    train=file("soft.npy"), parts={"validation": file("v"), "test": file("t")}, views=2, seed=0, seconds_per_view=1.0
)
EFFORT = Effort(
    name="quick",
    seeds=1,
    trial_epochs=2,
    epochs=10,
    views=2,
    candidates=6,
    distill=((1.0, 0.9), (4.0, 0.9)),
    control=((1e-3, 0.01), (3e-3, 0.01)),
    train_seconds=1e6,
)


def plan(*targets: Target, effort: Effort = EFFORT, **changes: Any) -> Plan:
    return Plan(
        name="made-up",
        data=Data(source=Choice(name="arrays")),
        teacher=Teacher(source=Choice(name="torch")),
        targets=targets or (Target(name="tflite", format="tflite"),),
        effort=effort,
        schedule=Schedule(epochs=effort.epochs),
        **{"student": Student(family=Choice(name="convnet"))} | changes,
    )


def option(width: int) -> Option:
    architecture = Architecture(family=Choice(name="convnet", settings={"width": width}))
    return Option(architecture=architecture, size=Size(params=100 * width, macs=10_000 * width))


def known(
    *targets: Target,
    widths: range = range(1, 41),
    teacher: Size | None = None,
    references: tuple[str, ...] = (),
    offers: dict[str, tuple[Any, ...]] | None = None,
    refused: dict[str, dict[Any, str]] | None = None,
    routes: dict[str, tuple[str, ...]] | None = None,
    **changes: Any,
) -> Known:
    return Known(
        plan=plan(*targets, **changes),
        splits=SPLITS,
        soft_targets=SOFT,
        options=tuple(option(width) for width in widths),
        teacher=teacher or Size(params=1_000_000, macs=100_000_000),
        facts={"this-computer": FACTS},
        references=references,
        ranges={"tflite": ("min-max", "percentile"), "onnx": ("min-max", "percentile", "entropy")},
        offers=offers or {},
        refused=refused or {},
        routes=routes or {},
    )


def target(format_: str = "tflite", precision: str = "auto", **budget: Any) -> Target:
    return Target(name=format_, format=format_, precision=precision, budget=Budget(**budget))


def interval(value: float, width: float = 0.02) -> Interval:
    return Interval(value=value, low=value - width, high=value + width)


def calibrated(accuracy: float, confidence: float | None = None) -> Calibration:
    sure = accuracy if confidence is None else confidence
    return Calibration(error=interval(abs(sure - accuracy), 0.01), bins=(), confidence=sure, accuracy=accuracy)


CONTRASTED = Contrasted(
    part="test",
    samples=2000,
    same=interval(0.9),
    lost=150,
    won=30,
    classes=tuple(OfClass(name=name, labelled=1000, teacher=1000, student=1000, both=900) for name in "ab"),
    moved=(),
    teacher=calibrated(0.95),
    student=calibrated(0.85),
    parted=tuple(
        Parted(number=n, truth="a", teacher="a", teacher_confidence=0.9, student="b", student_confidence=0.6)
        for n in (7, 3)
    ),
    basis="measured",
)
ENDURED = Endured(
    rows=(
        Withstood(corruption="", severity=0, teacher=interval(0.95), student=interval(0.85)),
        *(
            Withstood(corruption=kind, severity=s, teacher=interval(0.8), student=interval(0.69), behind=interval(0.01))
            for kind in ("noise", "blur")
            for s in (3, 0)
        ),
        Withstood(corruption="mean", severity=0, teacher=interval(0.8), student=interval(0.69), behind=interval(0.01)),
    ),
    samples=256,
    corrupts="pixels",
    basis="measured",
)
APPRAISED = Appraised(
    samples=2000, coverage=0.95, expected=0.97, density=1.0, variety=1.9, variety_of_test=1.95, classes=2.0,
    temperature=4.0, entropy=0.6, peak=0.8,
)  # fmt: skip
RESEMBLANCE = Resemblance(
    student=("conv", "head"), teacher=("stem", "blocks", "head"), values=((0.9, 0.4, 0.1), (0.1, 0.6, 0.95)),
    samples=256, part="validation",
)  # fmt: skip


class Setting(NamedTuple):
    """How a quantized file was made: of which program ("student.pt2", "equalized.pt2", "trained.pt2") and how."""

    program: str
    ranges: str
    more: int
    in_float: int


class World:
    """Answers steps. `accuracy(width, taught)`, `seconds(macs, precision)` and `lossy(setting)` are its laws."""

    def __init__(
        self,
        accuracy: Callable[[int, bool], float] = lambda width, taught: min(0.9, 0.5 + width / 50) + 0.03 * taught,
        seconds: Callable[[int, str], float] = lambda macs, precision: (
            macs * (1e-9 if precision == "float32" else 5e-10)
        ),
        parity: bool = True,
        convertible_teacher: bool = True,
        int8_loss: float = 0.004,
        unknown: str = "",
        unsuited: tuple[str, ...] = (),
        fault: str = "",
        unfaithful: tuple[str, ...] = (),
        lossy: Callable[[Setting], float] | None = None,
        placed: Callable[[Artifact], Profiled] | None = None,
        failing: tuple[str, ...] = (),
        wrong: tuple[str, ...] = (),
        trouble: Callable[[Artifact, int], str] | None = None,
        bonus: Callable[[Train], float] = lambda step: 0.0,
        withheld: tuple[str, ...] = (),
    ) -> None:
        self.bonus = bonus  # what a training's objectives and rates add to its accuracy
        self.withheld = withheld  # stages that have no answer
        self.trouble = trouble or (lambda artifact, attempt: "")  # "refused" or "unstable", by attempt to time it
        self.failing, self.wrong = failing, wrong  # routes that give no file, or one that computes something else
        self.placed = placed or (lambda artifact: profiled(0))
        self.lossy = lossy or (lambda setting: self.int8_loss)
        self.unsuited, self.fault, self.unfaithful = unsuited, fault, unfaithful
        self.unknown = unknown  # why a reference evaluator has no answer
        self.int8_loss = int8_loss
        self.accuracy, self.seconds, self.parity, self.convertible = accuracy, seconds, parity, convertible_teacher
        self.asked: list[Step[Any]] = []

    def follow(self, policy: Any) -> Any:
        """Drive a policy to its end."""
        try:
            wanted = next(policy)
            while True:
                self.asked += wanted
                try:
                    answers = tuple(map(self.attempt if isinstance(wanted, Each) else self.answer, wanted))
                except EdgekdError as error:
                    wanted = policy.throw(error)
                else:
                    wanted = policy.send(answers)
        except StopIteration as stop:
            return stop.value

    def attempt(self, step: Step[Any]) -> Any:
        try:
            return self.answer(step)
        except (StoreError, WorkerKilled):
            raise
        except EdgekdError as error:
            return error

    def answer(self, step: Step[Any]) -> Any:
        if step.stage in self.withheld:
            raise EdgekdError(f"{step.stage} has no answer\n  log: nowhere")
        match step:
            case Label():
                return SOFT.model_copy(update={"train": file(f"answers of {self._who(step.teacher)}")})
            case Contrast():
                return CONTRASTED.model_copy(update={"part": step.student.part, "basis": step.student.basis})
            case Resemble():
                return RESEMBLANCE
            case Explain():
                return Explained(method="none", of="x", samples=())
            case Appraise():
                return APPRAISED.model_copy(update={"temperature": step.temperature})
            case Ask():
                return Predictions(outputs=file("asked"), part=step.part, basis="reference", why="by torch")
            case Corrupt():
                return Corrupted(part=part(9 * step.samples), kinds=(("", 0),), samples=step.samples, by="pixels")
            case Endure():
                return ENDURED.model_copy(update={"basis": step.student.basis})
            case Train():
                return self._train(step)
            case Export():
                return self._export(step)
            case Convert():
                return self._convert(step)
            case Measure():
                return Measured(measurements=tuple(self._timed(a, step) for a in step.artifacts))
            case Foretell():
                told = (estimate(step.measured, series, step.others) for series in step.series)
                return Estimated(estimates=tuple(told))
            case Profile():
                return self.placed(step.artifact)
            case Predict():
                return Predictions(outputs=file(step.artifact.graph), part=step.part, basis="measured")
            case Reference():
                basis = "not measured" if self.unknown else "reference"
                why = self.unknown or "by definition"
                return Predictions(outputs=file(step.artifact.graph), part=step.part, basis=basis, why=why)
            case Equalize():
                return step.program.model_copy(update={"file": file("equalized.pt2")})
            case Diff():
                return DIFFED
            case Rehearse():
                upside_down = "its output is upside down" if step.artifact.route in self.wrong else ""
                return Rehearsed(basis="measured", relative_error=0.0, fault=self.fault or upside_down)
            case Evaluate():
                return self._evaluate(step)
            case Compare():
                return Compared(
                    gain=Gain(
                        difference=Interval(value=0.03, low=0.01, high=0.05), distilled=(0.9,), control=(0.87,), seeds=1
                    )
                )
        raise AssertionError(f"the made-up world was asked {step}")

    def _who(self, teacher: Teacher | Checkpoint) -> str:
        """Who labels: the teacher, or a student by its width and what it was taught by."""
        if isinstance(teacher, Teacher):
            return "the teacher"
        return f"{teacher.architecture.family.settings['width']} of {teacher.weights.name}"

    def _train(self, step: Train) -> Trained:
        architecture = step.networks[0]
        width = int(str(architecture.family.settings["width"]))
        value = self.accuracy(width, step.soft_targets is not None) + self.bonus(step)
        said = (
            f"{step.schedule.epochs} {step.seed} {[one.model_dump_json() for one in step.objectives]} {step.schedule}"
        )
        checkpoint = Checkpoint(
            architecture=architecture,
            weights=file("trained" if step.fake_quant else "w"),
            validation_accuracy=value if not step.fake_quant else step.init[0].validation_accuracy,
            validation_outputs=file(said),
            epochs=step.schedule.epochs,
            steps=step.schedule.epochs,
            seed=step.seed,
        )
        peers = tuple(
            checkpoint.model_copy(update={"validation_accuracy": checkpoint.validation_accuracy + 0.001 * number})
            for number in range(len(step.networks))
        )
        return Trained(checkpoints=peers)

    def _export(self, step: Export) -> Program:
        name_of_file = "student.pt2"
        match step.source:
            case Checkpoint(architecture=architecture, validation_accuracy=value):
                name_of_file = "trained.pt2" if step.source.weights.name == "trained" else name_of_file
                name, width = f"{value}", int(str(architecture.family.settings["width"]))
            case Architecture(family=family):
                name, width = "0", int(str(family.settings["width"]))
            case _:
                if not self.convertible:
                    raise UsageError(Problem("teacher", "is a black box"))
                name, width = "0.95", 10_000
        return Program(
            file=file(name_of_file),
            signature=Signature(inputs=(), outputs=()),
            golden=file("g"),
            reference=file("r"),
            size=Size(params=100 * width, macs=10_000 * width),
            digest=f"{name}:{width}",
            trained=name != "0",
        )

    def _convert(self, step: Convert) -> Artifact:
        if step.precision in self.unsuited:
            raise Unsuited(Problem(f"{step.format} {step.precision}", "cannot do this network any good"))
        if step.base is None and step.route in self.failing:
            raise NotConverted(Problem(step.format, f"no such operator in {step.route or 'the first'}", "Use another"))
        shrink = {"float32": 4, "float16": 2, "int8": 1}.get(step.precision, 1)
        return Artifact(
            file=file("student"),
            format=step.format,
            precision=step.precision,
            signature=step.program.signature,
            golden=step.program.golden,
            size=step.program.size.params * shrink,
            graph=":".join(
                map(
                    str,
                    (
                        step.program.digest,
                        step.precision,
                        step.program.file.name,
                        step.ranges,
                        step.more,
                        len(step.in_float),
                    ),
                )
            ),
            made_by="nobody",
            route=step.route,
        )

    def _timed(self, artifact: Artifact, step: Measure) -> Measurement:
        trouble = self.trouble(artifact, step.attempt)
        if trouble == "refused":
            return Measurement(basis="not measured", device=FACTS, why="every session was refused: it was too hot")
        measured = self._measure(artifact)
        if measured.latency is None:
            return measured
        told = {"protocol": step.protocol} | ({"stable": False} if trouble == "unstable" else {})
        return measured.model_copy(update={"latency": measured.latency.model_copy(update=told)})

    def _measure(self, artifact: Artifact) -> Measurement:
        _, width, precision, *_ = artifact.graph.split(":")
        value = self.seconds(10_000 * int(width), precision)
        latency = Latency(
            sessions=((value,),), warmup_runs=1, threads=1, load=0.1, first=value, p50=value, p90=value, p90_high=value,
            p99=value, quiet=value, stable=True,
        )  # fmt: skip
        return Measurement(basis="measured", device=FACTS, latency=latency, memory=1000)

    def _evaluate(self, step: Evaluate) -> Score:
        accuracy = float(step.predictions.outputs.name.split(":")[0]) if ":" in step.predictions.outputs.name else 0.95
        if step.precision == "int8":
            program, ranges, more, in_float = step.predictions.outputs.name.split(":")[3:]
            accuracy -= self.lossy(Setting(program, ranges, int(more), int(in_float)))
        parity = None
        if step.reference is not None:
            parity = Parity(
                agreement=1,
                near_ties=0,
                relative_error=0,
                constant=False,
                passed=self.parity and step.precision not in self.unfaithful,
                why="made up",
            )
        drop = Interval(value=0.95 - accuracy, low=0, high=1) if step.teacher else None
        interval = Interval(value=accuracy, low=accuracy, high=accuracy)
        return Score(
            part=step.predictions.part,
            metric="accuracy",
            accuracy=interval,
            count=2000,
            drop=drop,
            parity=parity,
            basis=step.predictions.basis,
        )
