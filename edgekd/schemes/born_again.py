"""Born-again networks: a trained student teaches a new one of its own kind, for some generations.

The first generation learns from the teacher, each further one, from new initial weights, from the one before. The
generation that is best on the validation samples ships. Source: Furlanello et al., "Born-again neural networks", ICML
2018, https://arxiv.org/abs/1805.04770, section 3.1. It helps where a student is not too small for what it is taught;
each generation costs a whole training and one labelling.
"""

from pydantic import Field

from edgekd.spec import Value

VERSION = 1
TASK = "any"
COURSE = {"generations": 1}


class Settings(Value):
    """`generations` are trained after the one that learned from the teacher."""

    generations: int = Field(default=1, ge=1, le=5)
