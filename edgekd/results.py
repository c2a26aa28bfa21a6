"""What is so: the results of steps. Each holds digests of files in the store, never live objects."""

from typing import Any, ClassVar, Literal

from edgekd.conditions import Conditions, Energy, Noise, Soak
from edgekd.conditions import Interval as Interval
from edgekd.errors import Problem
from edgekd.gauge import ACCURACY, Gauge
from edgekd.kept import Concern, Kept
from edgekd.spec import Architecture, Image, Objective, Part, Plan, Precision, Protocol, Settings, Value

# What one step of 16-bit audio is to a network, which sees -1 to 1.
AUDIO_SCALE = 2.0**-15

Kind = Literal["dense", "pointwise", "depthwise"]
Basis = Literal["measured", "stand-in", "reference", "emulated", "not measured"]


class File(Value):
    """A file or folder in the store: the key of its entry, its name there, its sha256 and its size in bytes."""

    entry: str
    name: str
    sha256: str
    size: int


class Preprocess(Value):
    """How an encoded image becomes a network's input, in this order and by one implementation (runtimes/preprocess.py).

    decode, apply EXIF orientation, drop alpha on white, convert to `channels`; resize the shorter side to `canvas` and
    cut the central canvas x canvas (this is what data sets store); resize to `size`; (x / 255 - mean) / std; layout.
    """

    canvas: int
    size: int
    channels: Literal["gray", "rgb", "bgr"]
    filter: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Literal["NCHW", "NHWC"] = "NCHW"


class LogMel(Value):
    """How sound became an input of (steps, mels), by one implementation (runtimes/logmel.py).

    Mono, `rate` samples a second, 16 bits / 32768; frames of `window` samples, one every `hop`, under a Hann window;
    squares of the FFT of `fft` points; `mels` triangles from `low` to `high` Hz, equally wide in
    2595 log10(1 + Hz / 700); log(power + `floor`).
    """

    kind: Literal["log-mel"] = "log-mel"
    rate: int
    samples: int
    window: int
    hop: int
    fft: int
    mels: int
    low: float
    high: float
    floor: float


class Tokens(Value):
    """How text became an input of ids: by the tokenizer whose `file` (its sha256 beside) lies in a bundle's golden/.

    A text is cut or filled up to `length` ids; the input `mask` is 1 where one stands. There are `vocabulary` ids, and
    `padding` fills up. `name` is the tokenizer's own kind, such as WordPiece.
    """

    kind: Literal["tokens"] = "tokens"
    name: str
    file: str
    sha256: str
    length: int
    vocabulary: int
    padding: int
    mask: str


FrontEnd = LogMel | Tokens


class TensorSpec(Value):
    """One named input or output. shape[0] is the batch, -1 where any size runs; scale and zero_point: int8 I/O.

    `preprocess` is what has to be done to a sample before; what the graph itself does to raw pixels is `inside`. What
    made stored numbers of something else, such as sound or text, is `front_end`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float | None = None
    zero_point: int | None = None
    preprocess: Preprocess | None = None
    inside: Preprocess | None = None
    front_end: FrontEnd | None = None

    @property
    def is_raw(self) -> bool:
        """Whether it takes what a camera or a microphone gives, and the graph does the rest."""
        return self.inside is not None or (self.scale == AUDIO_SCALE and self.dtype in ("int16", "int32"))

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Of an input that is not raw and has no front end, what was asked before there were any that do."""
        return {name: value for name, value in fields.items() if name not in ("inside", "front_end") or value}


class Column(Value):
    """One number that a network tells: its name and unit, its mean and deviation over the labelled training samples."""

    name: str
    unit: str = ""
    mean: float
    deviation: float


class Head(Value):
    """One of several things that a network tells of a sample: one of `classes`; its columns begin at `start`."""

    name: str
    start: int
    classes: tuple[str, ...]

    @property
    def columns(self) -> slice:
        """The columns of the output that are this head's."""
        return slice(self.start, self.start + len(self.classes))


class Confidence(Value):
    """How sure a file may say it is: softmax(outputs / `temperature`), which was fitted on the validation part.

    `head` names whose columns these are (empty: all). `error` is the expected calibration error on the test part and
    `error_before` that without a temperature. Answers whose highest probability is below the `threshold` are refused
    (None: none is); of the test part `coverage` was accepted, and `accuracy` of that was right.
    """

    head: str = ""
    temperature: float
    threshold: float | None = None
    coverage: float | None = None
    accuracy: "Interval | None" = None
    error: "Interval"
    error_before: "Interval"
    samples: int


class Signature(Value):
    """Inputs, outputs and classes of a network; outputs[0] is the one that the metric judges.

    Where it tells numbers instead of sorting into classes, `columns` are what the output's columns hold. One that sorts
    in several ways at once has `heads`; `classes` are those of all heads then, each with its head's name before it.
    A file that ships says how sure it may be: `confidence` has one entry a head, or none where that is not known.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    classes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    heads: tuple[Head, ...] = ()
    confidence: tuple[Confidence, ...] = ()

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Of classes of one kind, what was asked before there were numbers to tell, heads, and confidence."""
        later = ("columns", "heads", "confidence")
        return {name: value for name, value in fields.items() if name not in later or value}


class Mistake(Value):
    """A Problem as a value, so that it can be stored and sent."""

    where: str
    message: str
    hint: str = ""

    def problem(self) -> Problem:
        return Problem(self.where, self.message, self.hint)


class Checked(Value):
    """The answer of Check: every mistake found (none: the plan can run), and warnings that do not stop it."""

    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[str, ...] = ()


class Attempt(Value):
    """How good a teacher was on the first `samples` samples of a trial with images prepared in one way.

    `reordered` is its accuracy once its classes are put into the order that its own answers suggest, found on one half
    of the samples and judged on the other; None where there are too few samples for that.
    """

    name: str
    image: Image | None
    samples: int
    accuracy: "Interval"
    reordered: "Interval | None" = None


class Finding(Value):
    """Something about a teacher and its data that is not as it was thought to be, in words, and what to do about it.

    `settled` where a recipe with the image and the order of classes of the same Tried has it right.
    """

    about: Literal["mean and std", "channels", "size", "classes", "accuracy", "outputs"]
    message: str
    fix: str = ""
    settled: bool = False


class Tried(Value):
    """The answer of TryOut: each attempt, the asked one first, the image to write, and what was found.

    `chosen` is the attempt to go on with, None where the teacher could not be judged; `order` names the classes in the
    order of the teacher's outputs, empty where that is the data's own; `samples` labelled training samples were used.
    """

    samples: int
    classes: tuple[str, ...]
    image: Image | None = None
    attempts: tuple[Attempt, ...] = ()
    chosen: int | None = None
    order: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


class PartFiles(Value):
    """One part of the split: an .npy per named input (sample first), labels as int64 (-1: unlabelled), and a digest.

    Images are stored as (N, canvas, canvas, channels) uint8, in the widest channel order that a network wants. `rows`
    (int64) are the samples' numbers in the source: in its test samples for a test part of its own, else in its others.
    `groups` (int64) tells samples of one person, machine or recording from those of others, where the data says so.
    `targets` (float64, (N, columns)) are numbers to be told, NaN where there are none; `labels` then only say to which
    tenth of all values a sample belongs. `heads` (int64, (N, heads), -1: unlabelled) are the labels of several heads;
    `labels` are then columns of the output: that of the first head which has a label.
    """

    inputs: dict[str, File]
    labels: File
    count: int
    labelled: int
    digest: str
    rows: File | None = None
    groups: File | None = None
    targets: File | None = None
    heads: File | None = None

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Without groups, numbers to tell and heads, what was asked before there were any."""
        later = ("groups", "targets", "heads")
        return {name: value for name, value in fields.items() if name not in later or value is not None}


class Splits(Value):
    """Samples decoded once and split once. `canvas` and `channels` are None where inputs are not images.

    `read` is how many samples the source gave, training and test, before any was left out. `front_ends` says what made
    inputs, by name, and `attached` are the files for bundles that belong to it. `columns` are the numbers that a
    network has to tell; there are no classes then. `heads` are there where a sample has several labels, and `classes`
    are those of all of them.
    """

    parts: dict[Part, PartFiles]
    classes: tuple[str, ...]
    canvas: int | None = None
    channels: Literal["gray", "rgb"] | None = None
    skipped: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    read: int | None = None
    front_ends: dict[str, FrontEnd] = {}
    attached: dict[str, File] = {}
    columns: tuple[Column, ...] = ()
    heads: tuple[Head, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for a sample: one for each class, or for each column that it tells."""
        return len(self.columns) or len(self.classes)

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Without front ends, numbers to tell and heads, what was asked before there were any."""
        later = ("front_ends", "attached", "columns", "heads")
        return {name: value for name, value in fields.items() if name not in later or value}


class SoftTargets(Value):
    """Teacher outputs: float16 (views, N, classes) for training images, float32 for the other parts and for numbers.

    View 0 is the plain image; views 1.. are the augmentations that (seed, sample, view) and `mirror` determine.
    `mirror_loss` is how much more often the teacher changes its mind about an image that is mirrored than about one
    that is only shifted; `seconds_per_view` is what one pass of it over the training images took; `shares` say how much
    each member of an ensemble counts, where that was learned.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset({"mirror_loss", "seconds_per_view", "shares"})
    train: File
    parts: dict[Part, File]
    views: int
    seed: int
    mirror: bool = True
    mirror_loss: float | None = None
    seconds_per_view: float
    shares: tuple[float, ...] = ()


class Size(Value):
    """Exact parameters and multiply-accumulates (of one sample) of a network."""

    params: int
    macs: int


class Product(Value):
    """One convolution or product of matrices: at each of `places`, `outputs` channels, each of `inputs` channels times
    `taps` of a kernel (of its own channel alone, where it is depthwise); `read` places are read."""

    kind: Kind
    inputs: int
    outputs: int
    taps: int
    places: int
    read: int


class Work(Value):
    """What a network does for one sample, as far as that can be told before it is trained: what its cost is fitted on.

    Multiply-accumulates by kind (`dense`: of kernels over several pixels; `pointwise`: of 1 x 1 kernels, linear layers
    and other products of matrices; `depthwise`: of grouped kernels), bytes that its operators read and write in float32
    (`moved`), the most that one of them holds (`peak`), how many operators of each kind there are, parameters, the
    samples' side in pixels (0 where there is none), and its products one by one.
    """

    dense: int
    pointwise: int = 0
    depthwise: int = 0
    moved: int = 0
    peak: int = 0
    operators: dict[str, int] = {}
    params: int
    resolution: int = 0
    products: tuple[Product, ...] = ()


class Option(Value):
    """One student that a family offers, its exact size, and what it does (None where that was not looked at)."""

    architecture: Architecture
    size: Size
    work: Work | None = None


class Counted(Value):
    """All students of a family, smallest MACs first, and the teacher's size (None where it is not a torch network)."""

    options: tuple[Option, ...]
    teacher: Size | None = None
    no_teacher: str = ""


class Checkpoint(Value):
    """Trained (or initial) weights of one network as safetensors, with what it took and what validation said.

    `validation_accuracy` and `history` of a training under fake quantization are of the network as int8 computes it.
    `validation_outputs` are what it said of every sample of that part; `teacher_seconds` are those of `seconds` that a
    teacher beside the student took. `validation_accuracy` is the metric's value, whatever the metric;
    `validation_spread` is its standard error, where it is no mean over samples.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset(
        {"seconds", "teacher_seconds", "history", "validation_outputs", "validation_spread"}
    )
    architecture: Architecture
    weights: File
    validation_accuracy: float
    validation_spread: float | None = None
    history: File | None = None
    validation_outputs: File | None = None
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    teacher_seconds: float = 0.0
    seed: int = 0


class Trained(Value):
    """One checkpoint for each network that was trained together."""

    checkpoints: tuple[Checkpoint, ...]


class Program(Value):
    """The waist of the hourglass: an exported network (.pt2), its signature, golden vectors and torch's own outputs.

    `golden` is an .npz of the first 8 validation samples: as stored ("raw:<name>"), prepared ("input:<name>") and
    torch's outputs ("output:<name>"); `reference` is float32 (N, classes), torch's first output over the whole
    validation part. `digest` is of the graph without its weights. What an ONNX file of the user's own computes is a
    program too: then `file` is that file under our names, and its `size` is not known.
    """

    file: File
    signature: Signature
    golden: File
    reference: File
    size: Size | None
    digest: str
    trained: bool


class Artifact(Value):
    """A file that a device's own runtime runs; `made_by` names the converter, `notes` is what a user must know.

    `layers` is a JSON object: for each tensor of the file that holds the value of a node of the program, its name there
    and the node's. `route` is which of its format's ways to lower programs it came by, empty for the first.
    """

    file: File
    format: str
    precision: Precision
    signature: Signature
    golden: File
    size: int
    graph: str
    made_by: str
    notes: tuple[str, ...] = ()
    layers: File | None = None
    route: str = ""

    def question(self, fields: dict[str, Any]) -> dict[str, Any]:
        """By the first route a file is what it was before there were others."""
        return {name: value for name, value in fields.items() if name != "route" or value}


class DeviceFacts(Value):
    """What a device says of itself; None where it has no such sensor. `fingerprint` identifies it in store keys.

    `runtimes` are the versions of those that can run there; `missing` says of each other one why it cannot. `emulated`
    says how one knows that it is no real device: nothing is timed or weighed there. `untimed` says why seconds mean
    nothing although what is computed and kept there is the device's: then memory is the arena.
    """

    name: str
    fingerprint: str
    model: str
    system: str
    processor: str
    cores: int
    memory: int
    python: str
    runtimes: dict[str, str]
    missing: dict[str, str] = {}
    governor: str | None = None
    temperature: float | None = None
    emulated: str = ""
    untimed: str = ""


class Latency(Value):
    """Warm latencies in seconds, one inner tuple a session (a fresh process), and what surrounds them.

    `p90_high` is the upper 95 % bound of the p90; `intervals` are two-sided 95 % ones of quiet, p50, p90 and p99; both
    resample sessions, then runs. `sessions` may be a part of all `inferences`, evenly spaced, which took `seconds`.
    `noise` is what the file differs from itself: no smaller difference to another is one.
    """

    sessions: tuple[tuple[float, ...], ...]
    warmup_runs: int
    threads: int
    load: float
    first: float
    p50: float
    p90: float
    p90_high: float
    p99: float
    quiet: float
    intervals: dict[str, Interval] = {}
    protocol: Protocol = "quick"
    inferences: int = 0
    seconds: float = 0.0
    noise: Noise | None = None
    soak: Soak | None = None
    stable: bool
    why: str = ""

    @property
    def bound(self) -> float:
        """What a budget is held against: the upper bound of the p90, after minutes of load where those were timed."""
        return self.p90_high * max(1.0, self.soak.slowdown.high if self.soak else 1.0)

    @property
    def floor(self) -> float:
        """The share by which two files must differ in their quiet latency before one is faster; 0 where unknown."""
        return self.noise.quiet.margin if self.noise else 0.0


class Measurement(Value):
    """What one artifact costs on one device. `memory` is peak resident bytes over the empty runtime's.

    `arena` are the bytes that the runtime itself says it keeps for tensors (None: `arena_why`). `refused`: the device
    held itself back in every session, so nothing counts, and another time may tell.
    """

    basis: Basis
    device: DeviceFacts | None = None
    latency: Latency | None = None
    memory: int | None = None
    arena: int | None = None
    arena_why: str = ""
    energy: Energy | None = None
    conditions: Conditions | None = None
    why: str = ""
    refused: bool = False


class Measured(Value):
    """Measurements in the order of the artifacts; all were timed interleaved in one step."""

    measurements: tuple[Measurement, ...]


class Placement(Value):
    """One operator of a file: where its runtime runs it, in the words of runtimes/placement.py.

    `name` is the runtime's own, `layer` what it computes in the names of the user's network (empty: not known);
    `kernel` is what the runtime calls its kernel (empty: it does not say). `why` is the reason of a fallback, or what
    to know of an operator that is where one wants it. A `conversion` changes precision or layout and nothing else.
    `seconds` are those of one run while the runtime watches, which slows it (None: nothing tells them).
    """

    name: str
    kind: str
    layer: str = ""
    kernel: str = ""
    wanted: bool
    why: str = ""
    conversion: bool = False
    seconds: float | None = None


class Profiled(Value):
    """Where the operators of a file run: those that count, in the order in which they run.

    `fallback` is the share of operators that are not where one wants them, `fallback_time` their share of the time;
    `partitions` is how many parts a delegate took (None: the runtime has none). `why` says why nothing is known, or on
    what word; `untimed` why there are no seconds.
    """

    basis: Basis
    device: DeviceFacts | None = None
    placements: tuple[Placement, ...] = ()
    fallback: float | None = None
    fallback_time: float | None = None
    partitions: int | None = None
    why: str = ""
    untimed: str = ""


class Predictions(Value):
    """First output of an artifact over one part, (N, classes) float32, as its runtime computed it."""

    outputs: File
    part: Part
    basis: Basis
    why: str = ""


class Corrupted(Value):
    """Corrupted copies of test samples as one part, corruption by corruption, each of the same samples in one order.

    `kinds` are (corruption, severity) in the order of the part, the first of them the samples as they are ("", 0);
    `by` is the plug-in that made them.
    """

    part: PartFiles
    kinds: tuple[tuple[str, int], ...]
    samples: int
    by: str


class GoldenSet(Value):
    """What a bundle replays: `folder` holds golden.npz, golden.json and, where inputs are images, encoded images.

    `tolerance` is the largest absolute difference of an output that another build of the same runtime may show.
    """

    folder: File
    tolerance: float


class Layer(Value):
    """One layer as a file computes it beside torch: a node of the program whose value a tensor of the file holds.

    `name` says in the names of the user's own network what is in it: "conv1 + norm1", where the file has one tensor for
    both; `inside` are all those nodes, this one last. `module` is the path of the module that the node stands in
    (empty: the network's own forward), `kind` its class; `operator` is what torch does there, `tensor` its name in the
    file, `shape` that of one sample. `snr` is the signal-to-quantization-noise ratio in dB (infinite where both are
    equal), `lost` how much of it is lost against the worst of the layers that it follows; `difference` the largest
    absolute one, `scale` torch's largest absolute value.

    `clipped` is the share of values that torch has beyond the largest or smallest that the file's tensor can hold;
    `outliers` torch's largest absolute value over the quantile that 99.9 % of them keep; `channels` the widest range of
    a channel's weights over the median one; `not_finite` the share of values that only the file has as none.
    """

    node: str
    name: str
    inside: tuple[str, ...] = ()
    module: str
    kind: str
    operator: str
    tensor: str
    shape: tuple[int, ...]
    snr: float
    lost: float
    difference: float
    scale: float
    clipped: float = 0.0
    outliers: float = 1.0
    channels: float | None = None
    not_finite: float = 0.0


class Hidden(Value):
    """A layer of the program that no tensor of the file shows, and why."""

    node: str
    name: str
    module: str
    kind: str
    operator: str
    why: str


class Diffed(Value):
    """The answer of Diff: every layer that can be seen, in the order of the program, and what to make of it.

    `first` is the node of the first divergent layer (None: none diverges), below `threshold` dB or where most was lost
    on the way there; `worst` are the nodes of the layers that lost most. `values` holds up to some hundred values of
    each layer, as an .npz of "torch:<node>" and "file:<node>". `altered`: the file is not the one that was converted.
    """

    layers: tuple[Layer, ...]
    first: str | None
    worst: tuple[str, ...]
    hidden: tuple[Hidden, ...]
    cause: str
    advice: str
    basis: Basis
    why: str = ""
    samples: int
    threshold: float
    altered: bool = False
    values: File | None = None


class Parity(Value):
    """How far a runtime's outputs are from torch's: top-1 agreement without near-ties, those ties, relative error.

    Numbers that a network tells have no agreement, and their error is relative to how much they vary.
    """

    agreement: float | None
    near_ties: int
    relative_error: float
    constant: bool
    passed: bool
    why: str = ""


class Rehearsed(Value):
    """What became of a file that was run on the program's golden samples; `fault` is empty where all is well.

    `relative_error` is ||y - torch's|| / ||torch's||, None where there were no outputs.
    """

    basis: Basis
    relative_error: float | None = None
    fault: str = ""

    @property
    def stopped(self) -> bool:
        """Whether the file does not run at all, where it should."""
        return self.basis != "not measured" and self.relative_error is None


class Located(Value):
    """The operator with which a file stops running, where it is in the user's network, and what to use in its place.

    Both are empty where every part of the network runs.
    """

    operator: str = ""
    advice: str = ""


class HeadScore(Value):
    """Quality of one head of several: the metric over the samples that have a label of it, and against the teacher."""

    name: str
    accuracy: Interval
    count: int
    drop: Interval | None = None
    agreement: float | None = None


class Score(Value):
    """Quality of predictions on one part: the metric, and against the teacher's predictions where they are known.

    `accuracy` is the metric's value in the unit of its `gauge`, `drop` by how much it is worse than the teacher's. Of
    several `heads` it is each sample's mean over those that it has a label of.
    """

    part: Part
    metric: str
    gauge: Gauge = ACCURACY
    accuracy: Interval
    count: int
    drop: Interval | None = None
    agreement: float | None = None
    per_class: tuple[float, ...] = ()
    heads: tuple[HeadScore, ...] = ()
    parity: Parity | None = None
    basis: Basis = "measured"

    @property
    def lost(self) -> float | None:
        """What budgets hold a drop to: the difference itself, of an error the share of the teacher's."""
        if self.drop is None:
            return None
        theirs = self.accuracy.value + (-1 if self.gauge.lower else 1) * self.drop.value
        return self.gauge.lost(self.accuracy.value, theirs) if self.gauge.lower else self.drop.value


class Gain(Value):
    """By how much the distilled student is better than its control; the bootstrap is over seeds and samples.

    `heads` is the same of each head alone, by name, where there are several.
    """

    difference: Interval
    distilled: tuple[float, ...]
    control: tuple[float, ...]
    seeds: int
    heads: dict[str, Interval] = {}


class Compared(Value):
    """The answer of Compare."""

    gain: Gain


class Calibrated(Value):
    """The answer of Calibrate: one entry a head, or `why` there is none."""

    confidence: tuple[Confidence, ...] = ()
    why: str = ""


class Trial(Value):
    """A short training of the race, judged on the validation part.

    `against_control` is by how much it is better than the best control after as many epochs, paired by sample; `why` is
    why it could not be trained.
    """

    kind: Literal["distilled", "control"]
    method: str = ""
    settings: Settings
    epochs: int
    validation_accuracy: float | None
    against_control: Interval | None = None
    seconds: float
    steps: int = 0
    why: str = ""


class Lesson(Value):
    """Whole trainings on a scheme's way to the student: an assistant, a generation or a peer, one of each seed.

    `validation` is each one's accuracy there, `seconds` the sum, `steps` those of one; `ships` is what was taken.
    """

    what: Literal["assistant", "generation", "peer"]
    params: int | None = None
    validation: tuple[float, ...]
    seconds: float
    steps: int
    ships: bool = False


class Terms(Value):
    """On what terms distilled student and control were compared: optimizer steps, trials, and the chosen settings.

    `trial_steps_...` are the steps of all trials of a side; `live` says that the teacher ran beside the student, for
    `teacher_seconds` over all seeds.
    """

    steps_distilled: int
    steps_control: int
    trials_distilled: int
    trials_control: int
    trial_steps_distilled: int
    trial_steps_control: int
    method: str
    settings: Settings
    objectives: tuple[Objective, ...]
    live: bool = False
    teacher_seconds: float = 0.0
    learning_rate: float
    weight_decay: float
    control_learning_rate: float
    control_weight_decay: float


class Series(Value):
    """One cost of several networks: seconds of quiet latency, bytes of memory, or bytes of a file."""

    target: str
    precision: Precision
    cost: Literal["latency", "memory", "size"]
    values: tuple[float, ...]


class Estimate(Value):
    """What one cost of other networks is expected to be.

    `values` in the units of the series, `spread` the standard deviation of its logarithm; `errors` are those of the
    measured networks, each predicted from the others: value / prediction - 1.
    """

    values: tuple[float, ...]
    spread: tuple[float, ...]
    errors: tuple[float, ...]


class Estimated(Value):
    """The answer of Foretell: an estimate for each series."""

    estimates: tuple[Estimate, ...]


class Predictor(Value):
    """How well one cost of unmeasured students was predicted: errors on measured ones, each left out in turn.

    `mean_error` and `worst_error` are shares, `within` the share of students predicted within 10 %.
    """

    target: str
    precision: Precision
    cost: Literal["latency", "memory", "size"]
    students: int
    mean_error: float
    worst_error: float
    within: float


class Cost(Value):
    """What one file of an untrained student costs: seconds by the quick protocol (None: not timed), bytes.

    `unstable`: its latency was timed twice and settled neither time.
    """

    target: str
    precision: Precision
    size: int
    quiet: float | None = None
    p90: float | None = None
    p90_high: float | None = None
    memory: int | None = None
    unstable: bool = False


class Candidate(Value):
    """An untrained student that was priced: exact size, p90 in seconds by the quick protocol, whether it fits.

    `costs` are those of every file that was priced; `latency`, `file_size` and `memory` of the one that breaks the
    fewest limits, latency as the upper bound of its p90. It was trained for `epochs` when its validation accuracy was
    noted; `fault` says why it has no file or price, empty where it has. On the `front` are those that no other beats in
    accuracy, latency, size and memory at once.
    """

    architecture: Architecture
    size: Size
    work: Work | None = None
    costs: tuple[Cost, ...] = ()
    epochs: int = 0
    latency: dict[str, float] = {}
    file_size: dict[str, int] = {}
    memory: dict[str, int] = {}
    fits: bool = True
    why: str = ""
    validation_accuracy: float | None = None
    validation_spread: float | None = None
    front: bool = False
    fault: str = ""


Role = Literal["teacher", "teacher-int8", "control", "student", "model"]


class Row(Value):
    """One line of the table: who, on which target, in which precision, how good, how fast, and whether it fits."""

    role: Role
    target: str
    precision: Precision
    size: Size | None = None
    artifact: Artifact | None = None
    measurement: Measurement
    score: Score | None = None
    fits: bool | None = None
    missed: tuple[str, ...] = ()
    ships: bool = False
    notes: tuple[str, ...] = ()
    placement: Profiled | None = None


class Rung(Value):
    """One attempt to win back what a quantized file lost: what was changed, what it loses then, why that is not enough.

    `loss` is of accuracy against the same network's float32 file on the validation part, `drop` against the teacher;
    `latency` a p90 in seconds where it was timed. `entries` are the store's answers behind it, which took `seconds`.
    """

    target: str
    precision: Precision
    name: str
    loss: float | None = None
    drop: Interval | None = None
    latency: float | None = None
    size: int | None = None
    kept: bool = False
    why: str = ""
    entries: tuple[str, ...] = ()
    seconds: float = 0.0


class Replayed(Value):
    """Whether a file computes on a device what was recorded when its bundle was made, and how well it does there.

    `difference` is the largest of the golden outputs, of which `tolerance` is allowed. Over `samples` of the test part:
    `accuracy`, that of the run's own runtime on the same ones (`before`), and how often both name the same class
    (`agreement`); where there are no classes the largest difference. `why` says why there are no samples.
    """

    difference: float
    tolerance: float
    samples: int = 0
    accuracy: Interval | None = None
    before: float | None = None
    agreement: float | None = None
    test_difference: float | None = None
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether the golden outputs are those that were recorded."""
        return self.difference <= self.tolerance


class Elsewhere(Value):
    """What a bundle's file did on another device after its build, at `created`.

    With an `app` an application's self-test found it there, by the `accelerator`; `failed` are its checks that were
    wrong, `unseen` those that could not be made there.
    """

    target: str
    measurement: Measurement
    replayed: Replayed | None = None
    created: str
    app: str = ""
    accelerator: str = ""
    failed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class StepRecord(Value):
    """What the lock says of one step that a build used; `asked` is the question, as far as the key depends on it."""

    stage: str
    key: str
    asked: dict[str, Any] = {}
    seconds: float
    cached: bool
    versions: dict[str, str]
    files: dict[str, str]


class Report(Value):
    """The result of a build: what was wanted, every row, what binds, and what to know before believing a number.

    `bundles` are folders by target, `members` run folders of several students of the front by name; `elsewhere` is what
    was measured on other devices since.
    """

    schema_version: Literal[2] = 2
    edgekd: str
    created: str
    plan: Plan
    status: Literal["fits", "missed", "inconclusive"]
    gauge: Gauge = ACCURACY
    headline: str
    binds: str
    rows: tuple[Row, ...]
    gain: Gain | None = None
    terms: Terms | None = None
    trials: tuple[Trial, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    predictors: tuple[Predictor, ...] = ()
    rungs: tuple[Rung, ...] = ()
    student: Architecture | None
    chosen: str = ""
    teacher_already_fits: bool = False
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    kept: Kept | None = None
    concerns: tuple[Concern, ...] = ()
    seconds: float = 0.0
    steps_run: int = 0
    steps_cached: int = 0
    bundles: dict[str, str] = {}
    members: dict[str, str] = {}
    elsewhere: tuple[Elsewhere, ...] = ()
