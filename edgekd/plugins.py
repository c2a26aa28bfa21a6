"""What each kind of plug-in must be, and how one is found. The folder listing is the registry; this file is the manual.

A plug-in is a module named after itself in the folder of its kind (or in another package's entry-point group
`edgekd.<kind>`). Every one has, as plain literals that are read without importing it:

    VERSION = 1                   raise it when results change
    PACKAGES = ("torch",)         distributions whose versions its results depend on
    USES = ("formats.onnx",)      other plug-ins that it calls; shared modules that it imports are found by themselves
    EXTRA = "tflite"              the extra of edgekd that installs them (optional)
    REQUIRES = ("torch>=2.13",)   formats and runtimes: what pip installs for that extra; hatch_build.py reads it
    FILES = ("weights",)          settings that are paths of files or folders of the user's (optional)
    CODE = ("make",)              settings of the form module:function (optional)
    NESTS = ("members",)          settings that hold plug-ins of the same kind as tables {name, its settings ...}; their
                                  own files arrive as "members.0.weights" (optional)
    PLATFORMS = ("linux-x86_64",) formats and runtimes: where there are packages of them (optional: everywhere)
    ALIASES = ("litert",)         formats only: other names that people have for it
    SUFFIXES = (".tflite",)       formats only: how files that it is known by end
    PRECISIONS = ("float32",)     formats only
    LACKS = {"bfloat16": "why"}   formats only: why it has none of the other precisions, and what to ask for (optional)
    RANGES = ("min-max",)         formats only: how it can find ranges of activations (optional)
    ROUTES = ("dynamo", "trace")  formats only: its ways to lower a program, the one to try first first (optional)
    UNOPENED = "why"              formats only: why no inner value of its files can be seen; one without has `opened`
    BESIDE = ("layers.pt2",)      formats only: what it writes beside its file, for `opened` (optional)
    REFERENCE = True              formats only: it has `evaluator`, for where its runtime cannot run (optional)
    PLACED = True                 formats only: it has `placed`, for where nothing tells where operators ran (optional)
    TAKES = "series"              students only: what its inputs are: "image" (N, C, H, W), the default, "series"
                                  (N, steps, channels), "words" (ids and mask, (N, length)),
                                  "table" (N, columns) or "pair" (two ids, (N, 1))
    OF_TEACHER = True             students only: made of the teacher's network; its setting `teacher` is filled in: a
                                  list of one table {name, settings ...}; files come as "teacher.0.weights" (optional)
    COURSE = {"peers": 2}         schemes only: its settings that say how many "peers" learn together, how many more
                                  "generations" follow, how many "assistants" stand between, with defaults (optional)
    TASK = "numbers"              objectives, schemes and metrics: what students learn: "classes", the default,
                                  "numbers" or "any" (optional)
    TITLE = "RMSE"                metrics only: its name for readers (by default the plug-in's)
    UNIT = "y"                    metrics only: "%", the default (shares of one), "" (a plain number), or "y", the unit
                                  of what is told (optional)
    LOWER = True                  metrics only: less is better (optional)
    CLASSES = 2                   metrics only: of how many classes it is; by default of any number (optional)
    NEEDS = ("logits",)           objectives only: what of the teacher they need, "logits" or "inner" values (optional)
    INNER = "map"                 objectives only: they look at inner values, of this kind where none is named; without
                                  "inner" in NEEDS at the student's alone (optional)
    ADDRESS = "pi@board.local"    devices only: it needs an address, such as this one (optional)
    SINGLE = ("tflite",)          devices only: formats whose files there are for one sample at a time (optional)
    SILENT = ("onnx",)            devices only: formats that are timed there, but whose outputs nobody tells (optional)
    RUNS = {"tflite": "name"}     devices only: packages that run a format's files there, if not its own; the memory of
                                  a model is what they say of its arena then (optional)
    PRECISION = "int8-full"       devices only: of files where none is asked for (optional)
    UNTIMED = "why"               devices only: why seconds mean nothing there (optional)
    OPENS = True                  devices only: it has opened(settings, device, tell), without which it is not reached:
                                  a context that lasts as long as a command (optional)
    RESUMES = True                stages only: its workspace survives a kill

and `class Settings(Value)`, what the user may set. `find` imports a plug-in; only workers do that.
"""

import ast
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, MissingExtra, Problem, UsageError
from edgekd.gauge import Gauge
from edgekd.results import DeviceFacts, FrontEnd, Head, Signature, TensorSpec
from edgekd.spec import Device, Objective, Precision, Ranges, Value

if TYPE_CHECKING:
    from torch import Tensor, nn

KINDS = (
    "datasets",
    "teachers",
    "students",
    "objectives",
    "schemes",
    "metrics",
    "formats",
    "runtimes",
    "devices",
    "corruptions",
    "apps",
    "stages",
)
Array = NDArray[Any]


@dataclass(frozen=True)
class Pool:
    """Samples in memory (or memory-mapped): arrays by input name, sample first, and labels (-1: unlabelled).

    Images are one input of (N, canvas, canvas, channels) uint8. `names` are the samples' files where they have some.
    `groups` names who or what each sample is of (a person, a recording): what is judged shares none with the rest.
    `targets`, float64 (N, columns), are numbers to be told in the place of classes, NaN in a row that has none;
    `labels` then say which samples are alike enough to be divided evenly among the parts (-1: no targets). `heads`,
    int64 (N, heads), are labels of several heads, -1 where one has none; `labels` are then columns of the output: that
    of the first head which has a label.
    """

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64]
    names: Sequence[str] = ()
    groups: NDArray[np.str_] | None = None
    targets: NDArray[np.float64] | None = None
    heads: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Source:
    """All that a dataset plug-in read: training samples, test samples if it has them, classes, and what was skipped.

    `front_ends` says of inputs by name what they were made of, where edgekd made them; `attached` are files by
    name that belong into bundles then: what the front end needs, and examples of what it must give. Samples with
    several labels have `heads`, whose classes are all in `classes`, in order.
    """

    train: Pool
    test: Pool | None
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    front_ends: Mapping[str, FrontEnd] = field(default_factory=dict)
    attached: Mapping[str, bytes] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()


@dataclass(frozen=True)
class Canvas:
    """What images are decoded to: the central square of `size` pixels a side, "gray" or "rgb"."""

    size: int
    channels: str
    filter: str


class Dataset(Protocol):
    """datasets/: read samples. `canvas` is None where no network wants images. Raises UsageError naming bad files.

    One that decodes images may also have few(settings, files, canvas, count, seed) -> Source, which reads `count`
    labelled training samples alone, so that a look at the data costs no more than these. One whose samples may have
    labels of several heads has heads(settings, files) -> their names, from no more than a glance.
    """

    Settings: type[Value]

    def read(self, settings: Any, files: Mapping[str, Path], canvas: Canvas | None, skip_bad: bool) -> Source: ...


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that computes a teacher's outputs: which input of the data goes into each of its own, its output."""

    path: Path
    inputs: Mapping[str, str]
    output: str


@dataclass(frozen=True)
class Oracle:
    """A loaded teacher.

    `outputs(batch, rows, part)` gives (N, classes) float32 logits for prepared inputs by name; `rows` are the samples'
    numbers in the data's source (PartFiles.rows), which a teacher of saved outputs needs, and `count` is how many it
    has. `module` is the torch network where there is one, so that it can be exported, else `why_no_module` says why
    not. `live` is False where only view 0 can be answered. `onnx` is the file that some formats can be made from where
    there is no module. One that has `learn` is complete only after learn(batch, rows, part, labels), which gives the
    oracle to ask then; `shares` are what the members of an ensemble learned to count.
    """

    outputs: Callable[[Mapping[str, Array], Array, str], Array]
    module: "nn.Module | None" = None
    why_no_module: str = ""
    live: bool = True
    count: int | None = None
    onnx: OnnxFile | None = None
    learn: "Callable[[Mapping[str, Array], Array, str, Array], Oracle] | None" = None
    shares: tuple[float, ...] = ()


class TeacherKind(Protocol):
    """teachers/: load a teacher from the user's files for a known signature. Raises UsageError for misfits."""

    Settings: type[Value]

    def load(self, settings: Any, files: Mapping[str, Path], signature: Signature, trust: bool) -> Oracle: ...


class Family(Protocol):
    """students/: a network family.

    `build` makes one untrained network whose forward takes the inputs in order and returns a dict with "logits" (and,
    for later objectives, "features"). A family that declares CODE or OF_TEACHER is given the user's files as a fourth
    argument, by setting. `space` lists the settings that a search may choose from, given fixed ones.
    """

    Settings: type[Value]

    def build(self, settings: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> "nn.Module": ...

    def space(self, settings: Any, inputs: tuple[TensorSpec, ...]) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Batch:
    """What an objective sees: labels (N,) int64, -1 for unlabelled, and the teacher's logits (N, classes) or None.

    `inner` are inner values of a teacher that runs beside the student, by name; `inputs` are the student's own inputs,
    for masks. Numbers to be told are `targets` (N, columns) in their own units, NaN where there are none; each column's
    `deviation` makes errors comparable. "logits" of student and teacher are such numbers then. Of several `heads`,
    `known` (N, heads) are the labels; an objective of logits sees one head after the other, as if there were no other.
    """

    labels: "Tensor"
    teacher: "Tensor | None"
    inner: "Mapping[str, Tensor]" = field(default_factory=dict)
    inputs: "Mapping[str, Tensor]" = field(default_factory=dict)
    targets: "Tensor | None" = None
    deviation: "Tensor | None" = None
    heads: tuple[Head, ...] = ()
    known: "Tensor | None" = None

    def each(self, outputs: "Mapping[str, Tensor]", only: str = "") -> "Iterator[tuple[dict[str, Tensor], Batch]]":
        """Outputs and what they learn from, of every head by itself or of `only` one; of one task these as they are."""
        if self.known is None:
            yield dict(outputs), self
            return
        for number, head in enumerate(self.heads):
            if only in ("", head.name):
                teacher = None if self.teacher is None else self.teacher[:, head.columns]
                alone = replace(self, labels=self.known[:, number], teacher=teacher, heads=(), known=None)
                yield {**outputs, "logits": outputs["logits"][:, head.columns]}, alone

    def errors(self, told: "Tensor") -> "Tensor":
        """How far numbers (N, columns) are off the targets of the labelled samples, in deviations: (labelled, columns);
        raises EdgekdError where there are classes to learn."""
        if self.targets is None or self.deviation is None:
            raise EdgekdError("There are classes to learn, and no numbers that an error could be of")
        known = self.labels >= 0
        return (told.float()[known] - self.targets[known]) / self.deviation

    def soft_targets(self, objective: str) -> "Tensor":
        """The teacher's logits in float32, (N, classes); raises EdgekdError where there are none."""
        if self.teacher is None:
            raise EdgekdError(f"The objective {objective} needs soft targets, and there are none; label the data first")
        return self.teacher.float()


class ObjectiveKind(Protocol):
    """objectives/: one term of the loss, a scalar in float32. NEEDS says what of the teacher must be there."""

    Settings: type[Value]
    NEEDS: tuple[str, ...]

    def loss(self, settings: Any, outputs: "Mapping[str, Tensor]", batch: Batch) -> "Tensor": ...


class InnerObjective(Protocol):
    """objectives/ with INNER: one term of the loss that compares inner values of student and teacher.

    Settings has `student` and `teacher`, names of inner values (nets/inner.py), and INNER says of which kind the usual
    ones are. With "logits" in NEEDS too, both are the logits where nothing is named. `term` makes, of the values'
    shapes, a network whose forward(student, teacher, batch) is the term: lists of values, and a Batch. Its parameters
    are trained beside the student's and thrown away afterwards. Raises UsageError for shapes that do not suit.

    One without "inner" in NEEDS looks at the student alone, and its Settings has no `teacher`: what stands in the
    teacher's place is a list of one value, the student's own logits.
    """

    Settings: type[Value]
    NEEDS: tuple[str, ...]
    INNER: str

    def term(
        self, settings: Any, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]]
    ) -> "nn.Module": ...


class Scheme(Protocol):
    """schemes/: the loss of networks that are trained together in one step; `terms` are weighted objectives.

    One that is a course of whole trainings alone (COURSE) has no `loss`: these are trained by that of `offline`.
    """

    Settings: type[Value]

    def loss(
        self,
        settings: Any,
        outputs: "Sequence[Mapping[str, Tensor]]",
        batch: Batch,
        terms: "Sequence[Callable[[Mapping[str, Tensor], Batch], Tensor]]",
    ) -> "Tensor": ...


class Metric(Protocol):
    """metrics/: quality of each sample from 0 (wrong) to 1 (right), so that intervals are one piece of code.

    TITLE, UNIT and LOWER say how its values are told. One that is no mean over samples is a ResampledMetric.
    """

    Settings: type[Value]

    def per_sample(self, outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]: ...


class ResampledMetric(Protocol):
    """metrics/ that are no mean over samples, such as a root mean square or an area under a curve.

    `resampled` gives the value of each resample: `counts` (resamples, N) say how often each sample is in it. `truth`
    are labels (N,) or, with TASK "numbers", targets (N, columns). NaN stands for a resample that has no value.
    """

    Settings: type[Value]

    def resampled(
        self, outputs: NDArray[np.float32], truth: Array, counts: NDArray[np.int64]
    ) -> NDArray[np.float64]: ...


class Corruption(Protocol):
    """corruptions/: ways to spoil samples of one kind of input, of which a task has at most one: the first by name that
    suits it, those of other packages before edgekd's own.

    `suits` looks at a few stored samples (arrays by input name, sample first, with the canvas of images); KINDS names
    the ways. Where a tokenizer made the ids, plug-ins are asked first whether they suit the texts: one input of (N,)
    str objects, which become ids again by the same tokenizer. `corrupt` gives copies of samples under one of them, of
    the same shapes and types, at a severity from 1 (hardly seen) to 5; the same generator gives the same copies.
    """

    Settings: type[Value]
    KINDS: tuple[str, ...]

    def suits(self, samples: Mapping[str, Array], canvas: int | None) -> bool: ...

    def corrupt(
        self, samples: Mapping[str, Array], kind: str, severity: int, random: np.random.Generator
    ) -> Mapping[str, Array]: ...


class App(Protocol):
    """apps/: kinds of application bundles, which are folders that drop into a user's project.

    FORMATS are those of the files that it runs. `files` gives the application's own text files by their paths in the
    folder, of what edgekd/bundle/content.py has written there; `unfit` says why a file cannot run in it after all, as
    (message, hint), or nothing. One whose self-test does not see all mistakes also has margins(content): those that it
    does, by how many times what is allowed.
    """

    FORMATS: tuple[str, ...]

    def files(self, content: Any) -> Mapping[str, str]: ...

    def unfit(self, content: Any) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Front:
    """What stands in a graph before one raw input, for every tool that writes graphs.

    `factor` and `shift` are of each channel; the others are for pictures, whose channels come first then. `luma` are
    the weights that make gray of three channels; `colour` makes three channels of one, `reversed` bgr of rgb; `across`
    are the weights of a resize along one side, (canvas, size): pictures are square. Luma and resized levels are rounded
    to whole ones.
    """

    picture: bool
    factor: NDArray[np.float32]
    shift: NDArray[np.float32]
    luma: NDArray[np.float32] | None = None
    colour: bool = False
    reversed: bool = False
    across: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Lowered:
    """The float32 file that a format made of a program, as it was given back."""

    path: Path
    signature: Signature
    made_by: str
    layers: Mapping[str, str]


@dataclass(frozen=True)
class Conversion:
    """What a format is given: the .pt2, its signature, the precision, prepared calibration inputs, where to write.

    `base` is its own float32 file of the same program if there is one already: it may quantize that. `in_float` are
    nodes of the program: the operators that give the tensors which hold their values stay float. `route` is which of
    the format's ROUTES to take, empty for the first; what made `base` has taken it already.
    """

    program: Path
    signature: Signature
    precision: Precision
    calibration: Mapping[str, NDArray[np.float32]]
    folder: Path
    base: Lowered | None = None
    ranges: Ranges = "min-max"
    in_float: frozenset[str] = frozenset()
    route: str = ""


@dataclass(frozen=True)
class Converted:
    """What a format gives back: the name of its file in the folder, the signature as its runtime sees it, and notes.

    `layers` says which tensors of the file, by name, hold the value of which node of the program (a node of the .pt2's
    graph): of a quantized file the tensor that the next layer reads, dequantized where the file has it so.
    """

    name: str
    signature: Signature
    made_by: str
    notes: tuple[str, ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """A copy of a file that gives its inner tensors as outputs too: its name in the folder, and its signature.

    The signature's outputs are those of the file, then one for each inner tensor; `layers` names their nodes by output.
    Where the file's runtime keeps inner values to itself, `evaluate` works them out: of what the file was made of.
    """

    name: str
    signature: Signature
    layers: Mapping[str, str]
    evaluate: "Evaluation | None" = None


@dataclass(frozen=True)
class Operator:
    """One operator of a file and where it runs, as a runtime tells it or as a format's documentation has it.

    The fields are those of results.Placement; `gives` and `takes` name its results and arguments, `also` holds other
    names that the file may have for what it gives, the likeliest first. One that does not count (a mere reshape) is
    there because others hang together by it.
    """

    name: str
    kind: str
    gives: tuple[str, ...]
    takes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    kernel: str = ""
    seconds: float | None = None
    wanted: bool = True
    why: str = ""
    conversion: bool = False
    counts: bool = True


# Outputs by name for prepared inputs by name, any number of samples, sample first.
Evaluation = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Format(Protocol):
    """formats/: convert a program. The file written must run in runtimes/<same name>.

    One that declares REFERENCE also has evaluator(file, signature) -> Evaluation, which reads a written file back and
    works out its outputs by the format's definitions, on any computer that converts. What cannot run here is checked
    with it; such numbers have the basis "reference". Raises NotVerified for an operator that it has no rule for.

    One that declares PLACED also has placed(file) -> Sequence[Operator]: what documentation says of where they may run,
    with the source in `why`. That has the basis "reference" too, and is never taken for what a device did.

    `convert` raises Unsuited for a precision that cannot do this program any good, and says why; whatever else it
    raises is a failure of the converter. `opened` makes the values of `layers` visible to the file's own runtime; one
    whose runtime hides them declares UNOPENED instead.
    """

    Settings: type[Value]
    PRECISIONS: tuple[Precision, ...]

    def convert(self, conversion: Conversion) -> Converted: ...

    def opened(self, file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened: ...


class Reach(Protocol):
    """devices/: a way to reach a device. `run` executes one job of edgekd.runtimes in `folder` (request.json and its
    files are there; result.json and output files are there afterwards). Raises DeviceError, and Unreachable where the
    device could not be asked. One that keeps a connection may also have leave(device), which ends it."""

    Settings: type[Value]

    def probe(self, settings: Any, device: Device) -> DeviceFacts: ...

    def run(self, settings: Any, device: Device, folder: Path, timeout: float) -> None: ...


@dataclass(frozen=True)
class Declared:
    """The literals that a plug-in states about itself, its first line, and its functions, read without importing it."""

    file: Path
    version: int
    packages: tuple[str, ...] = ()
    extra: str = ""
    requires: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    nests: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)
    ranges: tuple[str, ...] = ("min-max",)
    routes: tuple[str, ...] = ()
    reference: bool = False
    unopened: str = ""
    beside: tuple[str, ...] = ()
    placed: bool = False
    takes: str = "image"
    of_teacher: bool = False
    course: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    inner: str = ""
    task: str = "classes"
    title: str = ""
    unit: str = "%"
    lower: bool = False
    classes: int = 0
    address: str = ""
    opens: bool = False
    single: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    runs: Mapping[str, str] = field(default_factory=dict)
    precision: str = "auto"
    untimed: str = ""
    formats: tuple[str, ...] = ()
    resumes: bool = False
    uses: tuple[str, ...] = ()
    summary: str = ""
    offers: frozenset[str] = frozenset()

    def install(self, packages: Sequence[str]) -> str:
        """The command that installs packages of this plug-in: by its extra where it has one."""
        return f"pip install 'edgekd[{self.extra}]'" if self.extra else f"pip install {' '.join(packages)}"


SHARED = (
    "nets",
    "raw",
    "mil",
    "ort",
    "ov",
    "litert",
    "divergence",
    "samples",
    "contrast",
    "runtimes",
    "statistics",
    "heads",
    "parity",
    "jobs",
    "timing",
)
_LITERALS = frozenset(one.name for one in fields(Declared)) - {"file", "version", "summary", "offers"}


@cache
def _modules(kind: str) -> dict[str, str]:
    """Module names of a kind's plug-ins, by plug-in name: our own folder first, then other packages' entry points."""
    folder = Path(__file__).parent / kind
    own = {p.stem: f"edgekd.{kind}.{p.stem}" for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}
    if kind == "runtimes":  # a format is two files, one in formats/ and its twin here; the others are the clock's own
        own = {name: module for name, module in own.items() if name in _modules("formats")}
    others = {point.name: point.value for point in entry_points(group=f"edgekd.{kind}")}
    return others | own


def names(kind: str) -> tuple[str, ...]:
    """Names of all plug-ins of a kind, without importing any."""
    return tuple(sorted(_modules(kind)))


@cache
def alternatives(format: str) -> dict[str, Declared]:
    """Other runtimes that run a format's files if one asks for them, by the names of their packages."""
    found = {}
    for file in sorted((Path(__file__).parent / "runtimes").glob("*.py")):
        literals = _literals(ast.parse(file.read_text(encoding="utf-8")))
        if literals.get("instead_of") == format:
            known = {k: literals[k] for k in _LITERALS if k in literals}
            found[literals["packages"][0]] = Declared(file=file, version=literals["version"], **known)
    return found


def _module(kind: str, name: str) -> str:
    if name not in _modules(kind):
        raise UsageError(Problem("", f"there is no {name!r} among {kind}", f"Choose from: {', '.join(names(kind))}"))
    return _modules(kind)[name]


@cache
def declared(kind: str, name: str) -> Declared:
    """What a plug-in declares about itself, from its source."""
    module = _module(kind, name)
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UsageError(Problem("", f"the plug-in {name!r} of {kind} names the module {module}, which is not there"))
    file = Path(spec.origin)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    literals = _literals(tree)
    known = {k: literals[k] for k in _LITERALS if k in literals} | {"uses": (*literals.get("uses", ()), *_shared(tree))}
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    offers = frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return Declared(file=file, version=literals.get("version", 0), summary=summary, offers=offers, **known)


@cache
def code(name: str) -> Declared:
    """What "kind.plug-in", or the shared module or package "name", declares about itself."""
    if name not in SHARED:
        return declared(*name.split(".", 1))
    place = Path(__file__).parent / name
    sources = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in sources]
    uses = {used for tree in trees for used in _shared(tree)} - {name}
    return Declared(file=sources[0], version=_literals(trees[0]).get("version", 0), uses=tuple(sorted(uses)))


def _literals(tree: ast.Module) -> dict[str, Any]:
    """The plain constants that a source assigns, by name in lower case."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            with suppress(ValueError):
                found[node.targets[0].id.lower()] = ast.literal_eval(node.value)
    return found


def _shared(tree: ast.Module) -> tuple[str, ...]:
    """The shared modules that a source imports; only runtimes/ imports relatively."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {"runtimes"} if node.level else {part.split(".")[1] for part in names if part.count(".")}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("edgekd.")}
    return tuple(sorted(found & set(SHARED)))


def live(objective: Objective) -> bool:
    """Whether an objective needs the teacher beside the student in training, more than its cached outputs.

    Inner values that are called "logits" are the outputs, which soft targets hold.
    """
    needs = declared("objectives", objective.use.name).needs
    if "inner" not in needs or not objective.weight:
        return False
    written = objective.use.settings.get("teacher") or ("logits" if "logits" in needs else "")
    return any(name != "logits" for name in (written if isinstance(written, list) else [written]))


def task(numbers: bool) -> str:
    """What students learn, in the word of TASK."""
    return "numbers" if numbers else "classes"


def misjudges(metric: str, given: str) -> Problem | None:
    """What is wrong with a metric for data of a task; None where nothing is."""
    known = declared("metrics", metric)
    if known.task in (given, "any"):
        return None
    others = [name for name in names("metrics") if declared("metrics", name).task in (given, "any")]
    kinds = {"classes": "whole numbers, which name classes", "numbers": "floats, which are numbers to be told"}
    message = f"{known.title or metric} cannot judge these data: their labels are {kinds[given]}"
    hint = f'Write metric = "{others[0]}" (there are: {", ".join(others)})' if others else "Take other labels"
    if given == "classes":
        hint += ", or give y as floats"
    return Problem("data.metric", message, hint)


def gauge(metric: str, unit: str = "") -> Gauge:
    """What a metric counts in; `unit` is that of the numbers that are told, where there are any."""
    known = declared("metrics", metric)
    counted = unit if known.unit == "y" else known.unit
    name = known.title or metric.replace("_", " ")
    return Gauge(name=name, unit=counted, share=known.unit == "%", lower=known.lower)


def find(kind: str, name: str) -> Any:
    """Import a plug-in. Only workers call this. Raises MissingExtra where its package is not installed."""
    module = _module(kind, name)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgekd"):
            raise
        raise MissingExtra(error.name, declared(kind, name).install([error.name])) from error
