"""Made-up photos whose class is their colour, and a user's small network that learns them in seconds.

Colours are chosen so that neither swapped channels nor another brightness is the same as another order of classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture

from edgekd.runtimes import preprocess
from edgekd.spec import Image

PAINTS = {
    "brick": (150, 70, 55),
    "leaf": (70, 150, 60),
    "night": (20, 25, 60),
    "rose": (215, 150, 160),
    "sand": (200, 185, 140),
    "sea": (60, 110, 190),
}
CLASSES = tuple(PAINTS)
SIDE, EACH = 16, 50
NET = '''
import torch
from torch import nn


class Net(nn.Module):
    """Two convolutions and a linear layer over all pixels, so that just one size runs."""

    def __init__(self, classes, channels, side):
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)
        self.head = nn.Linear(32 * (side // 4) ** 2, classes)

    def forward(self, image):
        x = torch.relu(self.second(torch.relu(self.first(image))))
        return self.head(x.flatten(1))


def build(classes=6, channels=3, side=16):
    return Net(classes, channels, side)


def gray():
    return Net(6, 1, 16)


def thousand():
    return Net(1000, 3, 16)
'''


def images(seed: int = 0, each: int = EACH) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, 16, 16, 3) and classes: a colour, a light of its own for each photo, and noise."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(PAINTS)), each)
    paint = np.array(list(PAINTS.values()), np.float64)[labels][:, None, None]
    light = random.normal(0, 22, (len(labels), 1, 1, 1)) + random.normal(0, 9, (len(labels), 1, 1, 3))
    pixels = paint + light + random.normal(0, 20, (len(labels), SIDE, SIDE, 3))
    return pixels.clip(0, 255).astype(np.uint8), labels


def photos(folder: Path) -> Path:
    """A folder of PNG files by class."""
    for i, (pixels, label) in enumerate(zip(*images(), strict=True)):
        place = folder / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(pixels).save(place / f"{i:04}.png")
    return folder


def learnt(path: Path, image: Image, rounds: int = 25) -> Path:
    """Weights of that network after a short training on images prepared so; my_net.py is put beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "my_net.py").write_text(NET, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(NET, names)
    torch.manual_seed(0)
    net = names["gray"]() if image.channels == "gray" else names["build"]()
    pixels, labels = images(seed=1)
    x = torch.from_numpy(preprocess.prepare(pixels, image.model_dump() | {"canvas": SIDE, "layout": "NCHW"}))
    y, speeds = torch.from_numpy(labels), [torch.zeros_like(p) for p in net.parameters()]
    # by hand, since torch.optim takes seconds to import
    for _ in range(rounds):
        for rows in torch.randperm(len(y)).split(30):
            loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
            grads = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for value, grad, speed in zip(net.parameters(), grads, speeds, strict=True):
                    speed.mul_(0.9).add_(grad)
                    value.sub_(0.02 * speed)
    torch.save(net.state_dict(), path)
    return path
