"""A trained student and its teacher as networks that can be looked into, with what each takes."""

import math
import os

from torch import nn

from edgekd.errors import EdgekdError
from edgekd.nets import networks
from edgekd.nets.inference import Logits
from edgekd.plugins import Oracle
from edgekd.results import Checkpoint, Signature, Splits
from edgekd.spec import Teacher
from edgekd.workspace import Workspace

# Samples of at most so many numbers are small: a colour image of 64 pixels a side.
SMALL = 3 * 64 * 64


def trained(checkpoint: Checkpoint, splits: Splits, out: Workspace) -> tuple[nn.Module, Signature]:
    """A student with its trained weights, in eval mode."""
    signature = networks.signature(splits, checkpoint.architecture.image, out)
    network = networks.build(checkpoint.architecture, signature)
    networks.load_weights(network, out.locate(checkpoint.weights))
    return network.eval(), signature


def oracle(teacher: Teacher, splits: Splits, out: Workspace) -> tuple[Oracle, Signature]:
    """A teacher as its plug-in loads it."""
    signature = networks.signature(splits, teacher.image, out)
    kind, settings = networks.configured("teachers", teacher.source, "teacher")
    loaded: Oracle = kind.load(settings, networks.paths(teacher.source), signature, teacher.trust)
    return loaded, signature


def teaching(teacher: Teacher, splits: Splits, out: Workspace) -> tuple[nn.Module, Signature]:
    """A teacher's torch network, in eval mode. Raises EdgekdError for one that has none, and says why."""
    loaded, signature = oracle(teacher, splits, out)
    if loaded.module is None:
        raise EdgekdError(f"the teacher cannot be looked into: {loaded.why_no_module}")
    return loaded.module.eval(), signature


def threads(signature: Signature) -> int:
    """How many threads a network that takes such samples is worth: a small one is done before several have found
    together, above all where others keep the cores busy."""
    numbers = sum(math.prod(spec.shape[1:]) for spec in signature.inputs)
    return 1 if numbers <= SMALL else os.cpu_count() or 1


def inner(network: nn.Module) -> nn.Module:
    """The user's own network, without what edgekd puts around a teacher's."""
    return network.network if isinstance(network, Logits) else network
