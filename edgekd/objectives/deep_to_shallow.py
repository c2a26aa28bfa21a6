"""Deep to shallow: heads on the student's inner layers learn from labels and from its own deepest layers.

Source: Zhang et al., "Be your own teacher: improve the performance of convolutional neural networks via self
distillation", ICCV 2019, section 3, https://arxiv.org/abs/1905.08094. What a head learns reaches the layers below it,
and none of the deepest, which teach. Squares are means here, not sums, so that `hint` means the same at any size.
"""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd import plugins
from edgekd.errors import Problem, UsageError
from edgekd.nets import matching
from edgekd.nets.inner import Names, Shape
from edgekd.plugins import Batch
from edgekd.spec import Value

VERSION = 1
PACKAGES = ("torch",)
USES = ("objectives.cross_entropy", "objectives.kd")
NEEDS = ()
INNER = "maps"


class Settings(Value):
    """Heads sit at the values of `student`, the shallowest first; the last one has none, and teaches the others.

    Where nothing is named these are the last feature maps at each resolution. A head learns with share `alpha` from
    the deepest output at `temperature`, with the rest from labels; `hint` weighs the distance to the deepest values.
    """

    student: Names = ()
    alpha: float = Field(default=0.3, ge=0.0, le=1.0)
    temperature: float = Field(default=3.0, gt=0.0)
    hint: float = Field(default=0.03, ge=0.0)


class Heads(nn.Module):
    """For each value but the last a bottleneck, which brings it to the shape of the last one, and a classifier."""

    def __init__(self, settings: Settings, values: Sequence[Shape], classes: int) -> None:
        super().__init__()
        *shallow, deepest = values
        self.settings = settings
        self.bottlenecks = nn.ModuleList(_bottleneck(shape, deepest) for shape in shallow)
        self.classifiers = nn.ModuleList(nn.Linear(matching.width(deepest), classes) for _ in shallow)
        labels, soft = (plugins.find("objectives", name) for name in ("cross_entropy", "kd"))
        self._labels, self._label_settings = labels.loss, labels.Settings()
        self._soft, self._soft_settings = soft.loss, soft.Settings(temperature=settings.temperature)

    def forward(self, student: Sequence[Tensor], own: Sequence[Tensor], batch: Batch) -> Tensor:
        """Sum over heads of (1 - alpha) CE + alpha T^2 KL(deepest || head) + hint * mean of (features - deepest)^2.

        `own` holds the student's own logits; neither they nor the last value of `student` get a gradient from here.
        """
        *shallow, deepest = student
        taught = replace(batch, teacher=own[0].detach())
        total, alpha = deepest.new_zeros(()), self.settings.alpha
        for bottleneck, classifier, values in zip(self.bottlenecks, self.classifiers, shallow, strict=True):
            features = bottleneck(values)
            heads = list(taught.each({"logits": classifier(matching.vector(F.relu(features)))}))
            for one in heads:
                total = total + (1 - alpha) / len(heads) * self._labels(self._label_settings, *one)
                total = total + alpha / len(heads) * self._soft(self._soft_settings, *one)
            total = total + self.settings.hint * _distance(features, deepest.detach())
        return total


def _bottleneck(shape: Shape, deepest: Shape) -> nn.Module:
    """Of a map separable convolutions that halve it until it is no finer than the deepest one, else a linear layer.

    The last layer is not rectified: the deepest values may be of either sign.
    """
    wide = matching.width(deepest)
    if len(shape) != matching.MAP:
        return nn.Linear(shape[-1], wide)
    layers: list[nn.Module] = []
    channels, side, wanted = shape[1], max(shape[2:]), max(deepest[2:])
    while side > wanted or not layers:
        stride = 2 if side > wanted else 1
        layers += [nn.ReLU()] if layers else []
        layers += [
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
        ]
        channels, side = wide, -(-side // stride)
    return nn.Sequential(*layers)


def _distance(features: Tensor, deepest: Tensor) -> Tensor:
    if features.ndim == matching.MAP:
        features, deepest = matching.same_size(features, deepest)
    return F.mse_loss(features, deepest)


def term(settings: Settings, student: Sequence[Shape], own: Sequence[Shape]) -> nn.Module:
    """The heads, of the shapes of inner values and of the logits; raises UsageError for values that do not suit."""
    if len(student) < 2:
        message = "heads need a shallower value beside the deepest one, and there is one value alone"
        hint = "Name two or more, the shallowest first: student = ['blocks.0', 'blocks.3']"
        raise UsageError(Problem("student", message, hint))
    matching.check(student, (), (matching.VECTOR, matching.SEQUENCE, matching.MAP), alike=False)
    *shallow, deepest = student
    for shape in shallow:
        # resolutions of maps may differ, tokens may not
        if len(shape) != len(deepest) or (len(shape) == matching.SEQUENCE and shape[1] != deepest[1]):
            message = f"a head at {list(shape)} cannot learn from the deepest value {list(deepest)}"
            raise UsageError(Problem("student", message, "Name values of one kind; of sequences those of equal length"))
    return Heads(settings, student, own[0][-1])
