"""Knowledge distillation: match the teacher's softened class probabilities.

Sources: Hinton et al., "Distilling the Knowledge in a Neural Network", section 2, https://arxiv.org/abs/1503.02531;
`standardize` as in Sun et al., "Logit Standardization in Knowledge Distillation", https://arxiv.org/abs/2403.01427.
"""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS = ("logits",)

# Logits that vary less than this are all alike; they are left at zero.
LEAST = 1e-7


class Settings(Value):
    """`temperature` divides the logits of both networks before the softmax: 1 is as they are, more is softer.

    With `standardize` the logits of each sample are first brought to mean 0 and standard deviation 1, in both networks:
    a small student then learns their order and distances, not their size.
    """

    temperature: float = Field(default=1.0, gt=0.0)
    standardize: bool = False


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """T^2 * KL(teacher_T || student_T), mean over the batch; a scalar, in float32.

    T^2 keeps the size of the gradient as the temperature changes (end of the paper's section 2).
    """
    # cached soft targets are float16, and autocast gives bfloat16 logits: a softmax in either would lose the tail
    logits = outputs["logits"].float(), batch.soft_targets("kd")
    temperature = settings.temperature
    student, teacher = (_standard(values) for values in logits) if settings.standardize else logits
    student, teacher = (F.log_softmax(values / temperature, dim=-1) for values in (student, teacher))
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def _standard(logits: Tensor) -> Tensor:
    """Logits of each sample with mean 0 and, over its classes, standard deviation 1."""
    centred = logits - logits.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).clamp(min=LEAST**2).sqrt()
    return centred / deviation
