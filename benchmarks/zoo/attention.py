"""Networks of pictures that attend or mix."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.blocks import Block, Inverted, conv


class _Vit(nn.Module):
    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, width, 8, 8), nn.Parameter(torch.randn(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, 17, width) * 0.3)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        self.mixers = nn.ModuleList(nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(2))
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, width)) for _ in range(2)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        for i, (mixer, inner) in enumerate(zip(self.mixers, self.inner, strict=True)):
            y = self.norms[2 * i](x)
            x = x + mixer(y, y, y, need_weights=False)[0]
            x = x + inner(self.norms[2 * i + 1](x))
        y = self.head(self.norms[4](x)[:, 0])
        return y


def vit() -> nn.Module:
    """Vision transformer by nn.MultiheadAttention (Dosovitskiy et al. 2021)."""
    return _Vit()


class _Deit(nn.Module):
    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patch, self.tokens = nn.Conv2d(3, width, 8, 8), nn.Parameter(torch.randn(1, 2, width))
        self.place = nn.Parameter(torch.randn(1, 18, width) * 0.3)
        self.blocks, self.norm = nn.ModuleList(Block(width, 4) for _ in range(2)), nn.LayerNorm(width)
        self.head, self.taught = nn.Linear(width, 10), nn.Linear(width, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.tokens.expand(x.shape[0], -1, -1), x], 1) + self.place
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {"logits": self.head(x[:, 0]), "taught": self.taught(x[:, 1])}


def deit() -> nn.Module:
    """DeiT: a class token and a distillation token, a head each (Touvron et al. 2021)."""
    return _Deit()


class _Windows(nn.Module):
    """Attention within windows of 4 x 4, with a bias for each relative place; moved by half a window if asked."""

    def __init__(self, width: int, heads: int, moved: bool) -> None:
        super().__init__()
        self.heads, self.moved, self.size = heads, 2 if moved else 0, 4
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.randn(heads, 49) * 0.5)
        at = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None, :] + 3
        self.register_buffer("apart", apart[0] * 7 + apart[1])
        self.register_buffer("barred", self._barred(8))

    def _barred(self, side: int) -> Tensor:
        """What keeps places apart that only the move has made neighbours: (windows, 1, 16, 16)."""
        area = torch.zeros(side, side)
        for i, rows in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
            for j, columns in enumerate((slice(0, -4), slice(-4, -2), slice(-2, None))):
                area[rows, columns] = 3 * i + j
        parts = area.reshape(side // 4, 4, side // 4, 4).transpose(1, 2).reshape(-1, 16)
        return (parts[:, :, None] != parts[:, None, :]).float().unsqueeze(1) * -100

    def forward(self, x: Tensor) -> Tensor:
        batch, side, _, width = x.shape
        n = side // 4
        if self.moved:
            x = torch.roll(x, (-2, -2), (1, 2))
        x = x.reshape(batch, n, 4, n, 4, width).transpose(2, 3).reshape(-1, 16, width)
        q, k, v = self.qkv(x).reshape(-1, 16, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + self.bias[:, self.apart]
        if self.moved:
            scores = (scores.unflatten(0, (-1, n * n)) + self.barred).flatten(0, 1)
        x = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        x = x.reshape(batch, n, n, 4, 4, width).transpose(2, 3).reshape(batch, side, side, width)
        return torch.roll(x, (2, 2), (1, 2)) if self.moved else x


class _Swin(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.mixers = nn.ModuleList(_Windows(width, 4, moved) for moved in (False, True))
        self.inner = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)) for _ in range(2)
        )
        self.merge_norm, self.merge, self.head = nn.LayerNorm(128), nn.Linear(128, 48), nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image).permute(0, 2, 3, 1)
        for i in range(2):
            x = x + self.mixers[i](self.norms[2 * i](x))
            x = x + self.inner[i](self.norms[2 * i + 1](x))
        x = torch.cat([x[:, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))], -1)
        y: Tensor = self.head(self.merge(self.merge_norm(x)).mean((1, 2)))
        return y


def swin() -> nn.Module:
    """Swin: attention in windows, shifted windows, patch merging (Liu et al. 2021)."""
    return _Swin()


class _MobileVit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        act = nn.SiLU
        self.stem = nn.Sequential(conv(3, 16, 3, 2, act=act), Inverted(16, 24, 2, 2, act=act))
        self.near, self.blocks = conv(24, 24, act=act), nn.ModuleList(Block(24, 4, nn.SiLU) for _ in range(2))
        self.join, self.head = conv(48, 32, act=act), nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        batch, width, high, wide = x.shape
        y = self.near(x).reshape(batch, width, high // 2, 2, wide // 2, 2).permute(0, 3, 5, 2, 4, 1)
        y = y.reshape(batch * 4, -1, width)  # each place of a 2 x 2 patch attends to its like
        for block in self.blocks:
            y = block(y)
        y = y.reshape(batch, 2, 2, high // 2, wide // 2, width).permute(0, 5, 3, 1, 4, 2)
        y = self.join(torch.cat([x, y.reshape(batch, width, high, wide)], 1))
        z: Tensor = self.head(y.mean((2, 3)))
        return z


def mobilevit() -> nn.Module:
    """MobileViT: patches unfolded, attended to and folded again (Mehta and Rastegari 2022)."""
    return _MobileVit()


class _MixBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.inner = nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.inner(self.norm2(x))
        return y


class _Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.blocks = nn.Conv2d(3, 48, 8, 8), nn.Sequential(_MixBlock(16, 48), _MixBlock(16, 48))
        self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.blocks(self.patch(image).flatten(2).transpose(1, 2))).mean(1))
        return y


def mlp_mixer() -> nn.Module:
    """MLP-Mixer (Tolstikhin et al. 2021)."""
    return _Mixer()


class _Poolformer(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch, self.norm1 = nn.Conv2d(3, width, 4, 4), nn.GroupNorm(1, width)
        self.norm2, self.head = nn.GroupNorm(1, width), nn.Linear(width, 10)
        self.inner = nn.Sequential(nn.Conv2d(width, 64, 1), nn.GELU(), nn.Conv2d(64, width, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image)
        y = self.norm1(x)
        x = x + F.avg_pool2d(y, 3, 1, 1, count_include_pad=False) - y
        x = x + self.inner(self.norm2(x))
        y = self.head(x.mean((2, 3)))
        return y


def poolformer() -> nn.Module:
    """PoolFormer: pooling in attention's place, group norms (Yu et al. 2022)."""
    return _Poolformer()


class _Detr(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, 3, 2), conv(16, width, 3, 2), nn.Conv2d(width, width, 2, 2))
        self.place = nn.Parameter(torch.randn(1, 16, width) * 0.3)
        self.queries = nn.Parameter(torch.randn(1, 6, width))
        self.layer = nn.TransformerDecoderLayer(width, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.what, self.where = nn.Linear(width, 5), nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        memory = self.body(image).flatten(2).transpose(1, 2) + self.place
        x = self.layer(self.queries.expand(memory.shape[0], -1, -1), memory)
        return {"what": self.what(x), "where": self.where(x).sigmoid()}


def detr() -> nn.Module:
    """DETR: learned queries attend to a picture (Carion et al. 2020)."""
    return _Detr()
