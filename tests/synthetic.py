"""Made-up but realistic reports, for tests of what is written from them."""

import numpy as np

from edgekd.contrast import showing
from edgekd.kept import (
    Appraised,
    Attributed,
    Bin,
    Calibration,
    Concern,
    Contrasted,
    Endured,
    Explained,
    Kept,
    Moved,
    OfClass,
    Parted,
    Resemblance,
    Withstood,
)
from edgekd.results import (
    Artifact,
    Candidate,
    DeviceFacts,
    File,
    Gain,
    Interval,
    Latency,
    Measurement,
    Parity,
    Predictor,
    Preprocess,
    Report,
    Row,
    Score,
    Signature,
    Size,
    TensorSpec,
    Trial,
)
from edgekd.spec import Architecture, Budget, Choice, Data, Effort, Image, Plan, Schedule, Student, Target, Teacher

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DEVICE = DeviceFacts(
    name="this computer (AMD EPYC 9B14)",
    fingerprint="a" * 16,
    model="Standard PC",
    system="Linux 6.1 x86_64",
    processor="AMD EPYC 9B14",
    cores=2,
    memory=24 * 2**30,
    python="3.11.7",
    runtimes={"tflite": "ai-edge-litert 2.3.0", "onnx": "onnxruntime 1.31.1"},
)
APPLE_ONLY = "Core ML runs on Apple devices only"
IMAGE = Image(size=28, channels="gray", mean=(0.286,), std=(0.353,))


def stored(name: str, size: int = 1000) -> File:
    return File(entry="e" * 64, name=name, sha256="5" * 64, size=size)


def signature(layout: str = "NHWC") -> Signature:
    preprocess = Preprocess(
        canvas=28, size=28, channels="gray", filter="bilinear", mean=(0.286,), std=(0.353,), layout=layout
    )
    shape = (-1, 28, 28, 1) if layout == "NHWC" else (-1, 1, 28, 28)
    image = TensorSpec(name="image", shape=shape, preprocess=preprocess)
    return Signature(inputs=(image,), outputs=(TensorSpec(name="logits", shape=(-1, 10)),), classes=CLASSES)


def latency(p50: float, seed: int = 0, stable: bool = True) -> Latency:
    random = np.random.default_rng(seed)
    runs = p50 * np.exp(np.abs(random.normal(0, 0.09, (4, 256))) + (random.random((4, 256)) > 0.985) * 0.8)
    p90 = float(np.quantile(runs, 0.9))
    return Latency(
        sessions=tuple(tuple(float(x) for x in session) for session in runs),
        warmup_runs=60,
        threads=1,
        load=0.0021 + 30 * p50,
        first=8 * p50,
        p50=float(np.quantile(runs, 0.5)),
        p90=p90,
        p90_high=1.06 * p90,
        p99=float(np.quantile(runs, 0.99)),
        quiet=float(runs.min()),
        stable=stable,
        why="" if stable else "sessions differ by 31 %",
    )


def measured(p50: float, memory: int, seed: int = 0) -> Measurement:
    return Measurement(basis="measured", device=DEVICE, latency=latency(p50, seed), memory=memory)


def score(accuracy: float, drop: float | None, seed: int = 0, parity: Parity | None = None) -> Score:
    spread = np.random.default_rng(seed).normal(0, 0.04, 10)
    per_class = np.clip(accuracy + spread - spread.mean(), 0, 1)
    return Score(
        part="test",
        metric="accuracy",
        accuracy=Interval(value=accuracy, low=accuracy - 0.008, high=accuracy + 0.008),
        count=5000,
        drop=None if drop is None else Interval(value=drop, low=drop - 0.007, high=drop + 0.007),
        agreement=None if drop is None else 0.97 - drop,
        per_class=tuple(float(x) for x in per_class),
        parity=parity,
    )


def artifact(format: str, precision: str, size: int) -> Artifact:
    return Artifact(
        file=stored(f"model.{format}", size),
        format=format,
        precision=precision,
        signature=signature(),
        golden=stored("golden.npz"),
        size=size,
        graph="9" * 64,
        made_by="litert-torch 0.10.0, ai-edge-quantizer 0.10.0",
    )


TEACHER, STUDENT = Size(params=701_000, macs=98_000_000), Size(params=23_400, macs=1_900_000)
FAITHFUL = Parity(agreement=1.0, near_ties=1, relative_error=3e-7, constant=False, passed=True)
ROUNDED = Parity(agreement=0.985, near_ties=1, relative_error=0.04, constant=False, passed=True, why="not required")


def rows(target: str = "tflite", teacher_int8: bool = True) -> tuple[Row, ...]:
    """Every row of one target on this computer; the distilled int8 student ships."""
    teacher = Row(
        role="teacher",
        target=target,
        precision="float32",
        size=TEACHER,
        artifact=artifact(target, "float32", 2_830_000),
        measurement=measured(1.72e-3, 9_400_000, 1),
        score=score(0.9312, 0.0, 1, FAITHFUL),
        fits=True,
    )
    missing = Measurement(basis="not measured", why="the teacher could not be quantized: attention has no int8 kernel")
    quantized = teacher.model_copy(
        update={
            "role": "teacher-int8",
            "precision": "int8",
            "artifact": artifact(target, "int8", 761_000) if teacher_int8 else None,
            "measurement": measured(0.92e-3, 6_100_000, 2) if teacher_int8 else missing,
            "score": score(0.9290, 0.0022, 2, ROUNDED) if teacher_int8 else None,
            "fits": True if teacher_int8 else None,
        }
    )
    small = {"target": target, "size": STUDENT, "fits": True}
    exact, small_file = artifact(target, "float32", 101_000), artifact(target, "int8", 43_600)
    control = Row(role="control", precision="int8", artifact=small_file, **small,
                  measurement=measured(46e-6, 1_900_000, 3), score=score(0.8410, 0.0902, 3, ROUNDED))  # fmt: skip
    floats = Row(role="student", precision="float32", artifact=exact, **small,
                 measurement=measured(71e-6, 2_300_000, 4), score=score(0.8962, 0.0350, 4, FAITHFUL))  # fmt: skip
    ships = Row(role="student", precision="int8", artifact=small_file, ships=True, **small,
                measurement=measured(45e-6, 1_900_000, 5), score=score(0.8942, 0.0370, 5, ROUNDED))  # fmt: skip
    return teacher, quantized, control, floats, ships


def unmeasured() -> tuple[Row, ...]:
    """Core ML on a computer that cannot run it: files are real, everything that must run is not measured."""
    nowhere = Measurement(basis="not measured", why=APPLE_ONLY)
    made = {"teacher": 2_900_000, "control": 52_000, "student": 52_000}
    sizes = {"teacher": TEACHER, "control": STUDENT, "student": STUDENT}
    return tuple(
        Row(
            role=role,
            target="coreml",
            precision="float32",
            size=sizes[role],
            artifact=artifact("coreml", "float32", made[role]),
            measurement=nowhere,
            ships=role == "student",
        )
        for role in ("teacher", "control", "student")
    )


def gain(value: float = 0.0532, half: float = 0.011, seeds: int = 3) -> Gain:
    distilled = tuple(0.894 + 0.002 * (n - 1) for n in range(seeds))
    return Gain(
        difference=Interval(value=value, low=value - half, high=value + half),
        distilled=distilled,
        control=tuple(x - value for x in distilled),
        seeds=seeds,
    )


def plan(targets: tuple[Target, ...]) -> Plan:
    return Plan(
        name="fashion-mnist",
        data=Data(source=Choice(name="arrays"), labels=1000),
        teacher=Teacher(source=Choice(name="torch"), image=IMAGE),
        student=Student(family=Choice(name="convnet"), image=IMAGE),
        targets=targets,
        effort=Effort(
            name="standard",
            seeds=3,
            trial_epochs=8,
            epochs=24,
            views=4,
            candidates=8,
            train_seconds=120.0,
            distill=((1.0, 0.9), (4.0, 0.9)),
            control=((3e-3, 1e-2), (1e-3, 1e-2)),
        ),
        schedule=Schedule(epochs=24),
    )


def student(width: int) -> Architecture:
    return Architecture(family=Choice(name="convnet", settings={"width": width, "depth": 2}), image=IMAGE)


def candidates(target: str = "tflite") -> tuple[Candidate, ...]:
    widths = (4, 8, 12, 16, 24, 32)
    return tuple(
        Candidate(
            architecture=student(width),
            size=Size(params=95 * width**2, macs=7_600 * width**2),
            latency={target: 9e-6 + 7.5e-8 * width**2},
            file_size={target: 6000 + 100 * width**2},
            fits=width < 24,
            why="" if width < 24 else "parameters over a quarter of the teacher's",
            validation_accuracy=0.80 + 0.006 * width if width < 24 else None,
            epochs=8 if width < 24 else 0,
            front=width < 24,
        )
        for width in widths
    )


PREDICTOR = Predictor(
    target="tflite", precision="int8", cost="latency", students=6, mean_error=0.031, worst_error=0.079, within=1.0
)


def trial(kind: str, told: float | None, against: tuple[float, float, float] | None = None, **more: object) -> Trial:
    rates = {"learning_rate": 3e-3, "weight_decay": 1e-2}
    fields = {"method": "KD" if kind == "distilled" else "", "settings": rates, "epochs": 8, "seconds": 30.0, **more}
    interval = against and dict(zip(("value", "low", "high"), against, strict=True))
    return Trial.model_validate(
        {"kind": kind, "validation_accuracy": told, "against_control": interval or None, **fields}
    )


TRIALS = (
    trial("distilled", 0.887, (0.051, 0.033, 0.069), settings={"temperature": 1.0, "teacher_weight": 0.9}),
    trial("distilled", 0.871, (0.035, 0.016, 0.054), settings={"temperature": 4.0, "teacher_weight": 0.9}),
    trial("distilled", 0.839, (0.003, -0.016, 0.022), method="DIST", settings={"inter": 2.0, "intra": 2.0}),
    trial("distilled", None, method="FitNets hints", settings={"weight": 1.0}, why="nothing suggests itself as a map"),
    trial("control", 0.836),
    trial("control", 0.829, settings={"learning_rate": 1e-3, "weight_decay": 1e-2}),
)


def report(**changes: object) -> Report:
    """A build that fits: TFLite on this computer, within 20 ms and 64 KiB."""
    target = Target(name="tflite", format="tflite", budget=Budget(max_latency="20ms", max_size="64KiB"))
    fields = {
        "edgekd": "0.1.0",
        "created": "2026-11-21T23:40:00Z",
        "plan": plan((target,)),
        "status": "fits",
        "headline": "65× smaller, 38× faster, keeps 96.0 % of the teacher's accuracy; "
        "the teacher added 5.3 ± 1.1 points (3 seeds).",
        "binds": "File size binds: the next larger student takes 71.2 KiB of the 64 KiB allowed.",
        "rows": rows(),
        "gain": gain(),
        "trials": TRIALS,
        "candidates": candidates(),
        "predictors": (PREDICTOR,),
        "student": student(16),
        "chosen": "Smallest candidate whose validation accuracy is within noise of the best.",
        "notes": ("16 of 10,000 training images are exact copies of one another and stand in one part.",),
        "caveats": ("The teacher was trained on images of the same source.",),
        "seconds": 431.0,
        "steps_run": 57,
        "steps_cached": 3,
        "bundles": {"tflite": "runs/fashion-mnist/tflite"},
    }
    return Report.model_validate({**fields, **changes})


def _around(value: float, half: float = 0.01) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def _calibration(error: float, lean: float) -> Calibration:
    bins = tuple(Bin(count=40 * n**2, confidence=n / 15 - 0.03, accuracy=n / 15 - lean) for n in range(6, 16))
    return Calibration(error=_around(error), bins=bins, confidence=0.94, accuracy=0.94 - lean)


def contrasted() -> Contrasted:
    """Shirts are what the student lost; the sample where both part is a gray square."""
    counts = [(name, 500, 500 + 3 * i, 480 + 9 * i, 470 - 8 * i) for i, name in enumerate(CLASSES)]
    picture = showing.picture(np.tile(np.arange(28, dtype=np.uint8)[:, None, None] * 9, (1, 28, 1)))
    return Contrasted(
        part="test",
        samples=5000,
        same=_around(0.912),
        lost=281,
        won=96,
        classes=tuple(
            OfClass(name=name, labelled=a, teacher=b, student=c, both=d) for name, a, b, c, d in counts
        ),
        moved=(
            Moved(truth="shirt", taken_for="T-shirt", teacher=40, student=71),
            Moved(truth="coat", taken_for="pullover", teacher=30, student=22),
        ),
        teacher=_calibration(0.021, 0.05),
        student=_calibration(0.043, 0.09),
        parted=(
            Parted(number=17, truth="shirt", teacher="shirt", teacher_confidence=0.97, student="T-shirt",
                   student_confidence=0.61, picture=picture),
            Parted(number=4, truth="", teacher="bag", teacher_confidence=0.9, student="coat",
                   student_confidence=0.5, words=("7", "12", "3")),
        ),
        basis="measured",
    )  # fmt: skip


def endured() -> Endured:
    rows = [Withstood(corruption="", severity=0, teacher=_around(0.93), student=_around(0.89), control=_around(0.84))]
    for kind, lost in (("noise", 0.2), ("shift", 0.05)):
        for severity in (2, 4, 0):
            hurt = lost * (severity or 3) / 4
            rows.append(
                Withstood(
                    corruption=kind,
                    severity=severity,
                    teacher=_around(0.93 - hurt / 2),
                    student=_around(0.89 - hurt),
                    control=_around(0.84 - hurt),
                    behind=_around(hurt / 2),
                )
            )
    rows.append(rows[-1].model_copy(update={"corruption": "mean", "behind": _around(0.0475)}))
    return Endured(rows=tuple(rows), samples=256, corrupts="pixels", basis="measured")


def kept(**changes: object) -> Kept:
    """Everything that the report can tell of what a student kept."""
    seen = contrasted().parted[0].picture
    fields = {
        "contrasted": contrasted(),
        "resemblance": Resemblance(
            student=("stem", "blocks.0", "head"), teacher=("layer1", "layer2", "layer3", "fc"), samples=256,
            values=((0.91, 0.62, 0.4, 0.1), (0.5, 0.84, 0.7, 0.2), (0.1, 0.3, 0.5, 0.97)), part="validation",
        ),
        "explained": Explained(
            method="integrated gradients",
            of="image",
            samples=(
                Attributed(number=17, likeness=0.43, teacher_picture=seen, student_picture=seen),
                Attributed(number=4, likeness=-0.2, teacher=(0.5, -2.0, 0.0), student=(1.0, 0.5, 0.25)),
            ),
        ),
        "endured": endured(),
        "transfer": Appraised(
            samples=2000, coverage=0.91, expected=0.969, density=0.94, variety=6.2, variety_of_test=6.6, classes=9.8,
            temperature=4.0, entropy=0.41, peak=0.77,
        ),
    }  # fmt: skip
    return Kept.model_validate(fields | changes)


CONCERN = Concern(
    about="transfer data",
    message="they are unlike the test data: 31.0 % of the test samples have one nearby",
    fix="Add unlabelled samples from where the student will be used",
)


def missed() -> Report:
    """Nothing fits 20 µs; int8 of the teacher could not be made, and the teacher added nothing."""
    late = tuple(
        row.model_copy(update={"ships": False, "fits": False, "missed": ("p90 latency 53.4 µs is over 20 µs",)})
        if row.role in ("student", "control")
        else row
        for row in rows(teacher_int8=False)
    )
    target = Target(name="tflite", format="tflite", budget=Budget(max_latency="20us"))
    return report(
        plan=plan((target,)), status="missed", rows=late, gain=gain(-0.012, 0.005, 1), bundles={},
        headline="Nothing keeps the budget of tflite: p90 latency 53.4 µs is over 20 µs; the teacher added nothing.",
        binds="Latency binds: the fastest student found takes 53.4 µs; the smallest budget that can be met is 54 µs.",
    )  # fmt: skip


def everywhere() -> Report:
    """Two targets from one student: TFLite measured, Core ML converted only."""
    targets = (Target(name="tflite", format="tflite"), Target(name="coreml", format="coreml"))
    return report(plan=plan(targets), rows=(*rows(), *unmeasured()), bundles={"tflite": "a", "coreml": "b"})
