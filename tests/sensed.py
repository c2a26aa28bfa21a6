"""Toy programs whose samples sensors give: pictures that are resized and reordered, and 16-bit audio."""

from pathlib import Path

import numpy as np

from edgekd import files
from edgekd.results import Program, Splits
from edgekd.spec import Architecture, Choice, Image, UserFile
from edgekd.stages import export, raw
from edgekd.steps import Export, Raw
from tests import converted, learnable

NETS = """
import torch
from torch import nn
from torch.nn import functional as F


class Seer(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
        self.head = nn.Linear(16, 3)

    def forward(self, image):
        x = F.relu(self.conv2(F.relu(self.conv1(image))))
        return 5 * self.head(x.mean((2, 3)))


class Hearer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(1, 16, 9, 4), nn.Conv1d(16, 16, 9, 4)
        self.head = nn.Linear(16, 3)

    def forward(self, wave):
        x = F.relu(self.conv2(F.relu(self.conv1(wave[:, None]))))
        return 5 * self.head(x.mean(2))


class Own(Hearer):
    def forward(self, wave):
        return super().forward(wave.to(torch.float32) / 32768)


def gray():
    return Seer(1)
"""
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.3, 0.35)
IMAGES = {
    "plain": Image(size=24, mean=MEAN, std=STD),
    "bgr": Image(size=16, channels="bgr", mean=MEAN, std=STD),
    "gray": Image(size=16, channels="gray", filter="lanczos", mean=(0.4,), std=(0.3,)),
}
MAKES = {"plain": "Seer", "bgr": "Seer", "gray": "gray", "wave": "Hearer", "own": "Own"}


def architecture(folder: Path, name: str) -> Architecture:
    path = folder / "sensing.py"
    path.write_text(NETS)
    file = UserFile(path=str(path), sha256=files.digest(path))
    settings = {"make": f"sensing:{MAKES[name]}"}
    return Architecture(family=Choice(name="module", settings=settings, files={"make": file}), image=IMAGES.get(name))


def pictures(entries: Path) -> Splits:
    """Smooth coloured pictures of 24 pixels, with a little noise."""
    random, inputs, labels = np.random.default_rng(0), {}, {}
    rows, columns = np.indices((24, 24))
    for part, count in learnable.COUNTS.items():
        phase, speed = random.uniform(0, 6, (2, count, 1, 1, 3))
        waves = np.sin(phase + speed * rows[..., None] / 8) + np.cos(phase - speed * columns[..., None] / 9)
        pixels = 127 + 50 * waves + random.normal(0, 10, waves.shape)
        inputs[part] = {"image": np.clip(pixels, 0, 255).astype(np.uint8)}
        labels[part] = random.integers(0, 3, count)
    return learnable.split(entries, inputs, labels, canvas=24, channels="rgb")


def audio(entries: Path, dtype: str) -> Splits:
    """Tones with noise, as 16-bit samples or as the floats that these are read as."""
    random, inputs, labels = np.random.default_rng(1), {}, {}
    for part, count in learnable.COUNTS.items():
        labels[part] = random.integers(0, 3, count)
        tones = np.sin(np.arange(400) * (0.05 + 0.1 * labels[part][:, None]) + random.uniform(0, 6, (count, 1)))
        samples = np.rint(9000 * tones + random.normal(0, 900, tones.shape)).astype(np.int16)
        inputs[part] = {"wave": samples if dtype == "int16" else (samples / 32768).astype(np.float32)}
    return learnable.split(entries, inputs, labels)


def splits(folder: Path, name: str) -> Splits:
    """The samples of a network, in a store of its own: parts of two data sets have the same names."""
    entries = folder / "entries"
    found = pictures(entries) if name in IMAGES else audio(entries, "int16" if name == "own" else "float32")
    return found.model_copy(update={"parts": found.parts | {"calibration": found.parts["train"]}})


def program(folder: Path, name: str) -> Program:
    """The program that takes prepared inputs."""
    step = Export(source=architecture(folder, name), splits=splits(folder, name), seed=3)
    return export.run(step, converted.entry(folder, f"{name}-float"))


def raw_program(folder: Path, name: str, given: Program) -> Program:
    """The same with raw inputs."""
    return raw.run(Raw(program=given, splits=splits(folder, name)), converted.entry(folder, f"{name}-raw"))
