"""A trained student and its teacher, both small, over the data sets of tests/learnable.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from edgekd import files
from edgekd.nets import networks
from edgekd.results import Checkpoint, File, Splits
from edgekd.spec import Architecture, Choice, Teacher, UserFile
from tests import learnable

NET = """
import torch
from torch import nn


class Bars(nn.Module):
    \"\"\"Mean brightness of three stripes, after a convolution that changes nothing.\"\"\"

    def __init__(self, scale=1.0):
        super().__init__()
        self.blocks = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(inplace=True)), nn.Identity())
        self.head = nn.Linear(3, 3)
        self.scale = scale
        with torch.no_grad():
            self.blocks[0][0].weight.zero_()
            self.blocks[0][0].weight[:, 0, 1, 1] = 1.0
            self.blocks[0][0].bias.fill_(3.0)
            self.head.weight.copy_(torch.eye(3))
            self.head.bias.zero_()

    def forward(self, image):
        x = self.blocks(image).mean((1, 3))
        stripes = torch.stack([x[:, 0:5].mean(1), x[:, 5:10].mean(1), x[:, 10:16].mean(1)], 1)
        return self.head(stripes) * self.scale


def build(scale=20.0):
    return Bars(scale)


class Functions(nn.Module):
    def forward(self, image):
        return image.flatten(1)[:, :3]


def plain():
    return Functions()
"""


def own(folder: Path, make: str = "my_bars:build") -> dict[str, UserFile]:
    path = folder / "my_bars.py"
    path.write_text(NET)
    return {"make": UserFile(path=str(path), sha256=files.digest(path))}


def teacher(folder: Path, make: str = "my_bars:build") -> Teacher:
    return Teacher(source=Choice(name="torch", settings={"make": make}, files=own(folder)), image=learnable.IMAGE)


def reading(folder: Path) -> Teacher:
    """A teacher over ids and a mask, with weights as they come."""
    made = learnable.reader(folder)
    return Teacher(source=Choice(name="torch", settings={"make": "my_reader:build"}, files=made.family.files))


def checkpoint(folder: Path, splits: Splits, architecture: Architecture, seed: int = 0) -> Checkpoint:
    """A network's initial weights of a seed as if they had been trained."""
    torch.manual_seed(seed)
    out = learnable.workspace(folder, f"weights-{seed}")
    network = networks.build(architecture, networks.signature(splits, architecture.image, out))
    place = folder / "entries" / "aa" / ("aa" + str(seed))
    place.mkdir(parents=True, exist_ok=True)
    path = place / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    file = File(entry="aa" + str(seed), name=path.name, sha256=files.digest(path), size=files.size(path))
    return Checkpoint(architecture=architecture, weights=file, validation_accuracy=0.5, seed=seed)


def student(folder: Path, splits: Splits) -> Checkpoint:
    """The teacher's own network as a student of ten times smaller logits."""
    settings = {"make": "my_bars:build", "arguments": {"scale": 2.0}}
    family = Choice(name="module", settings=settings, files=own(folder))
    return checkpoint(folder, splits, Architecture(family=family, image=learnable.IMAGE))
