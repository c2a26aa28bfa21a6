"""Small data sets that a network can learn, already split and stored, and a teacher's cached outputs for them."""

from pathlib import Path

import numpy as np

from edgekd import files
from edgekd.results import File, PartFiles, SoftTargets, Splits
from edgekd.spec import Architecture, Choice, Image, UserFile
from edgekd.workspace import Workspace

ENTRY = "ab" + "0" * 62
CLASSES = ("low", "middle", "high")
IMAGE = Image(size=16, channels="gray", mean=(0.2,), std=(0.2,))
COUNTS = {"train": 160, "calibration": 8, "validation": 48, "test": 16}


def store(entries: Path, name: str, array: np.ndarray) -> File:
    """Put an array into the store as an earlier step would have."""
    folder = entries / ENTRY[:2] / ENTRY
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / name, array, allow_pickle=False)
    path = folder / name
    return File(entry=ENTRY, name=name, sha256=files.digest(path), size=files.size(path))


def split(entries: Path, inputs: dict[str, dict[str, np.ndarray]], labels: dict[str, np.ndarray], **facts) -> Splits:
    parts = {}
    for part, arrays in inputs.items():
        parts[part] = PartFiles(
            inputs={name: store(entries, f"{part}-{name}.npy", array) for name, array in arrays.items()},
            labels=store(entries, f"{part}-labels.npy", labels[part]),
            count=len(labels[part]),
            labelled=int((labels[part] >= 0).sum()),
            digest=part,
        )
    return Splits(parts=parts, classes=CLASSES, **facts)


def images(entries: Path, side: int = 16, labelled: int = 40) -> Splits:
    """Noise with a bar; the class is the third of the image that it lies in, told for `labelled` training samples."""
    random, inputs, labels = np.random.default_rng(0), {}, {}
    for part, count in COUNTS.items():
        label = random.integers(0, 3, count)
        pixels = random.integers(0, 90, (count, side, side, 1))
        for image, row in zip(pixels, label * side // 3 + 2, strict=True):
            image[row : row + 2] += 120
        inputs[part] = {"image": pixels.astype(np.uint8)}
        labels[part] = label.astype(np.int64)
    labels["train"][labelled:] = -1
    return split(entries, inputs, labels, canvas=side, channels="gray")


def tokens(entries: Path, length: int = 12, labelled: int = 160) -> Splits:
    """Integer ids and a mask: the class is which of three words stands in the text; the rest is noise and padding."""
    random, inputs, labels = np.random.default_rng(1), {}, {}
    for part, count in COUNTS.items():
        label = random.integers(0, 3, count)
        ids = random.integers(3, 20, (count, length))
        ids[np.arange(count), random.integers(0, length // 2, count)] = label
        mask = (np.arange(length) < random.integers(length // 2, length + 1, (count, 1))).astype(np.int64)
        inputs[part] = {"ids": ids.astype(np.int64), "mask": mask}
        labels[part] = label.astype(np.int64)
    labels["train"][labelled:] = -1
    return split(entries, inputs, labels)


def soft_targets(entries: Path, splits: Splits, truth: np.ndarray, views: int = 2, seed: int = 5) -> SoftTargets:
    """Outputs of a good but unsure teacher: the right class leads by a few logits. `truth` has every training label."""
    random = np.random.default_rng(2)
    logits = random.normal(0, 0.5, (views, len(truth), 3)) + 3 * np.eye(3)[truth]
    train = store(entries, "soft-train.npy", logits.astype(np.float16))
    return SoftTargets(train=train, parts={}, views=views, seed=seed, seconds_per_view=1.0)


def truth() -> np.ndarray:
    """Labels of all training images of `images`, also of those that it leaves unlabelled."""
    return np.random.default_rng(0).integers(0, 3, COUNTS["train"])


def workspace(folder: Path, name: str = "work", resumed: bool = False) -> Workspace:
    """A stage's folder next to the store's entries in `folder`."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    return Workspace(folder / name, folder / "entries", "cd" + "0" * 62, resumed)


READER = '''
import torch
from torch import nn


class Reader(nn.Module):
    """Embedding, attention, masked mean: ids and a mask in, three classes out."""

    def __init__(self, words, width, drop):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.queries, self.keys = nn.Linear(width, width), nn.Linear(width, width)
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(width, 3)

    def forward(self, ids, mask):
        x, mask = self.words(ids), mask.float()
        scores = self.queries(x) @ self.keys(x).transpose(1, 2) / x.shape[-1] ** 0.5
        x = x + torch.softmax(scores + (mask[:, None] - 1) * 1e4, -1) @ x
        x = (self.drop(x) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return self.head(x)


def build(words=20, width=8, drop=0.1):
    return Reader(words, width, drop)
'''


def reader(folder: Path, **arguments: float) -> Architecture:
    """A user's own network over `tokens`, from their own file; parameters at width 8: 20 x 8 + 2 x 72 + 27."""
    path = folder / "my_reader.py"
    path.write_text(READER)
    own = UserFile(path=str(path), sha256=files.digest(path))
    settings = {"make": "my_reader:build", "arguments": arguments}
    return Architecture(family=Choice(name="module", settings=settings, files={"make": own}))


def bars(**settings: int) -> Architecture:
    """A small convnet over `images`."""
    return Architecture(family=Choice(name="convnet", settings=settings), image=IMAGE)
