"""Real programs and artifacts of toy networks, made in a fresh process: python -m tests.converted FOLDER FORMAT...

FOLDER/NAME.json describes each; their files are in FOLDER/entries. "program" instead of a format exports the networks.
"""

import hashlib
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np

from edgekd import files, plugins
from edgekd.results import Artifact, Program, Signature, Splits
from edgekd.samples.views import Feed
from edgekd.spec import Architecture, Choice, Image, Part, UserFile
from edgekd.stages import convert, export, raw
from edgekd.steps import Convert, Export, Raw
from edgekd.workspace import Workspace
from tests import learnable

IMAGE = Image(size=16, channels="gray", mean=(0.3,), std=(0.25,))
# the network of images with raw inputs
RAW = ("raw-float32", "raw-int8@base")
# not float16 of words: conversions are the slow part of the tests
CONVERSIONS = ("images-int8", "words-int8", "images-float32", "words-float32", "images-float16", *RAW)
# what else a format makes, "@base" from the float32 file of the network: that takes no conversion
FURTHER = {
    "tflite": (
        *(
            f"{net}-{precision}@base"
            for net in ("images", "words")
            for precision in ("float16", "int8", "int8-full", "int8-dynamic", "int8-weights", "int4-weights")
        ),
        "raw-int8-full@base",
    ),
    # 4-bit blocks want more channels than the toys have
    "coreml": ("images-int8-weights", "words-palette4"),
}
# by the second of its ways to lower programs
ROUTED = ("images-float32~1", "words-float32~1", "images-int8~1@base")


def conversions(format: str) -> tuple[str, ...]:
    """What is made in a format: of the usual ones those in a precision that it has, and its further ones."""
    offered = plugins.declared("formats", format).precisions
    usual = (name for name in CONVERSIONS if name.partition("-")[2].partition("@")[0] in offered)
    return (*usual, *FURTHER.get(format, ()))


NETS = """
import torch
from torch import nn
from torch.nn import functional as F

class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 3)
        for norm in (self.norm1, self.norm2):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, image):
        x = F.relu6(self.norm1(self.conv1(image)))
        x = F.relu6(self.norm2(self.conv2(x))).mean((2, 3))
        return {"features": x, "logits": 5 * self.head(F.dropout(x, 0.5, self.training))}

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.inner, self.head = nn.Embedding(20, 16), nn.Linear(16, 32), nn.Linear(32, 3)

    def forward(self, ids, mask):
        kept = mask.unsqueeze(-1).to(torch.float32)
        mean = (self.table(ids) * kept).sum(1) / kept.sum(1).clamp(min=1)
        return self.head(F.relu(self.inner(mean)))

def Spread():
    '''Words with one channel 300 times wider than the others, which its reader makes up for: in float the same.'''
    net = Words()
    with torch.no_grad():
        net.inner.weight[0] *= 300
        net.inner.bias[0] *= 300
        net.head.weight[:, 0] /= 300
    return net

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.norm, self.qkv = nn.Embedding(20, 16), nn.LayerNorm(16), nn.Linear(16, 48)
        self.mix, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, ids, mask):
        x, kept = self.table(ids), mask.to(torch.float32)
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        hidden = ((1 - kept) * -1e4)[:, None, None, :]
        x = x + self.mix(F.scaled_dot_product_attention(q, k, v, attn_mask=hidden).transpose(1, 2).flatten(2))
        x = (F.gelu(x) * kept.unsqueeze(-1)).sum(1) / kept.sum(1, keepdim=True).clamp(min=1)
        return self.head(x)
class Padded(nn.Module):
    def __init__(self, boolean):
        super().__init__()
        self.boolean, self.table, self.head = boolean, nn.Embedding(20, 16), nn.Linear(16, 3)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, ids, mask):
        padding = mask == 0 if self.boolean else (1 - mask.to(torch.float32)) * -1e4
        return self.head(self.layers(self.table(ids), src_key_padding_mask=padding)[:, 0])

class Vision(nn.Module):
    '''A small vision transformer: patches, a class token, and attention whose tensors have the batch second.'''

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(1, 32, 4, 4), nn.Parameter(torch.randn(1, 1, 32))
        self.place = nn.Parameter(torch.randn(1, 17, 32) * 0.3)
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(4)])
        self.mixers = nn.ModuleList([nn.MultiheadAttention(32, 4, batch_first=True) for _ in range(2)])
        self.inner = nn.ModuleList([nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(2)])
        self.head = nn.Linear(32, 3)

    def forward(self, image):
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        for i in range(2):
            y = self.norms[2 * i](x)
            x = x + self.mixers[i](y, y, y, need_weights=False)[0]
            x = x + self.inner[i](self.norms[2 * i + 1](x))
        return self.head(x[:, 0])

class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))

class Mobile(nn.Module):
    '''Inverted residuals with depthwise convolutions, hard swish, and gates by squeeze and excitation.'''

    def __init__(self):
        super().__init__()
        self.stem, self.top = self.some(1, 16, 3, 2), self.some(32, 64, 1)
        self.body = nn.ModuleList([
            nn.Sequential(self.some(16, 48, 1), self.some(48, 48, 3, 2, 48), Gate(48), self.some(48, 32, 1)),
            nn.Sequential(self.some(32, 96, 1), self.some(96, 96, 3, 1, 96), Gate(96), self.some(96, 32, 1)),
        ])
        self.head = nn.Linear(64, 3)

    def some(self, given, width, kernel, stride=1, groups=1):
        norm = nn.BatchNorm2d(width)
        norm.running_mean.uniform_(-0.3, 0.3)
        norm.running_var.uniform_(0.5, 1.5)
        layer = nn.Conv2d(given, width, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(layer, norm, nn.Hardswish())

    def forward(self, image):
        x = self.body[0](self.stem(image))
        return self.head(self.top(x + self.body[1](x)).mean((2, 3)))

def YesNo():
    return Padded(True)

def Numbers():
    return Padded(False)
"""


def architecture(folder: Path, name: str, image: Image | None = None) -> Architecture:
    """A network of "the user's own": a class in nets.py."""
    path = folder / "nets.py"
    if not path.exists():
        path.write_text(NETS)
    file = UserFile(path=str(path), sha256=files.digest(path))
    return Architecture(
        family=Choice(name="module", settings={"make": f"nets:{name}"}, files={"make": file}), image=image
    )


def entry(folder: Path, key: str) -> Workspace:
    """A stage's folder that is its store entry already."""
    key = hashlib.sha256(key.encode()).hexdigest()
    place = folder / "entries" / key[:2] / key
    place.mkdir(parents=True, exist_ok=True)
    return Workspace(place, folder / "entries", key)


def splits(folder: Path) -> dict[str, Splits]:
    """Images and words in one store entry (their labels have one name, and nothing here reads them)."""
    entries = folder / "entries"
    images, words = _calibrated(learnable.images(entries)), _calibrated(learnable.tokens(entries))
    pictures = dict.fromkeys(("images", "raw", "vision", "mobile", "convnet", "resnet", "squeezed"), images)
    return pictures | dict.fromkeys(("words", "spread", "attention", "yesno", "numbers"), words)


def _calibrated(data: Splits) -> Splits:
    """With all training samples for calibration: eight do not show how large values get."""
    return data.model_copy(update={"parts": data.parts | {"calibration": data.parts["train"]}})


def sources(folder: Path) -> dict[str, Architecture]:
    return {
        "images": architecture(folder, "ConvNet", IMAGE),
        "vision": architecture(folder, "Vision", IMAGE),
        "mobile": architecture(folder, "Mobile", IMAGE),
        "convnet": Architecture(family=Choice(name="convnet", settings={"width": 8}), image=IMAGE),
        "squeezed": Architecture(
            family=Choice(name="convnet", settings={"width": 8, "expansion": 2, "squeeze": True}), image=IMAGE
        ),
        "resnet": Architecture(family=Choice(name="resnet", settings={"width": 8}), image=IMAGE),
        "words": architecture(folder, "Words"),
        "spread": architecture(folder, "Spread"),
        "attention": architecture(folder, "Attention"),
        "yesno": architecture(folder, "YesNo"),
        "numbers": architecture(folder, "Numbers"),
    }


def program(folder: Path, net: str) -> Program:
    return Program.model_validate_json((folder / f"{net}.json").read_text())


def artifact(folder: Path, format: str, net: str, precision: str) -> Artifact:
    return Artifact.model_validate_json((folder / f"{format}-{net}-{precision}.json").read_text())


def routed(format: str) -> tuple[str, ...]:
    """What the format makes by its second way; nothing where that takes a tool which is not installed."""
    routes = plugins.declared("formats", format).routes
    return ROUTED if len(routes) > 1 and (routes[1] != "onnx2tf" or shutil.which("onnx2tf")) else ()


def samples(
    folder: Path, net: str, signature: Signature, count: int, part: Part = "validation"
) -> dict[str, np.ndarray]:
    """The first samples of a part as a file's signature wants them."""
    space = Workspace(folder, folder / "entries", "0" * 64)
    feed = Feed(space, splits(folder)[net], part, signature, augment=False, seed=0)
    return feed.batch(np.arange(count))


def wrong_masks() -> AbstractContextManager[object]:
    return mock.patch("edgekd.mil.lowering.lowered", lambda program: program.run_decompositions({}))


def main(folder: Path, part: str, wanted: tuple[str, ...]) -> None:
    """Export the `wanted` networks, or make the `wanted` conversions to one format, in that order."""
    for net in wanted or ("images", "words", "raw") if part == "program" else ():
        if net == "raw":
            made = raw.run(Raw(program=program(folder, "images"), splits=splits(folder)[net]), entry(folder, net))
        else:
            step = Export(source=sources(folder)[net], splits=splits(folder)[net], seed=3)
            made = export.run(step, entry(folder, net))
        (folder / f"{net}.json").write_text(made.model_dump_json())
    for name in wanted or (*conversions(part), *routed(part)) if part != "program" else ():
        net, _, rest = name.partition("-")
        way, _, based = rest.partition("@")
        precision, _, number = way.partition("~")
        step = Convert(
            program=program(folder, net),
            format=part,
            precision=precision,
            splits=splits(folder)[net],
            base=artifact(folder, part, net, f"float32~{number}" if number else "float32") if based else None,
            route=plugins.declared("formats", part).routes[int(number)] if number else "",
        )
        # by itself coremltools inverts this mask; so does a file here, to see that it is noticed
        with wrong_masks() if (part, net) == ("coreml", "yesno") else nullcontext():
            described = convert.run(step, entry(folder, f"{part}-{name}")).model_dump_json()
        (folder / f"{part}-{name}.json").write_text(described)
    (folder / f"{part}.done").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:]))
