"""Transformers over ids and a mask that give everything inside of them: a student, and a teacher twice as wide."""

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (f(x).unflatten(2, (4, -1)).transpose(1, 2) for f in (self.queries, self.keys, self.values))
        attention = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(3)
        return (
            x + torch.relu(self.out((attention @ v).transpose(1, 2).flatten(2))),
            attention,
            v.transpose(1, 2).flatten(2),
        )


class Reader(nn.Module):
    """Every token is real; the mask is taken and not looked at."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.words = nn.Embedding(200, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.head = nn.Linear(width, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor | list[Tensor]]:
        x = self.words(ids)
        states, attentions, values = [x], [], []
        for layer in self.layers:
            x, attention, value = layer(x)
            states.append(x)
            attentions.append(attention)
            values.append(value)
        found: dict[str, Tensor | list[Tensor]] = {"hidden_states": states, "attentions": attentions, "values": values}
        return {"logits": self.head(x.mean(1))} | found


def student() -> nn.Module:
    return Reader(32, 2)


def teacher() -> nn.Module:
    torch.manual_seed(1)
    return Reader(64, 4)
