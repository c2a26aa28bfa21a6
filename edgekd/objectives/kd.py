"""Knowledge distillation: match the teacher's softened class probabilities.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", section 2, https://arxiv.org/abs/1503.02531.
"""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from edgekd.errors import EdgekdError
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
NEEDS_TEACHER = True


class Settings(Value):
    """`temperature` divides the logits of both networks before the softmax: 1 is as they are, more is softer."""

    temperature: float = Field(default=1.0, gt=0.0)


def loss(settings: Settings, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """T^2 * KL(teacher_T || student_T), mean over the batch; a scalar, in float32.

    T^2 keeps the size of the gradient as the temperature changes (end of the paper's section 2).
    """
    if batch.teacher is None:
        raise EdgekdError("The objective kd needs soft targets, and none were given; label the training data first")
    temperature = settings.temperature
    # cached soft targets are float16, and autocast gives bfloat16 logits: a softmax in either would lose the tail
    student = F.log_softmax(outputs["logits"].float() / temperature, dim=-1)
    teacher = F.log_softmax(batch.teacher.float() / temperature, dim=-1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)
