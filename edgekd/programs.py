"""Exported networks as .pt2 files: the one file that leaves torch.

A .pt2 is executable: load only those that edgekd wrote itself (the store checks their digests) or that the user trusts.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from edgekd.results import Signature

# torch.export treats sizes 0 and 1 as constants, so a batch that shall vary is traced with another size.
TRACED_BATCH = 3


def load(path: Path) -> ExportedProgram:
    """Read a program that edgekd wrote."""
    return torch.export.load(path)


def dynamic(signature: Signature) -> bool:
    """Does a program with this signature run with any number of samples at once?"""
    return all(spec.shape[0] == -1 for spec in (*signature.inputs, *signature.outputs))


def samples(signature: Signature, batch: int) -> tuple[Tensor, ...]:
    """Inputs of the right shapes and types, all ones: valid as ids and as masks alike."""
    return tuple(torch.ones((batch, *spec.shape[1:]), dtype=getattr(torch, spec.dtype)) for spec in signature.inputs)


def with_batch(signature: Signature, batch: int) -> Signature:
    """The same signature with another batch dimension: -1 for any, else a fixed number."""
    inputs, outputs = (
        tuple(spec.model_copy(update={"shape": (batch, *spec.shape[1:])}) for spec in specs)
        for specs in (signature.inputs, signature.outputs)
    )
    return signature.model_copy(update={"inputs": inputs, "outputs": outputs})


def at_batch_one(program: ExportedProgram, signature: Signature) -> ExportedProgram:
    """The same program for one sample at a time, for runtimes that want all shapes fixed."""
    if not dynamic(signature):
        return program
    return torch.export.export(program.module(), samples(signature, 1))
