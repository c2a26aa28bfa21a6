"""EfficientNet-Lite0 with a head for one's own classes: needs pip install --no-deps efficientnet-lite-pytorch==0.1.0

Source: Tan and Le, "EfficientNet", https://arxiv.org/abs/1905.11946; Lite variants have ReLU6 and no squeeze-excite.
"""

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn


class Lite0(EfficientNet):
    """Images (N, 3, size, size) -> logits (N, classes), and features for methods that look inside."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.extract_features(image).mean((2, 3))
        return {"logits": self._fc(features), "features": features}


def build(classes: int, size: int) -> nn.Module:
    network: nn.Module = Lite0.from_name("efficientnet-lite0", num_classes=classes, image_size=size)
    return network
