"""Turn a network into a program: the one file that every target's format is made from."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.nets import inference, networks, programs, sizes, teaching, untrained
from edgekd.plugins import OnnxFile, Oracle
from edgekd.results import Checkpoint, File, Program, Signature, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Teacher
from edgekd.steps import Export
from edgekd.workspace import Workspace

VERSION = 2
PACKAGES = ("torch", "safetensors")

# torch writes a file's name into it, so this is the same for every program
NAME = "student.pt2"
ONNX_NAME = "student.onnx"
GOLDEN_ROWS = 8

Arrays = Mapping[str, NDArray[np.float32]]
Answer = Callable[[Mapping[str, NDArray[Any]], NDArray[Any], str], NDArray[np.float32]]


def run(step: Export, out: Workspace) -> Program:
    """Export a network in eval mode, and keep torch's own outputs as what every target is compared with.

    Raises UsageError for a teacher without a network, one that torch.export cannot follow, and outputs that do not fit
    the classes.
    """
    # sums in another order differ in their last bits, and the same step shall give the same bytes
    torch.set_num_threads(1)
    torch.manual_seed(step.seed)
    if isinstance(step.source, Teacher):
        wanted = networks.signature(step.splits, step.source.image, out)
        oracle = _oracle(step, step.source, wanted, out)
        if oracle.onnx is not None:
            return _adopted(step, out, oracle, oracle.onnx, wanted)
        return _traced(step, out, _module(oracle), wanted, "teacher")
    network, wanted = _student(step.source, step.splits, out)
    return _traced(step, out, network, wanted, "student")


def _traced(step: Export, out: Workspace, network: nn.Module, wanted: Signature, where: str) -> Program:
    """The program of a torch network."""
    feed = Feed(out, step.splits, "validation", wanted, augment=False, seed=step.seed)
    first = feed.batch(np.arange(min(programs.TRACED_BATCH, feed.count)))
    size = sizes.size(network, {name: torch.tensor(values[:1]) for name, values in first.items()}, wanted)
    program, signature = programs.trace(network, wanted, first, where)
    programs.write(program, out.path(NAME))
    limit = inference.CHUNK if programs.dynamic(signature) else 1

    def outputs(batch: Arrays) -> Arrays:
        return _outputs(network, batch, signature, limit)

    return Program(
        file=out.file(NAME),
        signature=signature,
        golden=_golden(step, out, outputs, feed, signature),
        reference=_reference(out, inference.answers(network, signature, limit), feed, signature, where),
        size=size,
        digest=programs.digest(program),
        trained=not isinstance(step.source, Architecture),
    )


def _adopted(step: Export, out: Workspace, oracle: Oracle, file: OnnxFile, wanted: Signature) -> Program:
    """The program that an ONNX file of the user's own is."""
    format = plugins.find("formats", "onnx")
    signature = format.adopt(file, wanted, out.path(ONNX_NAME))
    feed = Feed(out, step.splits, "validation", wanted, augment=False, seed=step.seed)

    def outputs(batch: Arrays) -> Arrays:
        return {signature.outputs[0].name: oracle.outputs(batch, np.arange(0), "validation")}

    return Program(
        file=out.file(ONNX_NAME),
        signature=signature,
        golden=_golden(step, out, outputs, feed, signature),
        reference=_reference(out, oracle.outputs, feed, signature, "teacher"),
        size=None,
        digest=format.digest(out.path(ONNX_NAME)),
        trained=True,
    )


def _student(source: Checkpoint | Architecture, splits: Splits, out: Workspace) -> tuple[nn.Module, Signature]:
    """The student to export, with its weights if it was trained, and what it takes and gives."""
    architecture = source if isinstance(source, Architecture) else source.architecture
    signature = networks.signature(splits, architecture.image, out)
    network = networks.build(architecture, signature)
    if isinstance(source, Checkpoint):
        networks.load_weights(network, out.locate(source.weights))
    else:
        untrained.unsettle(network)
    return network, signature


def _oracle(step: Export, teacher: Teacher, signature: Signature, out: Workspace) -> Oracle:
    """The loaded teacher. Raises UsageError for one that no target can be made from."""
    oracle = teaching.oracle(teacher, step.splits, signature, out)
    if oracle.module is None and oracle.onnx is None:
        hint = "The build goes on without it: its soft targets do not need a file for a target"
        raise UsageError(Problem("teacher", f"it cannot be exported: {oracle.why_no_module}", hint))
    return oracle


def _module(oracle: Oracle) -> nn.Module:
    assert oracle.module is not None
    return oracle.module


def _reference(out: Workspace, answer: Answer, feed: Feed, signature: Signature, where: str) -> File:
    """The network's own first output over the whole validation part, (N, classes) float32."""
    pieces = np.array_split(np.arange(feed.count), max(1, -(-feed.count // inference.CHUNK)))
    outputs = np.concatenate([answer(feed.batch(rows), rows, "validation") for rows in pieces])
    inference.check_outputs(outputs, feed.count, len(signature.columns) or len(signature.classes) or None, where)
    return out.save("reference.npy", outputs)


def _golden(
    step: Export, out: Workspace, outputs: Callable[[Arrays], Arrays], feed: Feed, signature: Signature
) -> File:
    """The first validation samples as stored, as prepared, and what the network makes of them."""
    rows = np.arange(min(GOLDEN_ROWS, feed.count))
    batch = feed.batch(rows)
    stored = {s.name: out.load(step.splits.parts["validation"].inputs[s.name])[rows] for s in signature.inputs}
    arrays = {f"raw:{name}": values for name, values in stored.items()}
    arrays |= {f"input:{name}": values for name, values in batch.items()}
    arrays |= {f"output:{name}": values for name, values in outputs(batch).items()}
    np.savez(out.path("golden.npz"), allow_pickle=False, **arrays)
    return out.file("golden.npz")


def _outputs(network: nn.Module, batch: Arrays, signature: Signature, limit: int) -> Arrays:
    """Every output of the signature, by name."""
    with torch.inference_mode():
        parts = [networks.forward(network, piece, signature) for piece in inference.pieces(batch, limit)]
    return {s.name: torch.cat([part[s.name] for part in parts]).float().numpy() for s in signature.outputs}
