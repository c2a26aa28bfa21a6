"""Core ML: iPhone, iPad, Mac. Made on Linux and macOS, runs on macOS only.

Packages (ML Program, iOS 17 and macOS 14 or newer) by coremltools.
int8 has weights and activations in 8 bits (symmetric; weights per channel), with ranges found by evaluating the program
over the calibration part; the precisions of weights alone compute in float16. The batch is fixed to one sample, since
the Neural Engine wants fixed shapes.
"""

import json
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import coremltools as ct
import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from edgekd import files
from edgekd.errors import NotVerified, Problem, Unsuited, UsageError
from edgekd.mil import calibration, compression, eligible, lowering, opening, provenance
from edgekd.mil.evaluator import Evaluator
from edgekd.nets import layers, programs, surgery
from edgekd.plugins import Conversion, Converted, Opened, Operator
from edgekd.results import Signature, TensorSpec
from edgekd.spec import FLOATS, Precision, Value

VERSION = 4
PACKAGES = ("torch", "coremltools")
EXTRA = "coreml"
# coremltools has no wheels for Linux arm64 and Windows
PLATFORMS = ("linux-x86_64", "darwin-arm64", "darwin-x86_64")
REQUIRES = ("coremltools>=9.0; (sys_platform == 'linux' and platform_machine == 'x86_64') or sys_platform == 'darwin'",)
ALIASES = ("core-ml", "mlprogram", "mlpackage")
SUFFIXES = (".mlpackage",)
PRECISIONS = ("float32", "float16", "int8", "int8-weights", "int4-weights", "palette4")
LACKS = {
    "bfloat16": "Core ML computes in float16 and float32",
    "int8-full": "Core ML packages take and give floats; ask for int8, which computes in 8 bits inside",
    "int8-dynamic": "Core ML has no operators that find ranges at run time; ask for int8",
}
RANGES = ("min-max", "percentile")
ROUTES = ("exported program", "trace")
REFERENCE = True
PLACED = True

NAME = "student.mlpackage"
OPENED = "opened.mlpackage"
SPEC = Path("Data/com.apple.CoreML/model.mlmodel")
IN_FLOAT = "Operators that stay float16, for the sake of accuracy: {}."
TRACED = "Made from a trace, since the exported program fails to convert: inner values have no layer's name."
WHOLE = ("int64", "int16", "uint8")
IMAGE = "The input {} is an image to Core ML (a CVPixelBuffer, a CGImage or a PIL image), not a multi-array."
AUDIO = "The input {} takes 16-bit samples as 32-bit integers: Core ML has no arrays of 16-bit ones."
FIXED_BATCH = "Runs one sample at a time: the Neural Engine wants fixed shapes."
NOTES = {
    "float32": ("The Neural Engine computes in float16 only, so this file runs on the processor or the GPU.",),
    "float16": ("Weights and activations are float16, inputs and outputs float32.",),
    "int8": ("int8 weights and int8 activations; between them float16, inputs and outputs float32.",),
    "int8-weights": ("int8 weights, float16 activations; activations are not quantized.",),
    "int4-weights": ("Needs iOS 18 or macOS 15: int4 weights in blocks of 32 input channels, float16 activations.",),
    "palette4": ("Weights are numbers of 4 bits into one palette of 16 float16 values each; float16 activations.",),
}
NOTHING_COMPUTED = "no convolution, linear layer or pool of this network can compute in 8 bits"
NOTHING_STORED: dict[str, str] = {
    "int8": "every weight of this network is too small to be worth a scale",
    "int8-weights": "every weight of this network is too small to be worth a scale",
    "int4-weights": "no weight of this network has input channels that are a multiple of 32",
    "palette4": "every weight of this network is too small to be worth a palette",
}
INSTEAD: dict[str, str] = {
    "int8": "Use float16",
    "int8-weights": "Use float16",
    "int4-weights": "Use palette4, which has no blocks, or int8-weights",
    "palette4": "Use float16",
}


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write the package student.mlpackage; inputs and outputs keep their names, whole numbers become 32-bit.

    Raw pixels are an image to Core ML, which knows no arrays of 8-bit numbers.
    """
    signature = _narrowed(programs.with_batch(conversion.signature, 1))
    program = programs.load(conversion.program)
    model, made_of = _lowered(conversion, program, signature)
    with TemporaryDirectory(dir=conversion.folder) as work:
        plain = _saved(model, Path(work) / NAME)
        sample = _sample(conversion)
        values = layers.values(program, [sample[spec.name] for spec in signature.inputs])
        claims = provenance.settled(plain, made_of, sample, values, _outputs(program, signature))
        in_float = compression.operators(
            plain, {value for value, node in claims.items() if node in conversion.in_float}
        )
        model = _compressed(model, plain, conversion, in_float)
    package = _saved(model, conversion.folder / NAME)
    fixed = (FIXED_BATCH,) if programs.dynamic(conversion.signature) else ()
    made_by = f"coremltools {version('coremltools')}"
    traced = (TRACED,) if conversion.route else ()
    kept = _kept(package, conversion.precision, in_float)
    notes = (*fixed, *traced, *_sensed(signature), *NOTES[conversion.precision], *kept)
    return Converted(NAME, signature, made_by, notes, provenance.carried(package, claims))


def _narrowed(signature: Signature) -> Signature:
    """Whole numbers as Core ML has them in arrays: 32 bits."""
    inputs = tuple(
        spec.model_copy(update={"dtype": "int32"}) if spec.inside is None and spec.dtype in WHOLE else spec
        for spec in signature.inputs
    )
    return signature.model_copy(update={"inputs": inputs})


def _sensed(signature: Signature) -> tuple[str, ...]:
    """How an application hands over raw inputs."""
    images = [spec.name for spec in signature.inputs if spec.inside is not None]
    audio = [spec.name for spec in signature.inputs if spec.is_raw and spec.inside is None]
    found = (IMAGE.format(", ".join(images)),) if images else ()
    return (*found, AUDIO.format(", ".join(audio))) if audio else found


def _taken(spec: TensorSpec) -> Any:
    """An input as coremltools wants it described."""
    if spec.inside is None:
        return ct.TensorType(name=spec.name, shape=spec.shape, dtype=np.dtype(spec.dtype).type)
    layout = ct.colorlayout.GRAYSCALE if spec.shape[3] == 1 else ct.colorlayout.RGB
    return ct.ImageType(name=spec.name, shape=tuple(spec.shape[i] for i in surgery.FIRST), color_layout=layout)


def _compressed(model: Any, plain: Path, conversion: Conversion, in_float: tuple[str, ...]) -> Any:
    """The model in the precision that is wanted. Raises Unsuited where no operator can compute in 8 bits."""
    if conversion.precision in FLOATS:
        return model
    if conversion.precision == "int8":
        found = calibration.calibrated(plain, conversion.calibration, conversion.ranges, in_float)
        if not found.count:
            raise Unsuited(Problem("coreml int8", NOTHING_COMPUTED, INSTEAD["int8"]))
        model = compression.activations(model, found)
    return compression.weights(model, conversion.precision, in_float)


def _kept(package: Path, precision: Precision, in_float: tuple[str, ...]) -> tuple[str, ...]:
    """A word on how much of the weights has fewer bits. Raises Unsuited where none has."""
    if precision in FLOATS:
        return ()
    found = compression.kept(package, precision)
    if not found.weights:
        raise Unsuited(Problem(f"coreml {precision}", NOTHING_STORED[precision], INSTEAD[precision]))
    if in_float:
        return (IN_FLOAT.format(len(in_float)),)
    if found.weights == found.of:
        return ()
    why = ": the input channels of the others are no multiple of 32" if precision == "int4-weights" else ""
    return (f"{found.weights} of {found.of} weights, {100 * found.share:.0f} % of all numbers, have fewer bits{why}.",)


def opened(file: Path, signature: Signature, claims: Mapping[str, str], folder: Path) -> Opened:
    """Write a copy of a package that gives the claimed values as outputs too, float32 and one sample first.

    Left out are values of so many dimensions that Core ML cannot give them.
    """
    found = opening.opened(file, folder / OPENED, claims)
    _settle(folder / OPENED)
    names = {spec.name: spec.name for spec in signature.outputs} | {value: spec.name for value, spec in found.items()}
    nodes = {names[value]: node for value, node in claims.items() if value in names}
    return Opened(OPENED, signature.model_copy(update={"outputs": (*signature.outputs, *found.values())}), nodes)


def evaluator(file: Path, signature: Signature) -> Evaluator:
    """Read a package back and evaluate its operators by their definitions, as float16 where it says so.

    Raises NotVerified for an operator without a rule, and for a package that is not of this signature.
    """
    made = Evaluator(file)
    pairs = ((signature.inputs, made.inputs), (signature.outputs, made.outputs))
    missing = [spec.name for wanted, own in pairs for spec in wanted if spec.name not in {slot.name for slot in own}]
    if missing:
        raise NotVerified(f"the package has no {', '.join(missing)}")
    return made


def placed(file: Path) -> list[Operator]:
    """What documentation says of its operators and the Neural Engine. Raises NotVerified for an unreadable package."""
    return eligible.placed(file)


def _lowered(conversion: Conversion, program: ExportedProgram, signature: Signature) -> tuple[Any, provenance.MadeOf]:
    """An ML Program in memory, and the nodes of the program that each of its values was made of."""
    pictures = any(spec.inside is not None for spec in signature.inputs)
    alone = (surgery.with_pictures if pictures else programs.at_batch_one)(program, conversion.signature)
    if conversion.route:
        network, given = programs.network(alone), alone.example_inputs[0]
        source: Any = torch.jit.trace(network, given)  # type: ignore[no-untyped-call]
        names = {}
    else:
        # coremltools takes the core ATen dialect only
        source = lowering.lowered(alone)
        names = provenance.number(source, program)
    half = conversion.precision != "float32"
    model = ct.convert(
        source,
        inputs=[_taken(spec) for spec in signature.inputs],
        outputs=[ct.TensorType(name=s.name, dtype=np.float32) for s in signature.outputs],
        minimum_deployment_target=ct.target.iOS18 if conversion.precision == "int4-weights" else ct.target.iOS17,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    _check_names(model, signature)
    made_of = provenance.named(model, names)
    return compression.with_relu6(model) if conversion.precision == "int8" else model, made_of


def _check_names(model: Any, signature: Signature) -> None:
    """Raise UsageError where the converter has given an input or output another name: callers would not find it."""
    told = model.get_spec().description
    found = {one.name for one in (*told.input, *told.output)}
    reserved = [spec.name for spec in (*signature.inputs, *signature.outputs) if spec.name not in found]
    if reserved:
        message = f"Core ML reserves the name {reserved[0]!r}, so the file would have another in its place"
        raise UsageError(
            Problem("coreml", message, f"Call this input or output otherwise, {reserved[0]}_1 for example")
        )


def _outputs(program: ExportedProgram, signature: Signature) -> dict[str, str]:
    """The node of the program that each output gives."""
    names = (str(name) for name in program.graph_signature.user_outputs)
    return {spec.name: name for spec, name in zip(signature.outputs, names, strict=True)}


def _sample(conversion: Conversion) -> dict[str, NDArray[Any]]:
    """One sample: the first of the calibration part, or one that is made up."""
    if conversion.calibration:
        return {name: values[:1] for name, values in conversion.calibration.items()}
    random = np.random.default_rng(0)
    specs = programs.with_batch(conversion.signature, 1).inputs
    # 0 and 1 are ids and words of a mask alike
    return {
        spec.name: (
            random.normal(size=spec.shape) if spec.dtype == "float32" else random.integers(0, 2, spec.shape)
        ).astype(spec.dtype)
        for spec in specs
    }


def _saved(model: Any, package: Path) -> Path:
    """Write a model, without the map of operators for debuggers that saving adds."""
    shutil.copytree(model.package_path, package)
    _settle(package)
    return package


def _settle(package: Path) -> None:
    """Make the package a function of its content: no date in the model, and identifiers from digests, not at random."""
    model = ct.utils.load_spec(str(package / SPEC))
    model.description.metadata.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    (package / SPEC).write_bytes(model.SerializeToString(deterministic=True))
    manifest = json.loads((package / "Manifest.json").read_text(encoding="utf-8"))
    entries, root = {}, ""
    for old, entry in manifest["itemInfoEntries"].items():
        content = files.digest(package / "Data" / entry["path"])
        new = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{entry['path']} {content}")).upper()
        entries[new] = entry
        root = new if old == manifest["rootModelIdentifier"] else root
    manifest |= {"itemInfoEntries": entries, "rootModelIdentifier": root}
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=4, sort_keys=True), encoding="utf-8")
