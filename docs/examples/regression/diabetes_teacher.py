"""A teacher that tells a number: python diabetes_teacher.py trains it on diabetes.npz, in some seconds.

A committee of small networks, each trained on people drawn anew (Breiman, "Bagging predictors", Machine Learning 24,
1996), all computed as one: of so few samples their mean says more than any of them.
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

MEMBERS, WIDTH, STEPS, RATE, DECAY, DROPOUT = 24, 32, 500, 5e-3, 3e-2, 0.2


class Committee(nn.Module):
    """Rows (N, columns) -> one number (N, 1) in the targets' unit, the mean of all members'."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns + 1))
        self.register_buffer("std", torch.ones(columns + 1))
        self.first, self.second = nn.Linear(columns, MEMBERS * WIDTH), nn.Linear(WIDTH, MEMBERS)
        self.dropout = nn.Dropout(DROPOUT)

    def members(self, row: Tensor) -> Tensor:
        """What each member says, (N, members), with mean 0 and deviation 1."""
        hidden = torch.relu(self.first((row - self.mean[:-1]) / self.std[:-1])).reshape(-1, MEMBERS, WIDTH)
        return (self.dropout(hidden) * self.second.weight).sum(2) + self.second.bias

    def forward(self, row: Tensor) -> Tensor:
        return self.members(row).mean(1, keepdim=True) * self.std[-1] + self.mean[-1]


def build(columns: int = 10) -> nn.Module:
    return Committee(columns)


def main() -> None:
    torch.manual_seed(0)
    with np.load("diabetes.npz") as data:
        row, y = torch.from_numpy(data["row"]), torch.from_numpy(data["y"])[:, None]
    learned = torch.cat([row, y], 1)
    model = build(row.shape[1])
    model.mean.copy_(learned.mean(0))
    model.std.copy_(learned.std(0))
    wanted = (learned[:, -1:] - model.mean[-1]) / model.std[-1]
    counts = torch.distributions.Poisson(1.0).sample((len(learned), MEMBERS))  # how often each member drew each person
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(learned), (128,))
        error = (counts[rows] * (model.members(learned[rows, :-1]) - wanted[rows]).square()).mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        print(f"RMSE of what it learned from: {(model(row) - y).square().mean().sqrt():.1f}")
    save_file(model.state_dict(), "diabetes_teacher.safetensors")


if __name__ == "__main__":
    main()
