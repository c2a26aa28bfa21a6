"""Born-again networks: a trained student teaches a new one of its own kind, for some generations.

The first generation learns from the teacher, each further one, from new initial weights, from the one before. The
generation that is best on the validation samples ships. Source: Furlanello et al., "Born-again neural networks", ICML
2018, https://arxiv.org/abs/1805.04770, section 3.1. It helps where a student is not too small for what it is taught;
each generation costs a whole training and one labelling.
"""

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field
from torch import Tensor

from edgekd import plugins
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
TASK = "any"
USES = ("schemes.offline",)
COURSE = {"generations": 1}


class Settings(Value):
    """`generations` are trained after the one that learned from the teacher."""

    generations: int = Field(default=1, ge=1, le=5)


def loss(
    settings: Settings,
    outputs: Sequence[Mapping[str, Tensor]],
    batch: Batch,
    terms: Sequence[Callable[[Mapping[str, Tensor], Batch], Tensor]],
) -> Tensor:
    """Each generation is trained offline: the sum of the terms; a scalar."""
    offline = plugins.find("schemes", "offline")
    total: Tensor = offline.loss(offline.Settings(), outputs, batch, terms)
    return total
