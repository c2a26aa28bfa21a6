"""Which channels can be scaled: any positive scales of free ones leave the function as it is, and no more are free."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from edgekd.nets import equalize
from edgekd.nets.scaling import FIXED, scalable

# torch's own deep copies of programs
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")


def conv(inputs: int, outputs: int, **how: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **how)


class Between(nn.Module):
    """A layer, something in between, and a layer that reads it."""

    def __init__(self, between: object, first: nn.Module | None = None, last: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.last = first or conv(3, 8), last or conv(8, 4)
        self.between = between if isinstance(between, nn.Module) else None
        self._function = between

    def forward(self, x):
        return self.last((self.between or self._function)(self.first(x))).mean((2, 3))


class Norms(nn.Module):
    """Norms write channels whatever they read, if they have weights."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = conv(3, 8), nn.BatchNorm2d(8), conv(8, 6)
        self.bare, self.three = nn.BatchNorm2d(6, affine=False), nn.Conv2d(6, 4, 1)
        self.group, self.four = nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = self.bare(self.two(F.relu(self.norm(self.one(x)))))
        return self.four(self.group(self.three(x))).mean((2, 3))


class Residual(nn.Module):
    """One stream that three layers write and three read, one of them after a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.norm = conv(3, 8), conv(8, 12), nn.BatchNorm2d(12)
        self.down, self.head = conv(12, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.relu(x + self.down(F.relu_(self.norm(self.up(x)))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Branches(nn.Module):
    """Halves swapped, shuffled groups, a concatenation, and a gate that reads what it multiplies."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.left, self.right = conv(3, 8), conv(4, 6), conv(4, 4, groups=2)
        self.squeeze, self.expand, self.last = nn.Conv2d(10, 4, 1), nn.Conv2d(4, 10, 1), conv(10, 5, groups=5)
        self.head = nn.Conv2d(5, 3, 1)

    def forward(self, x):
        left, right = F.relu(self.one(x)).chunk(2, 1)
        x = torch.cat([self.left(right), self.right(left)], 1)
        x = x.unflatten(1, (2, 5)).transpose(1, 2).flatten(1, 2)
        gate = torch.sigmoid(self.expand(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(self.last(x * gate)).amax((2, 3))


class Read(nn.Module):
    """A layer is read by one that can make up for scales, and by one that gives something else for them."""

    def __init__(self, by: nn.Module) -> None:
        super().__init__()
        self.first, self.last, self.by = nn.Linear(8, 8), nn.Linear(8, 8), by

    def forward(self, x):
        x = self.first(x)
        return self.last(x) + self.by(x)


class Asked(nn.Module):
    """Attention whose queries are what it reads; keys and values are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.values = nn.Parameter(torch.randn(3, 4, 8)), nn.Parameter(torch.randn(3, 4, 8))

    def forward(self, x):
        return F.scaled_dot_product_attention(x, self.keys[:1].expand_as(x), self.values[:1].expand_as(x))


class Tokens(nn.Module):
    """Norms and values of attention over tokens, queries and keys that have to stay."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.qkv = nn.Embedding(9, 8), nn.LayerNorm(8), nn.Linear(8, 24)
        self.mix, self.after = nn.Linear(8, 8), nn.LayerNorm(8)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        x = self.table(ids)
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + self.mix(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = x + self.narrow(F.relu(self.wide(self.after(x))))
        return self.head(x.mean(1))


class Twice(nn.Module):
    """A layer that is used twice, and one whose output is given away: neither can be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = conv(3, 8), conv(8, 8), conv(8, 3)

    def forward(self, x):
        x = F.relu(self.one(x))
        x = F.relu(self.two(self.two(x)))
        return self.last(x).mean((2, 3)), x


def program(network: nn.Module, *inputs: torch.Tensor) -> tuple[ExportedProgram, list[np.ndarray]]:
    """With norms that have seen something, so that a mistake in their weights shows."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        for name in ("running_mean", "weight", "bias"):
            values = getattr(module, name, None)
            if values is not None and values.ndim == 1:
                values.data.uniform_(0.2, 2, generator=generator)
    shapes = tuple({0: Dim("batch", min=1)} for _ in inputs)
    return torch.export.export(network.eval(), inputs, dynamic_shapes=shapes), [x.numpy() for x in inputs]


def image(channels: int = 3) -> torch.Tensor:
    return torch.randn(3, channels, 8, 8, generator=torch.Generator().manual_seed(1))


def check(made: ExportedProgram, inputs: list[np.ndarray]) -> tuple[set[str], set[str]]:
    """Scale everything that is free at random, see that nothing changes, and name the keys written and nodes read."""
    free = scalable(made, inputs)
    run = [torch.tensor(values) for values in inputs]
    before = made.module()(*run)
    size = 1 + max([FIXED, *(int(reader.names.max()) for reader in free.readers)])
    scales = np.exp(np.random.default_rng(0).normal(0, 2, size))
    scales[: FIXED + 1] = 1
    equalize._apply(made, free, scales)
    after = made.module()(*run)
    for one, other in zip(*((v,) if isinstance(v, torch.Tensor) else v for v in (before, after)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(one.detach().abs().max()))
    written = {key.rpartition(".")[0] for writer in free.writers for key in writer.keys}
    return written, {reader.key.rpartition(".")[0] for reader in free.readers}


STRAIGHT = {
    "nothing": nn.Identity(),
    "relu": F.relu,
    "leaky relu": nn.LeakyReLU(0.1),
    "prelu": nn.PReLU(8),
    "dropout": nn.Dropout(),
    "max pool": nn.MaxPool2d(2),
    "mean pool": nn.AvgPool2d(2, padding=1),
    "padding": nn.ZeroPad2d(1),
    "mirrored padding": nn.ReflectionPad2d(1),
    "resizing": nn.Upsample(scale_factor=2, mode="bilinear"),
    "multiple": lambda x: x * 0.5 / 3,
    "gate": lambda x: torch.arange(8.0).sigmoid()[:, None, None] * x,
    "the same type": lambda x: x.to(torch.float32),
    "nothing added": lambda x: x + 0,
    "largest of two": lambda x: torch.maximum(x, -x),
    "there and back": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "slices": lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
    "turned": lambda x: x.flip(3).roll(1, 2),
}
BENDS = {
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "hard swish": F.hardswish,
    "gelu": F.gelu,
    "relu6": F.relu6,
    "clamp": lambda x: x.clamp(max=2),
    "offset": lambda x: x + 1,
    "square": lambda x: x * x,
    "reciprocal": lambda x: torch.ones(1) / (x.abs() + 0),
    "padding with ones": nn.ConstantPad2d(1, 1.0),
    "norm without weights": nn.InstanceNorm2d(8),
    "softmax": lambda x: x.softmax(1),
    "mean over channels": lambda x: x - x.mean(1, keepdim=True),
    "sorted": lambda x: x.sort(1).values,
    "whole numbers": lambda x: (4 * x).to(torch.int64).to(torch.float32),
    "floor": lambda x: torch.div(x, 2.0, rounding_mode="floor"),
    "comparison": lambda x: (x > 1).to(torch.float32) + x * 0,
    "sum over channels": lambda x: x / x.sum(1, keepdim=True).exp(),
}


@pytest.mark.parametrize("name", STRAIGHT)
def test_operators_that_keep_scales(name: str) -> None:
    assert check(*program(Between(STRAIGHT[name]), image())) == ({"first"}, {"last"})


@pytest.mark.parametrize("name", BENDS)
def test_operators_that_bend(name: str) -> None:
    assert check(*program(Between(BENDS[name]), image())) == (set(), set())


def test_norms_write_and_what_they_read_stays() -> None:
    written, read = check(*program(Norms(), image()))
    assert written == {"norm", "group"} and read == {"two", "four"}


def test_a_stream_is_scaled_in_all_its_layers_at_once() -> None:
    made, inputs = program(Residual(), image())
    written, read = check(made, inputs)
    assert written == {"stem", "down", "norm"} and read == {"up", "down", "head"}
    free = scalable(made, inputs)
    names = {writer.keys[0]: writer.names.tolist() for writer in free.writers}
    assert names["stem.weight"] == names["down.weight"] and len(set(names["stem.weight"])) == 8


def test_channels_are_followed_through_branches() -> None:
    made, inputs = program(Branches(), image())
    written, read = check(made, inputs)
    assert written == {"one", "left", "right", "squeeze", "last"}
    assert read == {"left", "right", "squeeze", "expand", "last", "head"}
    by_key = {reader.key: reader for reader in scalable(made, inputs).readers}
    assert by_key["last.weight"].taken.tolist() == [[2 * group, 2 * group + 1] for group in range(5)]
    writers = {writer.keys[0]: writer.names.tolist() for writer in scalable(made, inputs).writers}
    assert by_key["left.weight"].names.tolist() == writers["one.weight"][4:]


def test_attention_leaves_its_values_and_norms_free() -> None:
    made, inputs = program(Tokens(), torch.arange(12).reshape(3, 4) % 9)
    written, read = check(made, inputs)
    assert written == {"norm", "qkv", "after", "wide"} and read == {"qkv", "mix", "wide", "narrow"}
    qkv = next(writer for writer in scalable(made, inputs).writers if writer.keys[0] == "qkv.weight")
    assert (qkv.names[:16] == FIXED).all() and (qkv.names[16:] > FIXED).all()


@pytest.mark.parametrize("by", [nn.LayerNorm(8), nn.GroupNorm(2, 4), Asked(), nn.ConvTranspose1d(4, 4, 3, padding=1)])
def test_what_somebody_else_reads_too_stays(by: nn.Module) -> None:
    made, inputs = program(Read(by), torch.randn(3, 4, 8))
    assert check(made, inputs) == check(made.run_decompositions(), inputs) == (set(), set())


def test_what_others_read_or_the_user_gets_stays() -> None:
    assert check(*program(Twice(), image())) == (set(), set())


def test_weights_that_share_memory_part() -> None:
    network = Between(F.relu, conv(8, 8), conv(8, 8))
    network.last.bias = network.first.bias
    made, inputs = program(network, image(8))
    # a bias that two layers add cannot be scaled for one of them
    assert check(made, inputs) == (set(), set())


def test_other_convolutions() -> None:
    made, inputs = program(Between(F.relu, conv(3, 8), nn.ConvTranspose2d(8, 8, 3, padding=1)), image())
    assert check(made, inputs) == check(made.run_decompositions(), inputs) == (set(), set())
    made, inputs = program(Between(F.relu, nn.Conv2d(3, 8, 3, padding="same"), conv(8, 16, groups=8)), image())
    lower = made.run_decompositions()
    assert check(made, inputs) == check(lower, inputs) == ({"first"}, {"last"})
