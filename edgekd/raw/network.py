"""What stands before raw inputs as torch modules, put into an exported program."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.nn import functional

from edgekd.nets import surgery
from edgekd.plugins import Front
from edgekd.results import Signature


class RawPixels(nn.Module):
    """Levels, (N, side, side, channels) of any type, to what the network takes: float32, channels first."""

    across: Tensor
    factor: Tensor
    shift: Tensor

    def __init__(self, wanted: Front) -> None:
        super().__init__()
        self._how = wanted
        if len(wanted.factor) > 1:
            self.register_buffer("factor", torch.from_numpy(wanted.factor).reshape(-1, 1, 1, 1))
            self.register_buffer("shift", torch.from_numpy(wanted.shift))
        if wanted.across is not None:
            self.register_buffer("across", torch.tensor(wanted.across))

    def forward(self, pixels: Tensor) -> Tensor:
        levels = self._resized(self._ordered(pixels.to(torch.float32).permute(surgery.FIRST)))
        if len(self._how.factor) == 1:
            return levels * float(self._how.factor[0]) + float(self._how.shift[0])
        # a convolution, since that has a scale for each channel in 8 bits, and the TFLite converter keeps any batch
        return functional.conv2d(levels, self.factor, self.shift, groups=len(self.shift))

    def _ordered(self, levels: Tensor) -> Tensor:
        channels = [levels[:, i : i + 1] for i in range(levels.shape[1])]
        if self._how.luma is not None:
            red, green, blue = (one * float(part) for one, part in zip(channels, self._how.luma, strict=True))
            return (red + green + blue + 0.5).floor()
        if self._how.colour:
            return torch.cat([levels] * 3, 1)
        return torch.cat(channels[::-1], 1) if self._how.reversed else levels

    def _resized(self, levels: Tensor) -> Tensor:
        """As Pillow does it: across, then down, each in whole levels."""
        if self._how.across is None:
            return levels
        return self._side(self._side(levels).transpose(2, 3)).transpose(2, 3)

    def _side(self, levels: Tensor) -> Tensor:
        """One side resized. The half is added before: weights add up to one, and behind NNCF takes it for a bias."""
        return ((levels + 0.5) @ self.across).floor().clamp(0, 255)


class RawWave(nn.Module):
    """16-bit samples to -1..1."""

    def __init__(self, wanted: Front) -> None:
        super().__init__()
        self._factor = float(wanted.factor[0])

    def forward(self, samples: Tensor) -> Tensor:
        # by way of 32 bits: OpenVINO fuses what follows a cast of 16 into a kernel that has none of these
        return samples.to(torch.int32).to(torch.float32) * self._factor


def with_fronts(program: ExportedProgram, signature: Signature, fronts: Mapping[str, Front]) -> ExportedProgram:
    """The program with what stands before its raw inputs, by name; `signature` has all inputs in its order."""
    module = surgery.opened(program)
    for place, spec in zip(surgery.places(module), signature.inputs, strict=True):
        wanted = fronts.get(spec.name)
        if wanted is not None:
            name = f"{surgery.FRONTS}.{spec.name}"
            module.add_submodule(name, RawPixels(wanted) if wanted.picture else RawWave(wanted))
            surgery.put_behind(place, partial(_called, name))
    return surgery.exported(module, signature)


def _called(name: str, place: fx.Node) -> fx.Node:
    return place.graph.call_module(name, (place,))
