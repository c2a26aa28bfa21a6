"""Changing exported programs: something else put behind an input, and the graph exported again.

The program's own graph is changed, so that every node keeps its place in the user's network.
"""

from collections.abc import Callable

import torch
from torch import fx
from torch.export import Dim, ExportedProgram

from edgekd.nets import programs
from edgekd.results import Signature

FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)
# Where what stands before raw inputs is among the modules of a program.
FRONTS = "raw"


def with_pictures(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """The program for one sample, whose raw pixels come as float32 levels, channels first: as Core ML hands out images.

    Nothing is lost: levels are whole numbers up to 255.
    """
    module = opened(program)
    specs = []
    for place, spec in zip(places(module), signature.inputs, strict=True):
        if spec.inside is not None:
            put_behind(place, _channels_last)
            spec = spec.model_copy(update={"shape": tuple(spec.shape[i] for i in FIRST), "dtype": "float32"})
        specs.append(spec)
    # torch noted which type it saw, and would refuse another
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)
    return exported(module, programs.with_batch(signature.model_copy(update={"inputs": tuple(specs)}), 1))


def fronts(program: ExportedProgram) -> frozenset[str]:
    """The nodes that stand before raw inputs."""
    paths = {
        node.name: [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        for node in program.graph.nodes
    }
    return frozenset(name for name, own in paths.items() if any(path.startswith(f"{FRONTS}.") for path in own))


def opened(program: ExportedProgram) -> fx.GraphModule:
    """A program as a module that can be changed: without what checks its inputs, which are others then."""
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            module.graph.erase_node(node)
    return module


def places(module: fx.GraphModule) -> list[fx.Node]:
    """The inputs of a module, in its order."""
    return [node for node in module.graph.nodes if node.op == "placeholder"]


def put_behind(place: fx.Node, make: Callable[[fx.Node], fx.Node]) -> None:
    """Have all that reads an input read what is made of it instead."""
    with place.graph.inserting_after(place):
        made = make(place)
    place.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)


def _channels_last(place: fx.Node) -> fx.Node:
    return place.graph.call_function(torch.ops.aten.permute.default, (place, list(LAST)))


def exported(module: fx.GraphModule, signature: Signature) -> ExportedProgram:
    """A changed module as a program again, which takes the inputs of `signature`."""
    module.recompile()
    any_batch = programs.dynamic(signature)
    given = programs.samples(signature, programs.TRACED_BATCH if any_batch else 1)
    shapes = tuple({0: Dim("batch", min=1)} for _ in given) if any_batch else None
    program = torch.export.export(module, given, dynamic_shapes=shapes)
    for node in program.graph.nodes:
        # paths of the machine that exported it, which nobody else needs
        node.meta.pop("stack_trace", None)
    return program
