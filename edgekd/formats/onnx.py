"""ONNX, run by ONNX Runtime: servers, Windows, Linux boards, this computer.

Made by torch's own exporter, quantized by ONNX Runtime's tools.
int8 is static: QDQ nodes, unsigned 8-bit activations (signed ones are 2 to 5 times slower on processors) and signed
8-bit weights per channel. int8-dynamic and int4-weights are for linear layers and embeddings; convolutions stay float.
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

# must be set before onnxruntime is imported
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnx
import torch
from torch.export import ExportedProgram

from edgekd.nets import programs
from edgekd.ort import adopting, fronts, layers, opening, quantizing
from edgekd.plugins import Conversion, Converted, Front, Lowered, OnnxFile, Opened
from edgekd.results import Signature
from edgekd.spec import Precision, Value

VERSION = 2
PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime")
EXTRA = "onnx"
REQUIRES = ("onnx>=1.20", "onnxscript>=0.6", "onnxconverter-common>=1.16")
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "darwin-x86_64", "windows-amd64")
ALIASES = ("ort", "onnxruntime", "onnx-runtime")
SUFFIXES = (".onnx",)
PRECISIONS = ("float32", "float16", "int8", "int8-dynamic", "int4-weights")
LACKS = {
    "bfloat16": "ONNX Runtime has no kernels for it on processors; float16 is as small",
    "int8-full": "ONNX Runtime's int8 keeps float inputs and outputs, which cost next to nothing there; ask for int8",
    "int8-weights": "ONNX Runtime finds ranges at each run where only weights have 8 bits; ask for int8-dynamic",
    "palette4": "ONNX has no palettes; int4-weights is as small",
}
RANGES = ("min-max", "percentile", "entropy")
ROUTES = ("dynamo", "torchscript")

NAME = "student.onnx"
# The newest that torch's tracing exporter writes.
TRACED_OPSET = 20
TRACED = (
    "Made by torch's older exporter, since the newer one fails at this network: it runs one sample at a time, and its "
    "inner tensors have no layer's name."
)
OVERFLOW = "On x86 processors without VNNI, sums of 8-bit products may saturate: measure the accuracy where it runs."
NOTES: dict[Precision, tuple[str, ...]] = {
    "float32": (),
    "float16": ("Inputs and outputs stay float32. Processors without float16 arithmetic run it slower than float32.",),
    "int8": ("Inputs and outputs stay float32.", OVERFLOW),
    "int8-dynamic": (
        "Linear layers compute in 8 bits and embeddings are stored so; convolutions and the rest stay float32.",
        "Ranges of activations are found at each run, over all samples that are run at once.",
        OVERFLOW,
    ),
    "int4-weights": (
        "Weights of linear layers and embeddings are stored in 4 bits, 32 with a scale; all computes in float32.",
        "MatMulNBits and GatherBlockQuantized are ONNX Runtime's own operators: other runtimes cannot read this file.",
    ),
}


class Settings(Value):
    """No settings."""


def convert(conversion: Conversion) -> Converted:
    """Write student.onnx with the signature's own names; the batch dimension stays as the program has it.

    What the tracing exporter makes is for one sample at a time, and keeps no names of nodes.
    """
    model, base = _float32(conversion)
    names, made_by = base.layers, base.made_by
    if conversion.precision != "float32":
        model = _quantized(model, names, conversion)
        names = (layers.dequantized if conversion.precision == "int8" else layers.kept)(model, names)
        made_by += f", onnxruntime {version('onnxruntime')}"
    onnx.checker.check_model(model, full_check=True)
    (conversion.folder / NAME).write_bytes(_bare(model).SerializeToString(deterministic=True))
    notes = (*((TRACED,) if conversion.route else ()), *NOTES[conversion.precision])
    return Converted(NAME, base.signature, made_by, notes, names)


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened:
    """Write a copy whose outputs are also the tensors of `layers`; run it one sample at a time."""
    return opening.opened(file, signature, layers, folder, NAME)


def adopt(file: OnnxFile, signature: Signature, path: Path) -> Signature:
    """Make a program of an ONNX file of the user's own; returns its signature. Raises UsageError."""
    return adopting.adopt(file, signature, path)


def with_fronts(source: Path, signature: Signature, before: Mapping[str, Front], path: Path) -> None:
    """Write a copy of an adopted file that takes the raw inputs of a signature."""
    fronts.with_fronts(source, signature, before, path)


def digest(path: Path) -> str:
    """sha256 of an adopted file without its weights."""
    return adopting.digest(path)


def _float32(conversion: Conversion) -> tuple[onnx.ModelProto, Lowered]:
    """The float32 model, and what is known of it: as it was given, or new."""
    base = conversion.base
    if base is not None:
        return onnx.load(base.path), base
    program, signature = conversion.program, conversion.signature
    if conversion.route:
        model = _traced(program, signature)
        made_by = f"{_maker(program, model)}, {conversion.route}"
        return model, Lowered(program, programs.with_batch(signature, 1), made_by, {})
    model, names = _exported(program, signature)
    return model, Lowered(program, signature, _maker(program, model), names)


def _maker(program: Path, model: onnx.ModelProto) -> str:
    """Who made the float32 model: torch, or the user."""
    if program.suffix == ".onnx":
        return f"{model.producer_name or 'the user'} {model.producer_version}".strip()
    return f"torch.onnx {version('torch')} (opset {model.opset_import[0].version})"


def _quantized(model: onnx.ModelProto, names: Mapping[str, str], conversion: Conversion) -> onnx.ModelProto:
    """The model in fewer bits. Raises Unsuited where they would do nothing."""
    match conversion.precision:
        case "float16":
            return quantizing.float16(model)
        case "int8-dynamic":
            return quantizing.dynamic(model, conversion, names)
        case "int4-weights":
            return quantizing.int4_weights(model, conversion, names)
        case _:
            return quantizing.static(model, conversion, names)


def _exported(path: Path, signature: Signature) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Export a program to an ONNX model in memory; which node's value each of its tensors holds."""
    if path.suffix == ".onnx":
        return _bare(onnx.load(path)), {}
    program = programs.load(path)
    model, names = _by_torch(program, signature)
    made = [name for node in model.graph.node for name in node.output]
    if len(set(made)) == len(made):
        return model, names
    # an output is called as a tensor inside is, which torch does not look at: so they are called otherwise meanwhile
    own = {spec.name: f"{spec.name}:output" for spec in signature.outputs}
    specs = tuple(spec.model_copy(update={"name": own[spec.name]}) for spec in signature.outputs)
    model, names = _by_torch(program, signature.model_copy(update={"outputs": specs}))
    return _renamed(model, names, {name: f"{name}:inner" for name in own} | {new: old for old, new in own.items()})


def _renamed(
    model: onnx.ModelProto, names: Mapping[str, str], called: Mapping[str, str]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A model with other names of tensors, and its record of layers."""
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [called.get(name, name) for name in field]
    for value in model.graph.output:
        value.name = called.get(value.name, value.name)
    return model, {called.get(name, name): node for name, node in names.items()}


def _by_torch(program: ExportedProgram, signature: Signature) -> tuple[onnx.ModelProto, dict[str, str]]:
    """What torch makes of a program."""
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=[spec.name for spec in signature.inputs],
        output_names=[spec.name for spec in signature.outputs],
        external_data=False,
        verbose=False,
    )
    if exported is None or exported.exported_program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = "batch"
    return _bare(model), layers.named(model, program, exported.exported_program, signature)


def _traced(path: Path, signature: Signature) -> onnx.ModelProto:
    """Export a program by running it once, for one sample at a time."""
    with TemporaryDirectory() as folder:
        torch.onnx.export(
            programs.network(programs.at_batch_one(programs.load(path), signature)),
            programs.samples(signature, 1),
            Path(folder, NAME),
            dynamo=False,
            input_names=[spec.name for spec in signature.inputs],
            output_names=[spec.name for spec in signature.outputs],
            opset_version=TRACED_OPSET,
        )
        return _bare(onnx.load(Path(folder, NAME)))


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes on every node: they double a small file, and hold class names and paths."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    for part in (bare, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return bare
