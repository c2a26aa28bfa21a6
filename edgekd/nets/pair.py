"""A trained student and its teacher as networks that can be looked into, with what each takes."""

from torch import nn

from edgekd.errors import EdgekdError
from edgekd.nets import networks
from edgekd.nets.inference import Logits
from edgekd.plugins import Oracle
from edgekd.results import Checkpoint, Signature, Splits
from edgekd.spec import Teacher
from edgekd.workspace import Workspace


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


def inner(network: nn.Module) -> nn.Module:
    """The user's own network, without what edgekd puts around a teacher's."""
    return network.network if isinstance(network, Logits) else network
