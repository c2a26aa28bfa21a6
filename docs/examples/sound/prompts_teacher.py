"""A teacher for log-mel energies: python prompts_teacher.py trains it on prompts/, in two minutes.

It reads the clips as edgekd does, so that both see the same numbers, and never sees prompts_test/. Its weights go to
prompts_teacher.safetensors.
"""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.datasets import sounds

CLASSES, EPOCHS, BATCH, RATE = 5, 12, 64, 3e-3


class Teacher(nn.Module):
    """Convolutions over time and frequency; (N, steps, mels) -> (N, classes)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm2d(1)
        layers: list[nn.Module] = []
        channels = 1
        for wider in (width, 2 * width, 4 * width, 4 * width):
            layers += [nn.Conv2d(channels, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
            channels = wider
        self.blocks, self.head = nn.Sequential(*layers), nn.Linear(channels, CLASSES)

    def forward(self, sound: Tensor) -> Tensor:
        x = self.blocks(self.scale(sound.unsqueeze(1))).mean((2, 3))
        return self.head(F.dropout(x, 0.3, self.training))


def build(width: int = 24) -> nn.Module:
    return Teacher(width)


def changed(x: Tensor) -> Tensor:
    """Louder or softer, and without some bands and some time (SpecAugment, https://arxiv.org/abs/1904.08779)."""
    x = x + torch.empty(len(x), 1, 1).uniform_(-2, 2)
    for axis, most in ((1, 12), (2, 8)):
        shape = (-1, x.shape[1], 1) if axis == 1 else (-1, 1, x.shape[2])
        first = torch.randint(0, x.shape[axis] - most, (len(x), 1))
        place = torch.arange(x.shape[axis]) - first
        x = x.masked_fill(((place >= 0) & (place < torch.randint(1, most, (len(x), 1)))).view(shape), float(x.mean()))
    return x


def main() -> None:
    torch.manual_seed(0)
    pool = sounds.read(sounds.Settings(folder="prompts"), {}, None, False).train
    sound, y = torch.from_numpy(pool.inputs["sound"]), torch.from_numpy(pool.labels)
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-2)
    steps = EPOCHS * (len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        losses = []
        for rows in torch.randperm(len(y)).split(BATCH)[: len(y) // BATCH]:
            loss = F.cross_entropy(model(changed(sound[rows])), y[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{EPOCHS}, {len(y)} clips: loss {np.mean(losses):.3f}", flush=True)
    save_file(model.state_dict(), "prompts_teacher.safetensors")


if __name__ == "__main__":
    main()
