"""Networks of tables, preferences and forecasts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.zoo.blocks import Block


class _Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(300, 24), nn.Embedding(500, 24)
        self.left, self.right = (nn.Sequential(nn.Linear(n, 32), nn.ReLU(), nn.Linear(32, 16)) for n in (24, 24 + 4))

    def forward(self, user: Tensor, item: Tensor, facts: Tensor) -> dict[str, Tensor]:
        left = F.normalize(self.left(self.user(user).squeeze(1)), dim=1)
        right = F.normalize(self.right(torch.cat([self.item(item).squeeze(1), facts], 1)), dim=1)
        return {"score": (left * right).sum(1, keepdim=True), "user_vector": left}


def two_tower() -> nn.Module:
    """Two-tower recommender: users and items as unit vectors (Yi et al. 2019)."""
    return _Towers()


class _Dlrm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, 12) for n in (50, 100, 20))
        self.dense = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(12 + 6, 24), nn.ReLU(), nn.Linear(24, 1))
        self.register_buffer("pairs", torch.triu_indices(4, 4, 1))

    def forward(self, facts: Tensor, kinds: Tensor) -> Tensor:
        x = self.dense(facts)
        rows = torch.stack([x, *(table(kinds[:, i] % table.num_embeddings) for i, table in enumerate(self.tables))], 1)
        products = (rows @ rows.transpose(1, 2)).flatten(1)[:, self.pairs[0] * 4 + self.pairs[1]]
        y: Tensor = self.top(torch.cat([x, products], 1))
        return y


def dlrm() -> nn.Module:
    """DLRM: embeddings, their pairwise products, dense facts (Naumov et al. 2019)."""
    return _Dlrm()


class _Tabular(nn.Module):
    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Linear(16, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, 96), nn.ReLU(), nn.Linear(96, width))
            for _ in range(2)
        )
        self.last = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, facts: Tensor) -> Tensor:
        x = self.first(facts)
        for layer in self.layers:
            x = x + layer(x)
        y: Tensor = self.last(x)
        return y


def tabular_resnet() -> nn.Module:
    """Residual layers for tables (Gorishniy et al. 2021)."""
    return _Tabular()


class _Tokens(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(16, width)), nn.Parameter(torch.randn(16, width))
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.blocks, self.head = nn.ModuleList(Block(width, 4, nn.ReLU) for _ in range(2)), nn.Linear(width, 3)

    def forward(self, facts: Tensor) -> Tensor:
        x = facts.unsqueeze(-1) * self.scale + self.shift
        x = torch.cat([self.token.expand(facts.shape[0], -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        y: Tensor = self.head(x[:, 0])
        return y


def ft_transformer() -> nn.Module:
    """FT-Transformer: each column a token (Gorishniy et al. 2021)."""
    return _Tokens()


class _Beats(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 48 + 12))
            for _ in range(3)
        )

    def forward(self, past: Tensor) -> dict[str, Tensor]:
        level = past.mean(1, keepdim=True)
        rest, found = past - level, torch.zeros(())
        for block in self.blocks:
            back, ahead = block(rest).split([48, 12], 1)
            rest, found = rest - back, found + ahead
        return {"future": found + level}


def nbeats() -> nn.Module:
    """N-BEATS: blocks that explain the past and tell the future (Oreshkin et al. 2020)."""
    return _Beats()


class _Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(16, 32), nn.ELU(), nn.Linear(32, 16))
        self.decode = nn.Sequential(nn.Linear(8, 32), nn.Softplus(), nn.Linear(32, 16))

    def forward(self, facts: Tensor) -> dict[str, Tensor]:
        mean, spread = self.encode(facts).chunk(2, 1)
        return {"again": self.decode(mean), "mean": mean, "deviation": (0.5 * spread).exp()}


def anomaly_vae() -> nn.Module:
    """Variational autoencoder for anomalies, without its noise at inference (Kingma and Welling 2014)."""
    return _Variational()
