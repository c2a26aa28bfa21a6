"""What may be asked. A step is a question: a frozen value that names a stage and holds all that its answer depends on.

The store answers a step from what it knows, or has a worker run the stage of the same name. Steps hold results of
earlier steps (values with digests), so a change re-runs exactly what lies below it.
"""

from collections.abc import Generator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from edgekd.kept import Appraised, Contrasted, Endured, Explained, Resemblance
from edgekd.results import (
    Artifact,
    Calibrated,
    Checked,
    Checkpoint,
    Compared,
    Corrupted,
    Counted,
    DeviceFacts,
    Diffed,
    Estimated,
    File,
    GoldenSet,
    Located,
    Measured,
    Predictions,
    Profiled,
    Program,
    Rehearsed,
    Score,
    Series,
    SoftTargets,
    Splits,
    Trained,
    Tried,
    Work,
)
from edgekd.spec import (
    Architecture,
    Choice,
    Data,
    Device,
    Image,
    Objective,
    Part,
    Plan,
    Precision,
    Protocol,
    Ranges,
    Schedule,
    Settings,
    Student,
    Teacher,
    UserFile,
    Value,
)

PlugIn = tuple[str, str]
Result = TypeVar("Result", bound=Value)


def _teacher(teacher: Teacher) -> tuple[PlugIn, ...]:
    """The plug-ins behind a teacher: its kind, the student family that it names, and those that it is made of."""
    return _behind(teacher.source.name, teacher.source.settings)


def _behind(name: str, settings: Settings) -> tuple[PlugIn, ...]:
    found: list[PlugIn] = [("teachers", name)]
    if isinstance(settings.get("family"), str):
        found.append(("students", str(settings["family"])))
    heads = settings.get("heads")
    for member in (*_listed(settings, "members"), *(heads.values() if isinstance(heads, dict) else ())):
        if isinstance(member, dict) and isinstance(member.get("name"), str):
            found += _behind(str(member["name"]), member)
    return tuple(found)


def _listed(settings: Settings, key: str) -> list[Any]:
    found = settings.get(key)
    return found if isinstance(found, list) else []


def _family(family: Choice) -> tuple[PlugIn, ...]:
    """The plug-ins behind a student: its family, and the teacher's where it is made of that."""
    found: list[PlugIn] = [("students", family.name)]
    for member in _listed(family.settings, "teacher"):
        if isinstance(member, dict) and isinstance(member.get("name"), str):
            found += _behind(str(member["name"]), member)
    return tuple(found)


def _student(student: Student) -> tuple[PlugIn, ...]:
    """The plug-ins behind all families that students are chosen from."""
    return tuple(dict.fromkeys(plugin for family in (student.family, *student.also) for plugin in _family(family)))


class Step(Value, Generic[Result]):
    """Base of all steps.

    `stage` names the module in stages/, `answer` the type of its result; `cached` is False where the world may have
    changed; `warm` modules are imported once in a fork server that then hands out the workers; `cores` is how many
    processor cores a worker keeps busy, 0 for all of them; `exclusive` keeps everything else off the device meanwhile;
    after `seconds` a worker is ended; `usual` seconds are expected of a stage that does not tell its progress (others
    have 0), until it is known how long its like took.
    """

    stage: ClassVar[str]
    answer: ClassVar[type[Value]]
    cached: ClassVar[bool] = True
    cores: ClassVar[int] = 1
    exclusive: ClassVar[bool] = False
    seconds: ClassVar[float] = 3600.0
    usual: ClassVar[float] = 0.0

    def plugins(self) -> tuple[PlugIn, ...]:
        """(kind, name) of every plug-in whose VERSION and packages the answer depends on."""
        return ()

    def warm(self) -> tuple[str, ...]:
        """Modules that a fork server imports before it forks the worker; empty: a fresh process."""
        return ()

    def keep(self, answer: Result) -> bool:
        """Whether the store may give this answer again."""
        return self.cached


class Check(Step[Checked]):
    """Can this plan run? Settings of every plug-in, extras, files, classes, checksums, permissions, disk: all of it."""

    stage: ClassVar[str] = "check"
    answer: ClassVar[type[Value]] = Checked
    usual: ClassVar[float] = 4.0
    plan: Plan

    def plugins(self) -> tuple[PlugIn, ...]:
        plan = self.plan
        return (
            ("datasets", plan.data.source.name),
            *_teacher(plan.teacher),
            *(() if plan.student is None else _student(plan.student)),
            ("metrics", plan.data.metric),
            *(("objectives", objective.use.name) for objective in plan.objectives),
            *(("formats", target.format) for target in plan.targets),
            *(("devices", target.device.reach.name) for target in plan.targets),
        )

    def keep(self, answer: Checked) -> bool:
        return not answer.mistakes


class TryOut(Step[Tried]):
    """Does a teacher get the data's classes right, or would it with another mean, std, order of channels or classes?

    Some hundred labelled training samples are looked at, never the test samples: settings are chosen here.
    """

    stage: ClassVar[str] = "tryout"
    answer: ClassVar[type[Value]] = Tried
    cores: ClassVar[int] = 0
    data: Data
    teacher: Teacher
    seed: int = 0

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("datasets", self.data.source.name), *_teacher(self.teacher))


class Split(Step[Splits]):
    """Decode every sample once, find duplicates across parts, and write the disjoint parts of the split."""

    stage: ClassVar[str] = "split"
    answer: ClassVar[type[Value]] = Splits
    seconds: ClassVar[float] = 86400.0
    data: Data
    images: tuple[Image, ...]
    skip_bad: bool = False
    seed: int = 0

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("datasets", self.data.source.name),)


class Label(Step[SoftTargets]):
    """Run the teacher once over every view of the training images and once over the other parts.

    A student that was trained may teach too: an assistant between teacher and student, or a generation before.
    """

    stage: ClassVar[str] = "label"
    answer: ClassVar[type[Value]] = SoftTargets
    seconds: ClassVar[float] = 7 * 86400.0
    cores: ClassVar[int] = 0
    teacher: Teacher | Checkpoint
    splits: Splits
    views: int
    augment: bool = True
    mirror: bool = True
    seed: int = 0

    def plugins(self) -> tuple[PlugIn, ...]:
        if isinstance(self.teacher, Checkpoint):
            return _family(self.teacher.architecture.family)
        return _teacher(self.teacher)


class Count(Step[Counted]):
    """List the students of a family (if any) with exact parameters and multiply-accumulates, and the teacher's own."""

    stage: ClassVar[str] = "count"
    answer: ClassVar[type[Value]] = Counted
    student: Student | None
    teacher: Teacher | None
    splits: Splits

    def plugins(self) -> tuple[PlugIn, ...]:
        teacher = () if self.teacher is None else _teacher(self.teacher)
        student = () if self.student is None else _student(self.student)
        return (*student, *teacher)


class Train(Step[Trained]):
    """Train networks together under one scheme. Without soft targets only labelled samples are drawn (the control).

    `views`, `view_seed` and `mirror` say which augmented views a control sees: give those of Label, so that they are
    the distilled student's. With soft targets all three come from there. With `fake_quant` the networks, usually those
    of `init`, compute as their int8 files would, and are judged so too; the weights are plain ones all the same.
    A `teacher` runs beside the student, on the same views, for objectives that compare inner values (plugins.live).
    """

    stage: ClassVar[str] = "train"
    answer: ClassVar[type[Value]] = Trained
    seconds: ClassVar[float] = 7 * 86400.0
    networks: tuple[Architecture, ...]
    objectives: tuple[Objective, ...]
    splits: Splits
    schedule: Schedule
    soft_targets: SoftTargets | None = None
    scheme: Choice = Choice(name="offline")
    init: tuple[Checkpoint, ...] = ()
    views: int = 1
    augment: bool = True
    mirror: bool = True
    metric: str = "accuracy"
    seed: int = 0
    view_seed: int = 0
    fake_quant: bool = False
    teacher: Teacher | None = None

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Without fake quantization or a live teacher the question is the one asked before there were any."""
        return {name: value for name, value in fields.items() if name not in ("fake_quant", "teacher") or value}

    def plugins(self) -> tuple[PlugIn, ...]:
        return (
            *(plugin for network in self.networks for plugin in _family(network.family)),
            *(("objectives", objective.use.name) for objective in self.objectives),
            *(() if self.teacher is None else _teacher(self.teacher)),
            ("schemes", self.scheme.name),
            ("metrics", self.metric),
        )

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.train",)


class Export(Step[Program]):
    """Turn a checkpoint, an untrained network (initial weights from `seed`) or a teacher into a program."""

    stage: ClassVar[str] = "export"
    answer: ClassVar[type[Value]] = Program
    usual: ClassVar[float] = 4.0
    source: Checkpoint | Architecture | Teacher
    splits: Splits
    seed: int = 0

    def plugins(self) -> tuple[PlugIn, ...]:
        match self.source:
            case Checkpoint(architecture=architecture):
                return _family(architecture.family)
            case Architecture(family=family):
                return _family(family)
            case Teacher():
                return _teacher(self.source)

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.export",)


class Equalize(Step[Program]):
    """Scale channels between layers so that they use the same range; the program computes the same function."""

    stage: ClassVar[str] = "equalize"
    answer: ClassVar[type[Value]] = Program
    usual: ClassVar[float] = 4.0
    program: Program
    splits: Splits

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.equalize",)


class Raw(Step[Program]):
    """Make a program take what a camera or a microphone gives: what prepares it becomes the first part of its graph."""

    stage: ClassVar[str] = "raw"
    answer: ClassVar[type[Value]] = Program
    usual: ClassVar[float] = 4.0
    program: Program
    splits: Splits

    def plugins(self) -> tuple[PlugIn, ...]:
        foreign = self.program.file.name.endswith(".onnx")
        return (("formats", "onnx"), ("runtimes", "onnx")) if foreign else ()

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.raw",)


class Convert(Step[Artifact]):
    """Convert a program to a target's file format in one precision, calibrated on the calibration part.

    `base` is the float32 file of the same program, which a format may quantize instead of lowering the program again.
    `more` samples of the training part, of each class as many, calibrate too; the operators that give the tensors of
    the nodes `in_float` stay float. `route` is which of the format's ways to lower programs, empty for the first.
    `one`: the file is for one sample at a time, since what runs it takes no other.
    """

    stage: ClassVar[str] = "convert"
    answer: ClassVar[type[Value]] = Artifact
    usual: ClassVar[float] = 8.0
    seconds: ClassVar[float] = 1800.0
    program: Program
    format: str
    precision: Precision
    splits: Splits
    base: Artifact | None = None
    ranges: Ranges = "min-max"
    more: int = 0
    in_float: tuple[str, ...] = ()
    route: str = ""
    one: bool = False

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """By the first route, for any batch, the question is the one that was asked before there were others."""
        return {name: value for name, value in fields.items() if name not in ("route", "one") or value}

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("formats", self.format),)

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.convert", f"edgekd.formats.{self.format}")


class Probe(Step[DeviceFacts]):
    """Ask a device what it is."""

    stage: ClassVar[str] = "probe"
    answer: ClassVar[type[Value]] = DeviceFacts
    usual: ClassVar[float] = 2.0
    cached: ClassVar[bool] = False
    device: Device

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("devices", self.device.reach.name),)


# What of a file decides how fast its runtime runs it.
_GRAPH = ("graph", "format", "precision", "made_by", "route")


class Measure(Step[Measured]):
    """Time artifacts of one format on one device, interleaved, each session a fresh process without torch.

    `quick` prices candidates and chooses among files; `reportable` is what a budget is certified on (a minute and
    1,024 inferences of each in at least ten sessions), `soak` that and ten minutes of sustained load. Memory has a
    process of its own. `fingerprint` and `runtime` tie the answer to device and version; a higher `attempt` asks again
    where the answer before was unstable. With `by_graph` the question is about graphs:
    whatever their weights and samples, it is answered once for a device and a version of the runtime.
    """

    stage: ClassVar[str] = "measure"
    answer: ClassVar[type[Value]] = Measured
    exclusive: ClassVar[bool] = True
    seconds: ClassVar[float] = 4 * 3600.0
    artifacts: tuple[Artifact, ...]
    splits: Splits
    device: Device
    fingerprint: str
    runtime: str
    threads: int = 1
    protocol: Protocol = "quick"
    attempt: int = 0
    by_graph: bool = False

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A price is that of a graph as one converter wrote it; any other measurement is of the files themselves."""
        told = {name: value for name, value in fields.items() if name != "by_graph" or value}
        if not self.by_graph:
            return told
        graphs = [{name: getattr(file, name) for name in _GRAPH} for file in self.artifacts]
        return {name: value for name, value in told.items() if name != "splits"} | {"artifacts": graphs}

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("devices", self.device.reach.name), ("runtimes", self.artifacts[0].format))

    def keep(self, answer: Measured) -> bool:
        """What a hot device or other work spoiled is asked again the next time: a refused measurement, and the last
        word on what ships. A first, unstable one is kept, since the second is asked because of it."""
        found = answer.measurements
        shaky = any(m.latency is not None and not m.latency.stable for m in found)
        return not any(m.refused for m in found) and not (shaky and self.attempt > 0 and self.protocol != "quick")


class Foretell(Step[Estimated]):
    """What would students cost that were not measured? Laws fitted on those that were, with their own errors."""

    stage: ClassVar[str] = "foretell"
    answer: ClassVar[type[Value]] = Estimated
    usual: ClassVar[float] = 2.0
    measured: tuple[Work, ...]
    series: tuple[Series, ...]
    others: tuple[Work, ...] = ()

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.foretell",)


class Profile(Step[Profiled]):
    """On which kernels do a file's operators run, and how much of its time does each take?

    Without a `runtime`, or where it does not tell, the format says what documentation has of it. A watched run is
    slower than others, so this is apart from Measure and gives no latency.
    """

    stage: ClassVar[str] = "profile"
    answer: ClassVar[type[Value]] = Profiled
    exclusive: ClassVar[bool] = True
    usual: ClassVar[float] = 4.0
    seconds: ClassVar[float] = 900.0
    program: Program
    artifact: Artifact
    splits: Splits
    device: Device
    fingerprint: str
    runtime: str
    threads: int = 1

    def plugins(self) -> tuple[PlugIn, ...]:
        ran = (("devices", self.device.reach.name), ("runtimes", self.artifact.format)) if self.runtime else ()
        return (("formats", self.artifact.format), *ran)

    def warm(self) -> tuple[str, ...]:
        own = ("edgekd.stages.profile",)
        return own if self.runtime else (*own, f"edgekd.formats.{self.artifact.format}")


class Predict(Step[Predictions]):
    """Run an artifact over a whole part in its own runtime on the device."""

    stage: ClassVar[str] = "predict"
    answer: ClassVar[type[Value]] = Predictions
    usual: ClassVar[float] = 3.0
    seconds: ClassVar[float] = 7 * 86400.0
    artifact: Artifact
    splits: Splits
    part: Part
    device: Device
    fingerprint: str
    runtime: str

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("devices", self.device.reach.name), ("runtimes", self.artifact.format))


class Reference(Step[Predictions]):
    """Work out what an artifact computes over a whole part by its format's definitions, where no runtime can run it."""

    stage: ClassVar[str] = "reference"
    answer: ClassVar[type[Value]] = Predictions
    seconds: ClassVar[float] = 7 * 86400.0
    artifact: Artifact
    splits: Splits
    part: Part

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("formats", self.artifact.format),)

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.reference", f"edgekd.formats.{self.artifact.format}")


class Rehearse(Step[Rehearsed]):
    """Does a file load in its runtime, and give for the program's golden samples what torch gives?

    Without a `runtime` the file is evaluated by its format's definitions.
    """

    stage: ClassVar[str] = "rehearse"
    answer: ClassVar[type[Value]] = Rehearsed
    usual: ClassVar[float] = 2.0
    seconds: ClassVar[float] = 900.0
    artifact: Artifact
    device: Device
    fingerprint: str
    runtime: str

    def plugins(self) -> tuple[PlugIn, ...]:
        kind = "runtimes" if self.runtime else "formats"
        return (("devices", self.device.reach.name), (kind, self.artifact.format))

    def warm(self) -> tuple[str, ...]:
        return () if self.runtime else ("edgekd.stages.rehearse", f"edgekd.formats.{self.artifact.format}")


class Locate(Step[Located]):
    """At which operator does a file stop running? Parts of its program are converted and run the same way."""

    stage: ClassVar[str] = "locate"
    answer: ClassVar[type[Value]] = Located
    program: Program
    artifact: Artifact
    device: Device
    fingerprint: str
    runtime: str

    def plugins(self) -> tuple[PlugIn, ...]:
        format = self.artifact.format
        return (("devices", self.device.reach.name), ("formats", format), ("runtimes", format))


class Golden(Step[GoldenSet]):
    """Record what a bundle replays: golden tensors and golden encoded images with the artifact's own outputs."""

    stage: ClassVar[str] = "golden"
    answer: ClassVar[type[Value]] = GoldenSet
    usual: ClassVar[float] = 4.0
    artifact: Artifact
    splits: Splits
    device: Device
    fingerprint: str
    runtime: str

    def plugins(self) -> tuple[PlugIn, ...]:
        kind = "runtimes" if self.runtime else "formats"
        return (("devices", self.device.reach.name), (kind, self.artifact.format))


class Diff(Step[Diffed]):
    """Where does a file begin to compute something else than torch? Its layers beside the program's, on golden samples.

    `file` is the user's own file to look at in place of the artifact's, which it was once. Without a `runtime` the
    format's reference evaluator runs it.
    """

    stage: ClassVar[str] = "diff"
    answer: ClassVar[type[Value]] = Diffed
    usual: ClassVar[float] = 10.0
    program: Program
    artifact: Artifact
    device: Device
    fingerprint: str
    runtime: str
    file: UserFile | None = None

    def plugins(self) -> tuple[PlugIn, ...]:
        ran = (("devices", self.device.reach.name), ("runtimes", self.artifact.format)) if self.runtime else ()
        return (("formats", self.artifact.format), *ran)


class Evaluate(Step[Score]):
    """Judge predictions: the metric with its interval, drop and agreement against the teacher, parity with torch."""

    stage: ClassVar[str] = "evaluate"
    answer: ClassVar[type[Value]] = Score
    usual: ClassVar[float] = 2.0
    predictions: Predictions
    splits: Splits
    teacher: File | None = None
    reference: File | None = None
    precision: Precision = "float32"
    metric: str = "accuracy"

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("metrics", self.metric),)

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.evaluate",)


class Compare(Step[Compared]):
    """Did the teacher help? Distilled seeds against control seeds, paired by sample, on one part."""

    stage: ClassVar[str] = "compare"
    answer: ClassVar[type[Value]] = Compared
    usual: ClassVar[float] = 3.0
    distilled: tuple[Predictions, ...]
    control: tuple[Predictions, ...]
    splits: Splits
    metric: str = "accuracy"

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("metrics", self.metric),)

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.compare",)


class Calibrate(Step[Calibrated]):
    """How sure may a file say it is? A temperature, fitted on the validation part and judged on the test part.

    With `accuracy` also from which probability on so many of its answers are right.
    """

    stage: ClassVar[str] = "calibrate"
    answer: ClassVar[type[Value]] = Calibrated
    usual: ClassVar[float] = 2.0
    validation: Predictions
    test: Predictions
    splits: Splits
    accuracy: float | None = None

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.evaluate",)


class Contrast(Step[Contrasted]):
    """What did the student keep? Its predictions of one part beside the teacher's outputs."""

    stage: ClassVar[str] = "contrast"
    answer: ClassVar[type[Value]] = Contrasted
    usual: ClassVar[float] = 2.0
    student: Predictions
    teacher: File
    splits: Splits
    shown: int = 12

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.evaluate",)


class Resemble(Step[Resemblance]):
    """Which layers of a trained student see samples as which layers of the teacher do?"""

    stage: ClassVar[str] = "resemble"
    answer: ClassVar[type[Value]] = Resemblance
    usual: ClassVar[float] = 4.0
    student: Checkpoint
    teacher: Teacher
    splits: Splits
    part: Part = "validation"

    def plugins(self) -> tuple[PlugIn, ...]:
        return (*_family(self.student.architecture.family), *_teacher(self.teacher))

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.export",)


class Explain(Step[Explained]):
    """From which parts of some samples do a trained student and the teacher answer?"""

    stage: ClassVar[str] = "explain"
    answer: ClassVar[type[Value]] = Explained
    usual: ClassVar[float] = 6.0
    student: Checkpoint
    teacher: Teacher
    splits: Splits
    samples: tuple[int, ...]
    part: Part = "test"

    def plugins(self) -> tuple[PlugIn, ...]:
        return (*_family(self.student.architecture.family), *_teacher(self.teacher))

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.export",)


class Ask(Step[Predictions]):
    """What does a network itself answer over one part? Torch runs a trained student, and a teacher runs as it is."""

    stage: ClassVar[str] = "ask"
    answer: ClassVar[type[Value]] = Predictions
    seconds: ClassVar[float] = 7 * 86400.0
    cores: ClassVar[int] = 0
    source: Checkpoint | Teacher
    splits: Splits
    part: Part = "test"

    def plugins(self) -> tuple[PlugIn, ...]:
        return _teacher(self.source) if isinstance(self.source, Teacher) else _family(self.source.architecture.family)

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.export",)


class Corrupt(Step[Corrupted]):
    """Make corrupted copies of so many test samples, at these severities from 1 to 5, by one `among` the plug-ins."""

    stage: ClassVar[str] = "corrupt"
    answer: ClassVar[type[Value]] = Corrupted
    usual: ClassVar[float] = 2.0
    splits: Splits
    among: tuple[str, ...]
    samples: int
    severities: tuple[int, ...]
    seed: int = 0

    def plugins(self) -> tuple[PlugIn, ...]:
        return tuple(("corruptions", name) for name in self.among)


class Endure(Step[Endured]):
    """How do teacher, control and student fare on corrupted copies, and who loses more? Paired by sample."""

    stage: ClassVar[str] = "endure"
    answer: ClassVar[type[Value]] = Endured
    usual: ClassVar[float] = 2.0
    corrupted: Corrupted
    teacher: Predictions
    student: Predictions
    control: Predictions | None = None
    metric: str = "accuracy"

    def plugins(self) -> tuple[PlugIn, ...]:
        return (("metrics", self.metric), ("corruptions", self.corrupted.by))

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.evaluate",)


class Appraise(Step[Appraised]):
    """How good is what the student learns from? Coverage of the test part, variety, softness at one temperature."""

    stage: ClassVar[str] = "appraise"
    answer: ClassVar[type[Value]] = Appraised
    usual: ClassVar[float] = 2.0
    soft_targets: SoftTargets
    temperature: float
    seed: int = 0

    def warm(self) -> tuple[str, ...]:
        return ("edgekd.stages.evaluate",)


class Each(tuple[Step[Any], ...]):
    """Steps of which some may fail: where one does, its error is sent to the policy in place of its answer."""


T = TypeVar("T")
Policy = Generator[Sequence[Step[Any]], Any, T]
