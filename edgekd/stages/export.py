"""Turn a network into a program: the one file that every target's format is made from."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.errors import Problem, UsageError
from edgekd.nets import inference, networks, programs, sizes
from edgekd.results import Checkpoint, File, Program, Signature
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Teacher
from edgekd.steps import Export
from edgekd.workspace import Workspace

VERSION = 1
PACKAGES = ("torch", "safetensors")

# torch writes a file's name into it, so this is the same for every program
NAME = "student.pt2"
GOLDEN_ROWS = 8


def run(step: Export, out: Workspace) -> Program:
    """Export a network in eval mode, and keep torch's own outputs as what every target is compared with.

    Raises UsageError for a teacher without a network, one that torch.export cannot follow, and outputs that do not fit
    the classes.
    """
    # sums in another order differ in their last bits, and the same step shall give the same bytes
    torch.set_num_threads(1)
    torch.manual_seed(step.seed)
    where = "teacher" if isinstance(step.source, Teacher) else "student"
    network, wanted = _network(step, out)
    feed = Feed(out, step.splits, "validation", wanted, augment=False, seed=step.seed)
    first = feed.batch(np.arange(min(programs.TRACED_BATCH, feed.count)))
    size = sizes.size(network, {name: torch.tensor(values[:1]) for name, values in first.items()}, wanted)
    program, signature = programs.trace(network, wanted, first, where)
    programs.write(program, out.path(NAME))
    limit = inference.CHUNK if programs.dynamic(signature) else 1
    return Program(
        file=out.file(NAME),
        signature=signature,
        golden=_golden(step, out, network, feed, signature, limit),
        reference=_reference(out, network, feed, signature, limit, where),
        size=size,
        digest=programs.digest(program),
        trained=not isinstance(step.source, Architecture),
    )


def _network(step: Export, out: Workspace) -> tuple[nn.Module, Signature]:
    """The network to export, with its weights, and what it takes and gives."""
    match step.source:
        case Checkpoint(architecture=architecture, weights=weights):
            signature = networks.signature(step.splits, architecture.image, out)
            network = networks.build(architecture, signature)
            networks.load_weights(network, out.locate(weights))
        case Architecture(image=image) as architecture:
            signature = networks.signature(step.splits, image, out)
            network = networks.build(architecture, signature)
        case Teacher() as teacher:
            signature = networks.signature(step.splits, teacher.image, out)
            network = _teacher(teacher, signature)
    return network, signature


def _teacher(teacher: Teacher, signature: Signature) -> nn.Module:
    kind, settings = networks.configured("teachers", teacher.source, "teacher")
    oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
    if oracle.module is None:
        hint = "The build goes on without it: its soft targets do not need a file for a target"
        raise UsageError(Problem("teacher", f"it cannot be exported: {oracle.why_no_module}", hint))
    module: nn.Module = oracle.module
    return module


def _reference(out: Workspace, network: nn.Module, feed: Feed, signature: Signature, limit: int, where: str) -> File:
    """torch's first output over the whole validation part, (N, classes) float32."""
    answer = inference.answers(network, signature, limit)
    pieces = np.array_split(np.arange(feed.count), max(1, -(-feed.count // inference.CHUNK)))
    outputs = np.concatenate([answer(feed.batch(rows), rows, "validation") for rows in pieces])
    inference.check_outputs(outputs, feed.count, len(signature.classes) or None, where)
    return out.save("reference.npy", outputs)


def _golden(step: Export, out: Workspace, network: nn.Module, feed: Feed, signature: Signature, limit: int) -> File:
    """The first validation samples as stored, as prepared, and what torch makes of them."""
    rows = np.arange(min(GOLDEN_ROWS, feed.count))
    batch = feed.batch(rows)
    stored = {s.name: out.load(step.splits.parts["validation"].inputs[s.name])[rows] for s in signature.inputs}
    arrays = {f"raw:{name}": values for name, values in stored.items()}
    arrays |= {f"input:{name}": values for name, values in batch.items()}
    arrays |= {f"output:{name}": values for name, values in _outputs(network, batch, signature, limit).items()}
    np.savez(out.path("golden.npz"), allow_pickle=False, **arrays)
    return out.file("golden.npz")


def _outputs(
    network: nn.Module, batch: Mapping[str, NDArray[np.float32]], signature: Signature, limit: int
) -> dict[str, NDArray[np.float32]]:
    """Every output of the signature, by name."""
    with torch.inference_mode():
        parts = [networks.forward(network, piece, signature) for piece in inference.pieces(batch, limit)]
    return {s.name: torch.cat([part[s.name] for part in parts]).float().numpy() for s in signature.outputs}
