"""ExecuTorch: Android, iOS, Linux boards, this computer; on processors, by XNNPACK.

int8 is static: signed 8-bit activations, symmetric weights per channel, of what XNNPACKQuantizer knows (convolutions,
linear layers, sums, products, concatenations). All ranges are the smallest and largest values over the calibration
part. The batch is fixed to one sample, since XNNPACK plans its memory for fixed shapes.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from executorch.exir import to_edge_transform_and_lower
from numpy.typing import NDArray
from torch import fx
from torch.export import ExportedProgram
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgekd.errors import Problem, Unsuited
from edgekd.nets import layers, programs
from edgekd.plugins import Conversion, Converted
from edgekd.results import Signature
from edgekd.spec import Precision, Value

VERSION = 2
PACKAGES = ("torch", "executorch", "torchao")
EXTRA = "executorch"
# no wheels for macOS on Intel processors
REQUIRES = ("executorch>=1.5,<1.6; sys_platform != 'darwin' or platform_machine == 'arm64'",)
PLATFORMS = ("linux-x86_64", "linux-aarch64", "darwin-arm64", "windows-amd64")
ALIASES = ("pte", "execu-torch")
SUFFIXES = (".pte",)
PRECISIONS = ("float32", "int8")
LACKS = {
    "float16": "edgekd does not make ExecuTorch files in it; ask for int8, or float32",
    "bfloat16": "edgekd does not make ExecuTorch files in it; ask for int8, or float32",
    "int8-full": "ExecuTorch files of edgekd take and give floats; ask for int8",
    "int8-dynamic": "edgekd makes static int8 alone for ExecuTorch; ask for int8",
    "int8-weights": "edgekd makes static int8 alone for ExecuTorch; ask for int8",
    "int4-weights": "edgekd makes static int8 alone for ExecuTorch; ask for int8",
    "palette4": "ExecuTorch has no palettes; ask for int8",
}
UNOPENED = "ExecuTorch's runtime gives outputs alone: XNNPACK keeps the values inside its partitions to itself"

NAME = "student.pte"
FIXED_BATCH = "Runs one sample at a time: XNNPACK plans its memory for fixed shapes."
IN_FLOAT = "Operators that stay float32, for the sake of accuracy: {}."
NOTES: dict[Precision, tuple[str, ...]] = {
    "float32": (),
    "int8": ("Inputs and outputs stay float32, and so does what XNNPACK's quantizer has no 8-bit operator for.",),
}
NOTHING = "no operator of this network can compute in 8 bits"
# the smallest scale, as the quantizer's own configuration has it
EPS = 2**-12
QUANTIZED = "quantize_per_tensor"


class Settings(Value):
    """No settings."""


class Quantizer(XNNPACKQuantizer):  # type: ignore[misc]  # executorch has no types
    """XNNPACK's quantizer, but numbers that are added to ids, or multiply them, stay whole: it makes floats of all."""

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        made: fx.GraphModule = super().transform_for_annotation(model)
        for node in (node for node in made.graph.nodes if _whole(node)):
            for constant in (one for one in node.all_input_nodes if one.op == "get_attr" and not _whole(one)):
                setattr(made, constant.target, getattr(made, constant.target).to(node.meta["val"].dtype))
        return made


def convert(conversion: Conversion) -> Converted:
    """Write student.pte. It has no names: inputs and outputs are in the order of the signature, for one sample."""
    signature = programs.with_batch(conversion.signature, 1)
    whole = programs.load(conversion.program)
    program = programs.at_batch_one(whole, conversion.signature)
    notes = [FIXED_BATCH] if programs.dynamic(conversion.signature) else []
    notes += NOTES[conversion.precision]
    if conversion.precision == "int8":
        in_float = _stays_float(whole, program, conversion.in_float)
        notes += [IN_FLOAT.format(len(in_float))] if in_float else []
        program = _quantized(program, signature, conversion.calibration, in_float)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    (conversion.folder / NAME).write_bytes(lowered.buffer)
    return Converted(NAME, signature, f"executorch {version('executorch')}", tuple(notes))


def _quantized(
    program: ExportedProgram, signature: Signature, calibration: Mapping[str, NDArray[Any]], in_float: frozenset[str]
) -> ExportedProgram:
    """The program with 8-bit weights and activations. Raises Unsuited where nothing of it can have any."""
    known = get_symmetric_quantization_config(is_per_channel=True)
    ranges = replace(known.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=EPS))
    quantizer = Quantizer().set_global(replace(known, input_activation=ranges, output_activation=ranges))
    quantizer.set_filter_function(lambda node: node.name not in in_float and not _counts(node))
    watched = prepare_pt2e(program.module(), quantizer)
    rows = [torch.tensor(calibration[spec.name]) for spec in signature.inputs]
    with torch.no_grad():
        for i in range(len(rows[0])):
            watched(*(values[i : i + 1] for values in rows))
    module = convert_pt2e(watched)
    if not any(QUANTIZED in str(node.target) for node in module.graph.nodes):
        raise Unsuited(Problem("executorch int8", NOTHING, "Use float32"))
    return torch.export.export(module, programs.samples(signature, 1))


def _counts(node: fx.Node) -> bool:
    """Whether an operator works on whole numbers, such as ids and places: XNNPACK's quantizer would round these too."""
    return any(map(_whole, (node, *node.all_input_nodes)))


def _whole(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and not value.is_floating_point()


def _stays_float(whole: ExportedProgram, program: ExportedProgram, wanted: frozenset[str]) -> frozenset[str]:
    """The operators of a program that give the values of nodes of the whole one; a norm's is its convolution's."""
    origin = layers.origins(whole, program) if program is not whole else {}
    found: set[str] = set()
    for node in program.graph.nodes:
        if origin.get(node.name, node.name) in wanted:
            found.add(node.name)
            if "batch_norm" in str(node.target) and isinstance(node.args[0], fx.Node):
                found.add(node.args[0].name)
    return frozenset(found)
