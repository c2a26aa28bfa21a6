"""What is wanted: budgets, targets, data, teachers, students and the plan that holds them all.

Values here are parsed once (from a recipe page, cards and flags), never change, and contain no live object: only names,
numbers and digests. A plug-in's own settings stay as written until the Check step validates them in a worker.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from edgekd import units

Seconds = Annotated[float, BeforeValidator(units.seconds)]
Count = Annotated[int, BeforeValidator(units.count)]
Bytes = Annotated[int, BeforeValidator(units.size)]
Share = Annotated[float, BeforeValidator(units.share)]
Settings = dict[str, JsonValue]

# int8 computes in 8 bits, with ranges found on the calibration part; int8-full has no float at all, inputs and outputs
# included; int8-dynamic finds ranges at run time; the others store weights in fewer bits and compute in float.
Precision = Literal[
    "float32",
    "float16",
    "bfloat16",
    "int8",
    "int8-full",
    "int8-dynamic",
    "int8-weights",
    "int4-weights",
    "palette4",
]
FLOATS: tuple[Precision, ...] = ("float32", "float16", "bfloat16")
CALIBRATED: tuple[Precision, ...] = ("int8", "int8-full")
# How the range of an activation is found from what it was over the calibration part.
Ranges = Literal["min-max", "percentile", "entropy"]
# What a file takes: prepared numbers, or what a camera (uint8 pixels) or a microphone (int16 samples) gives.
Input = Literal["float", "raw"]
Part = Literal["train", "calibration", "validation", "test"]
EffortName = Literal["quick", "standard", "thorough"]
# How much is measured before a number is told (timing/protocols.py); by itself a build takes what its budgets need.
Protocol = Literal["quick", "reportable", "soak"]
Bench = Literal["auto", "quick", "reportable", "soak"]
KEY = {"for": "store key"}


class Value(BaseModel):
    """A frozen value that refuses unknown keys. Fields in `not_in_key` do not count in store keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
    not_in_key: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        if info.context == KEY:
            return self.question(fields)
        return fields

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What of this value's dumped `fields` decides an answer, and so belongs into a store key."""
        return {name: value for name, value in fields.items() if name not in self.not_in_key}


class UserFile(Value):
    """A file or folder of the user's, pinned by content. Its path is in no store key: moving it costs nothing.

    `member` is the function that is meant in a file of code, so that naming another one asks another question.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset({"path"})
    path: str
    sha256: str
    member: str = ""


class Choice(Value):
    """A plug-in by name, its settings as written, and the user's own files that those settings name (by setting)."""

    name: str
    settings: Settings = {}
    files: dict[str, UserFile] = {}

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Settings that name files count by the files' digests alone."""
        return fields | {"settings": _without(fields["settings"], self.files)}


def _without(settings: dict[str, Any], files: dict[str, UserFile], start: str = "") -> dict[str, Any]:
    """Settings that name no file; those of nested plug-ins are in `files` as "members.0.weights", "heads.kind.make"."""
    kept = {}
    for key, value in settings.items():
        if isinstance(value, list):
            nested = enumerate(value)
            value = [_without(v, files, f"{start}{key}.{i}.") if isinstance(v, dict) else v for i, v in nested]
        elif isinstance(value, dict):
            each = value.items()
            value = {i: _without(v, files, f"{start}{key}.{i}.") if isinstance(v, dict) else v for i, v in each}
        if f"{start}{key}" not in files:
            kept[key] = value
    return kept


class Image(Value):
    """How a network wants images: square side in pixels, channel order, resize filter, (x / 255 - mean) / std."""

    size: int
    channels: Literal["gray", "rgb", "bgr"] = "rgb"
    filter: Literal["bilinear", "bicubic", "lanczos", "box"] = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Data(Value):
    """Where samples come from and how they are split.

    `labels` keeps that many labelled training samples (stratified); the rest become the unlabelled transfer set.
    `validation` and `calibration` are numbers of samples taken out of the training samples; without `test` samples of
    the source's own, `test_share` of everything is held out and each accuracy carries a caveat. `origin` and `licence`
    are what the data's card says of it; they go into the model card. Where `y` holds numbers to be told, not
    classes, `targets` are the names of its columns and `unit` is theirs.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset({"origin", "licence"})
    source: Choice
    labels: int | None = None
    validation: int = 1000
    calibration: int = 256
    test_share: float = 0.2
    metric: str = "accuracy"
    targets: tuple[str, ...] = ()
    unit: str = ""
    origin: str = ""
    licence: str = ""

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Of classes the question is the one that was asked before there were numbers to tell."""
        kept = super().question(fields)
        return {name: value for name, value in kept.items() if name not in ("targets", "unit") or value}


class Teacher(Value):
    """A teacher plug-in and the preprocessing that its network wants (None where inputs are not images)."""

    source: Choice
    image: Image | None = None
    trust: bool = False


class Architecture(Value):
    """One network before training: a student family and its settings; `family.files` holds initial weights if given."""

    family: Choice
    image: Image | None = None


class Student(Value):
    """The students to choose from: a family; fixed settings in `family.settings`, `search=False` for just that one.

    `also` are further families whose students are in the same search; `sized`: the recipe gives the image's size.
    """

    family: Choice
    image: Image | None = None
    search: bool = True
    also: tuple[Choice, ...] = ()
    sized: bool = False

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """With one family, and no size of its own, the question is the one that was asked before there were others."""
        return {name: value for name, value in fields.items() if name not in ("also", "sized") or value}


class Budget(Value):
    """Limits on what ships. Latency is p90 in seconds; sizes in bytes; accuracies and drops are shares of one.

    Where the metric is an error, `max_error` is in its unit, and drops are shares of the teacher's error.
    `max_fallback` is the largest share of a file's operators, and of their time where it is told, off the kernels that
    one wants (runtimes/placement.py says which these are). `max_arena` and `max_flash` are a microcontroller's: RAM for
    tensors, and the file, without the code that runs it.
    """

    max_latency: Seconds | None = None
    max_params: Count | None = None
    max_macs: Count | None = None
    max_size: Bytes | None = None
    max_memory: Bytes | None = None
    max_drop: Share | None = None
    min_accuracy: Share | None = None
    max_quantization_loss: Share | None = None
    max_fallback: Share | None = None
    max_error: float | None = None
    max_arena: Bytes | None = None
    max_flash: Bytes | None = None

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Without a limit on an error, an arena or flash the question is the one asked before there were any."""
        later = ("max_error", "max_arena", "max_flash")
        return {name: value for name, value in fields.items() if name not in later or value is not None}

    @property
    def memory(self) -> int | None:
        """The limit on what a model keeps in memory, which on a microcontroller is its arena."""
        return self.max_memory if self.max_arena is None else self.max_arena

    @property
    def size(self) -> int | None:
        """The tightest limit on the file."""
        return min((limit for limit in (self.max_size, self.max_flash) if limit is not None), default=None)


class Device(Value):
    """Where artifacts run: a device plug-in and, beyond this computer, an address (never part of a store key)."""

    not_in_key: ClassVar[frozenset[str]] = frozenset({"address"})
    name: str = "this-computer"
    reach: Choice = Choice(name="local")
    address: str = ""


class Target(Value):
    """One file format on one device within one budget; `name` is what the user wrote, e.g. tflite@raspberry-pi-5.

    With `input` "raw" the file takes what a camera or a microphone gives, and prepares it itself. `runtime` is the
    package that runs it, empty for the format's own.
    """

    name: str
    format: str
    precision: Literal["auto", Precision] = "auto"
    ranges: Ranges = "min-max"
    input: Input = "float"
    runtime: str = ""
    device: Device = Device()
    threads: int = 1
    budget: Budget = Budget()

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """With prepared input, and the format's own runtime, the question is the one asked before there were others."""
        usual = {"input": "float", "runtime": ""}
        return {name: value for name, value in fields.items() if name not in usual or value != usual[name]}


class Objective(Value):
    """One term of the loss: an objective plug-in and its weight; of several heads it is of `head` alone, or of all."""

    use: Choice
    weight: float = 1.0
    head: str = ""

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Without a head, what was asked before there were several."""
        return {name: value for name, value in fields.items() if name != "head" or value}


class Schedule(Value):
    """How long and how fast a student trains; equal for distilled student and control, but for the tuned rates.

    Without `batch` there are 16 to 128 samples in one: few samples in small batches, or there would be few steps.
    """

    epochs: int
    batch: int | None = None
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    warmup_share: float = 0.1
    ema_decay: float = 0.99


class Effort(Value):
    """What --effort buys: seeds, epochs of a trial and of a full run, cached views of an image, points of the grids.

    A grid point of `distill` is (temperature, teacher_weight); of `control` multiples of the schedule's learning
    rate and weight decay. `methods` are what races (policies/contenders.py), with the points of `distill` as plain
    distillation. `control` has as many points as there are contenders: the control is tuned over as many trials.
    """

    name: EffortName
    seeds: int
    trial_epochs: int
    epochs: int
    views: int
    candidates: int
    methods: tuple[str, ...] = ("kd",)
    distill: tuple[tuple[float, float], ...]
    control: tuple[tuple[float, float], ...]
    train_seconds: float


OFFLINE = Choice(name="offline")
# Of a plan, what was not there before and changes nothing where it is left out.
NAMED = ("pareto", "selective_accuracy", "objectives")


class Plan(Value):
    """Everything that a build needs to know, resolved and validated as far as can be without torch.

    With `augment` the training images are shifted a little and, with `mirror`, half of them mirrored: right for
    photographs, wrong where left and right mean something (digits, text, left and right hands). `page` is the recipe as
    the user named it, to be typed again, `said` what stood on the command line in its place; `cards` are the digests of
    the pages that the plan was read from. `objectives` are the recipe's own, in the place of a race of methods, and
    `scheme` is how networks are trained together. Without a student nothing is trained: the teacher itself is what
    ships. With `pareto` several students of the front ship. With a `selective_accuracy` the file that ships refuses the
    answers it is least sure of, so that so many of the others are right.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset({"page", "said", "cards", "bench"})
    name: str
    page: str = ""
    said: tuple[str, ...] = ()
    cards: dict[str, str] = {}
    data: Data
    teacher: Teacher
    student: Student | None
    targets: tuple[Target, ...]
    effort: Effort
    schedule: Schedule
    augment: bool = True
    mirror: bool = True
    teacher_share: float = 0.25
    max_time: Seconds | None = None
    bench: Bench = "auto"
    seed: int = 0
    accept_stand_in: bool = False
    skip_bad: bool = False
    pareto: bool = False
    selective_accuracy: float | None = None
    objectives: tuple[Objective, ...] = ()
    scheme: Choice = OFFLINE

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """How many students ship is no part of whether the plan can run; nor is what was not chosen by name."""
        kept = {name: value for name, value in super().question(fields).items() if name not in NAMED or value}
        return {name: value for name, value in kept.items() if name != "scheme" or self.scheme != OFFLINE}
