"""ExecuTorch: Android, iOS, Linux boards, this computer; on processors, by XNNPACK.

int8 is static: signed 8-bit activations, symmetric weights per channel, of what XNNPACKQuantizer knows (convolutions,
linear layers, sums, products, concatenations). All ranges are the smallest and largest values over the calibration
part. The batch is fixed to one sample, since XNNPACK plans its memory for fixed shapes.

XNNPACK keeps the values inside its partitions to itself. So the program that a file was made of is kept beside it with
its layers as further outputs, quantized the same, and torch runs that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
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

from edgekd.divergence import walk
from edgekd.errors import EdgekdError, Problem, Unsuited
from edgekd.nets import layers, programs
from edgekd.plugins import Conversion, Converted, Evaluation, Opened
from edgekd.results import Signature, TensorSpec
from edgekd.spec import Precision, Value

VERSION = 3
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
BESIDE = ("layers.pt2",)

NAME = "student.pte"
FIXED_BATCH = "Runs one sample at a time: XNNPACK plans its memory for fixed shapes."
IN_FLOAT = "Operators that stay float32, for the sake of accuracy: {}."
MASKS = "Sums and products with the large numbers of a mask stay float32: {}."
NOTES: dict[Precision, tuple[str, ...]] = {
    "float32": (),
    "int8": ("Inputs and outputs stay float32, and so does what XNNPACK's quantizer has no 8-bit operator for.",),
}
NOTHING = "no operator of this network can compute in 8 bits"
ALONE = "{} is not there: XNNPACK shows no layers of {}, and only what was made beside it can tell them"
# the smallest scale, as the quantizer's own configuration has it
EPS = 2**-12
QUANTIZED, DEQUANTIZED = "quantize_per_tensor", "dequantize_per_tensor"
WEIGHTED = ("conv", "linear")
# what XNNPACK computes as one with the convolution, linear layer or sum before it
JOINED = ("relu", "relu6", "hardtanh", "clamp", "batch_norm")
# sums of so large numbers are scores with a mask: one range of 8 bits for both has nothing left for the scores
MASKED, SUMS = 1e4, ("add", "sub", "where", "masked_fill", "mul")


class Settings(Value):
    """No settings."""


class Quantizer(XNNPACKQuantizer):  # type: ignore[misc]  # executorch has no types
    """XNNPACK's quantizer, but for two of its faults.

    It makes floats of numbers that are added to ids, or multiply them: they stay whole. A weight that several layers
    share would have 8 bits in the first alone, which XNNPACK does not load: each gets its own copy.
    """

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        made: fx.GraphModule = super().transform_for_annotation(model)
        for node in [node for node in made.graph.nodes if node.op == "call_function"]:
            for constant in [one for one in node.all_input_nodes if one.op == "get_attr"]:
                _mended(made, node, constant)
        made.recompile()
        return made


def convert(conversion: Conversion) -> Converted:
    """Write student.pte. It has no names: inputs and outputs are in the order of the signature, for one sample."""
    signature = programs.with_batch(conversion.signature, 1)
    whole = programs.load(conversion.program)
    program = programs.at_batch_one(whole, conversion.signature)
    notes = [FIXED_BATCH] if programs.dynamic(conversion.signature) else []
    notes += NOTES[conversion.precision]
    module, made = program.module(), program
    if conversion.precision == "int8":
        in_float = _stays_float(whole, program, conversion.in_float)
        notes += [IN_FLOAT.format(len(in_float))] if in_float else []
        masked = _masked(program, conversion)
        notes += [MASKS.format(len(masked))] if masked else []
        module = _quantized(program, conversion.calibration, signature, in_float | masked)
        made = torch.export.export(module, programs.samples(signature, 1))
    lowered = to_edge_transform_and_lower(made, partitioner=[XnnpackPartitioner()]).to_executorch()
    (conversion.folder / NAME).write_bytes(lowered.buffer)
    shown = _shown(whole, program, module)
    programs.write(_with_layers(module, shown.values(), signature), conversion.folder / BESIDE[0])
    names = {f"layer_{number}": node for number, node in enumerate(shown)}
    return Converted(NAME, signature, f"executorch {version('executorch')}", tuple(notes), names)


def opened(file: Path, signature: Signature, layers: Mapping[str, str], folder: Path) -> Opened:
    """What the file was made of, run by torch; raises EdgekdError for a file that was made elsewhere."""
    beside = file.with_name(BESIDE[0])
    if not beside.is_file():
        raise EdgekdError(ALONE.format(beside.name, file))
    program = programs.load(beside)
    (given,) = (node.args[0] for node in program.graph.nodes if node.op == "output")
    shapes = [tuple(node.meta["val"].shape) for node in given[len(signature.outputs) :]]
    each = zip(layers, shapes, strict=True)
    specs = tuple(TensorSpec(name=name, shape=shape if shape[:1] == (1,) else (1, *shape)) for name, shape in each)
    shown = signature.model_copy(update={"outputs": (*signature.outputs, *specs)})
    return Opened(BESIDE[0], shown, layers, _evaluation(program, shown))


def _evaluation(program: ExportedProgram, signature: Signature) -> Evaluation:
    run, names = program.module(), [spec.name for spec in signature.outputs]

    def evaluate(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        rows = [torch.tensor(inputs[spec.name]) for spec in signature.inputs]
        with torch.no_grad():
            each = [run(*(values[i : i + 1] for values in rows)) for i in range(len(rows[0]))]
        return {name: _together([one[number] for one in each]) for number, name in enumerate(names)}

    return evaluate


def _together(each: Sequence[torch.Tensor]) -> NDArray[Any]:
    """Values of several samples, sample first; one of a first size of one holds its sample there."""
    values: NDArray[Any] = (torch.cat if each[0].shape[:1] == (1,) else torch.stack)(list(each)).numpy()
    return values


def _mended(module: fx.GraphModule, node: fx.Node, constant: fx.Node) -> None:
    """Give an operator a constant that XNNPACK can have, where this one is none."""
    value = attrgetter(str(constant.target))(module)
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():  # a part of the graph has a name too
        return
    if _whole(node):
        value = value.to(node.meta["val"].dtype)
    elif _weighted(node) and next(iter(constant.users)) is not node:
        value = value.clone()
    else:
        return
    name = f"_{constant.name}_of_{node.name}"
    module.register_buffer(name, value)
    with module.graph.inserting_before(node):
        own = module.graph.get_attr(name)
    own.meta = dict(constant.meta)
    node.replace_input_with(constant, own)


def _quantized(
    program: ExportedProgram, calibration: Mapping[str, NDArray[Any]], signature: Signature, in_float: frozenset[str]
) -> fx.GraphModule:
    """The program with 8-bit weights and activations. Raises Unsuited where nothing of it can have any."""
    known = get_symmetric_quantization_config(is_per_channel=True)
    ranges = replace(known.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=EPS))
    quantizer = Quantizer().set_global(replace(known, input_activation=ranges, output_activation=ranges))
    quantizer.set_filter_function(lambda node: node.name not in in_float and _bears(node))
    watched = prepare_pt2e(_guarded(program.module()), quantizer)
    rows = [torch.tensor(calibration[spec.name]) for spec in signature.inputs]
    with torch.no_grad():
        for i in range(len(rows[0])):
            watched(*(values[i : i + 1] for values in rows))
    module: fx.GraphModule = convert_pt2e(watched)
    if not any(QUANTIZED in str(node.target) for node in module.graph.nodes):
        raise Unsuited(Problem("executorch int8", NOTHING, "Use float32"))
    return module


def _guarded(module: fx.GraphModule) -> fx.GraphModule:
    """Have a norm that is not a convolution's only reader read a copy: torchao would fold it in for all readers."""
    for node in [node for node in module.graph.nodes if "batch_norm" in str(node.target)]:
        source = node.args[0]
        if len(source.users) > 1:
            with module.graph.inserting_before(node):
                copy = module.graph.call_function(torch.ops.aten.clone.default, (source,))
            copy.meta = dict(source.meta)
            node.replace_input_with(source, copy)
    module.recompile()
    return module


def _masked(program: ExportedProgram, conversion: Conversion) -> frozenset[str]:
    """Sums and products with a mask's large numbers, on any calibration sample."""
    rows, large = [conversion.calibration[spec.name] for spec in conversion.signature.inputs], set[str]()
    for i in range(len(rows[0])):
        said = layers.values(program, [values[i : i + 1] for values in rows])
        large |= {name for name, values in said.items() if not (abs(values) < MASKED).all()}
    nodes = walk.nodes(program).values()
    return frozenset(node.name for node in nodes if node.operator in SUMS and large & {node.name, *node.parents})


def _shown(whole: ExportedProgram, program: ExportedProgram, module: fx.GraphModule) -> dict[str, fx.Node]:
    """By the name of a node of the program: the node of a module made of it that holds the same value in the file."""
    origin = layers.origins(whole, program) if program is not whole else {}
    names = {origin.get(node.name, node.name): node.name for node in program.graph.nodes}
    made = {node.name: node for node in module.graph.nodes}
    sources = {node.name: node for node in whole.graph.nodes}
    nodes, found = walk.nodes(whole), {}
    for name, node in nodes.items():
        source = sources[name]
        followed = [nodes[user.name].operator for user in source.users if user.name in nodes]
        joined = len(source.users) == 1 and set(followed) <= set(JOINED) and followed
        if joined or not (node.counts and node.varies and _is_float(source)):
            continue
        folded = node.operator == "batch_norm" and names.get(name) not in made
        holder = made.get(names.get(source.args[0].name if folded else name, ""))
        if holder is not None:
            found[name] = _read(holder)
    return found


def _read(node: fx.Node) -> fx.Node:
    """What the next layer reads of a node: in 8 bits and back, where it has them."""
    for user in node.users:
        if QUANTIZED in str(user.target):
            return next((one for one in user.users if DEQUANTIZED in str(one.target)), node)
    return node


def _with_layers(module: fx.GraphModule, shown: Iterable[fx.Node], signature: Signature) -> ExportedProgram:
    """The program of a module that gives these of its values after its outputs."""
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    output.args = ((*output.args[0], *shown),)
    module.graph.set_codegen(fx.graph.CodeGen())
    module.recompile()
    return torch.export.export(module, programs.samples(signature, 1))


def _weighted(node: fx.Node) -> bool:
    return node.op == "call_function" and any(kind in str(node.target) for kind in WEIGHTED)


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _bears(node: fx.Node) -> bool:
    """Whether XNNPACK can have an operator in 8 bits.

    Not one on whole numbers, such as ids and places, which its quantizer would round too; nor one on a single number or
    with a weight that the network computes, at which it fails.
    """
    computed = [one for one in node.all_input_nodes if one.op == "call_function" and _is_float(one)]
    if any(map(_whole, (node, *node.all_input_nodes))) or not all(one.meta["val"].dim() for one in computed):
        return False
    return not (_weighted(node) and node.args[1] in computed)


def _whole(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and not value.is_floating_point()


def _stays_float(whole: ExportedProgram, program: ExportedProgram, wanted: frozenset[str]) -> frozenset[str]:
    """The operators of a program that give the values of nodes of the whole one, with what each is computed as one."""
    origin = layers.origins(whole, program) if program is not whole else {}
    nodes, found = walk.nodes(program), set[str]()
    for name in nodes:
        if origin.get(name, name) in wanted:
            found.add(name)
            while nodes[name].operator in JOINED and nodes[name].parents[0] in nodes:
                name = nodes[name].parents[0]
                found.add(name)
    return frozenset(found)
