"""Networks that tell numbers: they learn them with mean 0 and deviation 1, and tell them in their own units."""

import torch
from torch import Tensor, nn

from edgekd.results import Column, Signature


class InUnits(nn.Module):
    """A network whose first output (N, columns) is brought back from mean 0 and deviation 1 to each column's own.

    Columns of any size are as easy to learn then, with the usual initial weights and rates.
    """

    def __init__(self, network: nn.Module, output: str, columns: tuple[Column, ...]) -> None:
        super().__init__()
        self.network, self.output = network, output
        self.register_buffer("deviation", torch.tensor([column.deviation for column in columns]))
        self.register_buffer("mean", torch.tensor([column.mean for column in columns]))

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        found = self.network(*inputs)
        told = dict(found) if isinstance(found, dict) else {self.output: found}
        return told | {self.output: told[self.output] * self.deviation + self.mean}


def units_of(network: nn.Module, signature: Signature) -> nn.Module:
    """The network as it is, or, where it tells numbers, in their units."""
    return InUnits(network, signature.outputs[0].name, signature.columns) if signature.columns else network
