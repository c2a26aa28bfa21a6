"""What the weights of an untrained network lack: norms that do something, and biases that are not zero."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

SPREAD = 0.05


def unsettle(network: nn.Module) -> None:
    """Move weights and norm statistics that are all alike (zeros, ones) a little, each value by itself.

    Converters leave out a bias of zeros and keep one copy of what occurs twice, so that the file of an untrained
    network would be smaller than that of the trained one, and lack some of its operators. Random numbers are torch's.
    """
    norms = [module for module in network.modules() if isinstance(module, _NormBase)]
    with torch.no_grad():
        for value in (*network.parameters(), *(buffer for norm in norms for buffer in norm.buffers())):
            if _alike(value):
                value.add_(SPREAD * torch.rand_like(value))


def _alike(value: Tensor) -> bool:
    return value.is_floating_point() and value.numel() > 0 and bool((value == value.flatten()[0]).all())
