"""Teachers that run beside a student in training: small networks of a user's own, over the data sets of `learnable`."""

from pathlib import Path

from edgekd import files
from edgekd.results import Splits
from edgekd.spec import Architecture, Choice, Objective, Schedule, Teacher, UserFile
from edgekd.steps import Train
from tests import learnable

NETS = '''
import torch
from torch import nn


class Sees(nn.Module):
    """Two stages of convolutions over images of 16 pixels; gives its logits alone."""

    def __init__(self, width):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.head = nn.Linear(2 * width * 16, 3)

    def forward(self, image):
        return self.head(self.layer2(self.layer1(image)).flatten(1))


class Layer(nn.Module):
    """Self-attention of two heads and a residual; gives states, attentions and values."""

    def __init__(self, width):
        super().__init__()
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x, mask):
        q, k, v = (f(x).unflatten(2, (2, -1)).transpose(1, 2) for f in (self.queries, self.keys, self.values))
        scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5 + (mask[:, None, None] - 1) * 1e4
        attention = scores.softmax(3)
        y = (attention @ v).transpose(1, 2).flatten(2)
        return x + torch.relu(self.out(y)), attention, v.transpose(1, 2).flatten(2)


class Reads(nn.Module):
    """A transformer over ids and a mask of `tokens`, which gives everything inside of it."""

    def __init__(self, width, depth):
        super().__init__()
        self.words = nn.Embedding(20, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.head = nn.Linear(width, 3)

    def forward(self, ids, mask):
        x, mask = self.words(ids), mask.float()
        states, attentions, values = [x], [], []
        for layer in self.layers:
            x, attention, value = layer(x, mask)
            states.append(x)
            attentions.append(attention)
            values.append(value)
        features = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        found = {"hidden_states": states, "attentions": attentions, "values": values}
        return {"logits": self.head(features), "features": features} | found


def sees(width=6, seed=0):
    torch.manual_seed(seed)
    return Sees(width)


def reads(width=8, depth=2, seed=0):
    torch.manual_seed(seed)
    return Reads(width, depth)
'''

SCHEDULE = Schedule(epochs=2, batch=32, learning_rate=1e-2, ema_decay=0.9)
TRUTH = Objective(use=Choice(name="cross_entropy"))


def objective(name: str, weight: float = 1.0, **settings: object) -> Objective:
    return Objective(use=Choice(name=name, settings=settings), weight=weight)


def _own(folder: Path) -> dict[str, UserFile]:
    path = folder / "my_nets.py"
    path.write_text(NETS)
    return {"make": UserFile(path=str(path), sha256=files.digest(path))}


def teacher(folder: Path, make: str, images: bool, **arguments: int) -> Teacher:
    """A network of `NETS` as the teacher; untrained, which is enough to see whether a student learns from it."""
    settings = {"make": f"my_nets:{make}", "arguments": arguments}
    source = Choice(name="torch", settings=settings, files=_own(folder))
    return Teacher(source=source, image=learnable.IMAGE if images else None)


def student(folder: Path, make: str, images: bool, **arguments: int) -> Architecture:
    """A network of `NETS` as the student."""
    settings = {"make": f"my_nets:{make}", "arguments": arguments}
    choice = Choice(name="module", settings=settings, files=_own(folder))
    return Architecture(family=choice, image=learnable.IMAGE if images else None)


def seeing(folder: Path, *objectives: Objective, **fields: object) -> Train:
    """A small convnet beside a teacher of the user's own, on `images`; ground truth and these objectives."""
    splits = learnable.images(folder / "entries")
    known = {"networks": (learnable.bars(width=4, depth=1),), "teacher": teacher(folder, "sees", True), "views": 2}
    return _train(splits, objectives, known | fields)


def reading(folder: Path, *objectives: Objective, **fields: object) -> Train:
    """A transformer beside a wider and deeper one, on `tokens`; ground truth and these objectives."""
    splits = learnable.tokens(folder / "entries")
    network = student(folder, "reads", False, width=4, depth=2, seed=1)
    known = {"networks": (network,), "teacher": teacher(folder, "reads", False, width=12, depth=4)}
    return _train(splits, objectives, known | fields)


def _train(splits: Splits, objectives: tuple[Objective, ...], fields: dict[str, object]) -> Train:
    known = {"schedule": SCHEDULE, "objectives": (TRUTH, *objectives)} | fields
    return Train.model_validate({"splits": splits} | known)
