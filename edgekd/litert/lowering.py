"""Programs lowered to float32 files by litert-torch."""

import operator
from collections.abc import Mapping
from typing import Any

import litert_torch
import numpy as np
from numpy.typing import NDArray
from torch import fx
from torch.export import Dim, ExportedProgram

from edgekd.litert import content as files
from edgekd.litert import provenance
from edgekd.nets import programs
from edgekd.results import Signature

Values = Mapping[str, NDArray[Any]]


def float32(program: ExportedProgram, signature: Signature, rows: Values) -> tuple[bytes, Signature, dict[str, str]]:
    """A float32 file, its signature, and which of its tensors hold which nodes' values.

    It has a batch dimension of any size where that works and costs no operator, else it is for one sample.
    """
    model, own = _lowered(program, signature, rows)
    narrow = programs.without_int64(own)
    layers = provenance.named(model, program, narrow, few(own, rows))
    return files.with_short_names(model), narrow, layers


def _lowered(program: ExportedProgram, signature: Signature, rows: Values) -> tuple[bytes, Signature]:
    if programs.dynamic(signature):
        try:
            model = _lower(program, signature)
            if _shapes_are_known(model) and _runs(model, programs.without_int64(signature), rows):
                return model, signature
        # what the converter raises for an operator whose lowering wants every size in numbers
        except (TypeError, ValueError, RuntimeError, AssertionError):
            pass
    one = programs.with_batch(signature, 1)
    return _lower(program, one), one


def _lower(program: ExportedProgram, signature: Signature) -> bytes:
    """Run the converter on a program, for the batch of the signature."""
    any_batch = programs.dynamic(signature)
    batch = programs.TRACED_BATCH if any_batch else signature.inputs[0].shape[0]
    arguments = dict(zip((s.name for s in signature.inputs), programs.samples(signature, batch), strict=True))
    shapes = {name: {0: Dim("batch", min=1)} for name in arguments} if any_batch else None
    converted = litert_torch.convert(_named(program, signature), sample_kwargs=arguments, dynamic_shapes=shapes)
    model: bytes = converted.model_content()
    return model


def _named(program: ExportedProgram, signature: Signature) -> fx.GraphModule:
    """A module that takes and returns tensors by our names; litert-torch puts those into the file's signature."""
    graph = fx.Graph()
    inputs = tuple(graph.placeholder(spec.name) for spec in signature.inputs)
    outputs = graph.call_module("program", inputs)
    graph.output({s.name: graph.call_function(operator.getitem, (outputs, i)) for i, s in enumerate(signature.outputs)})
    module = fx.GraphModule({"program": provenance.traced(program)}, graph)
    # an exported module refuses eval(), since its mode is fixed in the graph; this silences a warning about it
    module.training = False
    return module


def _shapes_are_known(model: bytes) -> bool:
    """Does the graph do without computing shapes at run time? Where it does not, XNNPACK takes only parts of it."""
    return files.Kind.SHAPE not in files.kinds(files.read(model))


def _runs(model: bytes, signature: Signature, rows: Values) -> bool:
    """Does the model treat a few samples together as it does each for itself?"""
    several = few(signature, rows, programs.TRACED_BATCH)
    together = files.run(model, several)
    for row in range(len(next(iter(several.values())))):
        alone = files.run(model, {name: values[row : row + 1] for name, values in several.items()})
        if not all(np.allclose(alone[name][0], together[name][row], 1e-4, 1e-4) for name in alone):
            return False
    return True


def few(signature: Signature, rows: Values, count: int = provenance.SAMPLES) -> dict[str, NDArray[Any]]:
    """A few calibration samples; without any, noise, and ones for integers, which are valid as ids and as masks."""
    noise = np.random.default_rng(0)
    return {
        spec.name: (
            rows[spec.name][:count]
            if rows
            else noise.normal(size=(count, *spec.shape[1:]))
            if spec.dtype.startswith("float")
            else np.ones((count, *spec.shape[1:]))
        ).astype(spec.dtype)
        for spec in signature.inputs
    }
