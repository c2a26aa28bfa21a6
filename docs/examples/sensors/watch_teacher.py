"""A teacher for windows of sensor signals: python watch_teacher.py trains it on watch.npz, in two minutes.

It never sees the people of watch_test.npz. Its weights go to watch_teacher.safetensors.
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS, BATCH, RATE, NOISE = 16, 64, 2e-3, 0.05


class Teacher(nn.Module):
    """Convolutions over time; (N, steps, channels) -> logits (N, classes), and features for methods inside."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(channels)
        layers: list[nn.Module] = []
        for wider, stride in ((width, 1), (2 * width, 2), (2 * width, 2), (4 * width, 2)):
            layers += [nn.Conv1d(channels, wider, 5, stride, 2, bias=False), nn.BatchNorm1d(wider), nn.ReLU()]
            channels = wider
        self.blocks, self.head = nn.Sequential(*layers), nn.Linear(channels, classes)

    def forward(self, signal: Tensor) -> dict[str, Tensor]:
        features = self.blocks(self.scale(signal.transpose(1, 2))).mean(2)
        return {"logits": self.head(F.dropout(features, 0.3, self.training)), "features": features}


def build(width: int = 48) -> nn.Module:
    return Teacher(6, width, 7)


def main() -> None:
    torch.manual_seed(0)
    with np.load("watch.npz") as data:
        signal, y = torch.from_numpy(data["signal"]), torch.from_numpy(data["y"])
    model, spread = build().train(), signal.std((0, 1))
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-2)
    steps = EPOCHS * (len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        losses = []
        for rows in torch.randperm(len(y)).split(BATCH)[: len(y) // BATCH]:
            x = signal[rows] * (1 + 0.1 * torch.randn(len(rows), 1, 1))  # as strong or weak movements
            logits = model(x + NOISE * spread * torch.randn_like(x))["logits"]
            loss = F.cross_entropy(logits, y[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.3f}", flush=True)
    save_file(model.state_dict(), "watch_teacher.safetensors")


if __name__ == "__main__":
    main()
