"""Train the shipped Fashion-MNIST teacher again: `make teacher`.

It learns from training images 0 to 49,999 only. edgekd's embedded data are training images 50,000 to 59,999 and test
images 0 to 4,999, so this teacher has seen nothing that a student is trained, validated or tested on. The schedule is
fixed beforehand and the test images are looked at once, at the end.

Needs the whole of Fashion-MNIST (Debian: `apt install dataset-fashion-mnist`) and about 20 minutes on two cores.
"""

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.students.resnet import ResNet

WIDTH, DEPTH, CLASSES = 32, 1, 10
MEAN, STD = 0.2860, 0.3530
TRAIN, TEST = slice(0, 50_000), slice(0, 5_000)
BATCH, LEARNING_RATE, WEIGHT_DECAY, SHIFT = 128, 0.15, 5e-4, 2


def read_idx(file: Path) -> np.ndarray:
    """Read one gzipped IDX file of bytes as an array of its own shape."""
    data = gzip.decompress(file.read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def normalize(images: np.ndarray) -> Tensor:
    """(N, 28, 28) bytes -> (N, 1, 28, 28) floats of about zero mean and unit deviation."""
    return ((torch.from_numpy(images.copy()).float() / 255 - MEAN) / STD).unsqueeze(1)


def augment(x: Tensor, random: torch.Generator) -> Tensor:
    """Mirror half of the batch and move every image by up to SHIFT pixels."""
    flip = torch.rand(len(x), generator=random) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    padded = F.pad(x, [SHIFT] * 4, value=-MEAN / STD)
    offsets = torch.randint(0, 2 * SHIFT + 1, (2, len(x)), generator=random)
    rows = offsets[0][:, None] + torch.arange(x.shape[2])
    columns = offsets[1][:, None] + torch.arange(x.shape[3])
    return padded[torch.arange(len(x))[:, None, None], 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def train(x: Tensor, y: Tensor, epochs: int, seed: int) -> nn.Module:
    """Nesterov SGD under a one-cycle schedule, bfloat16 autocast; the last weights are the result."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = ResNet(1, WIDTH, DEPTH, CLASSES).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True)
    steps = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps, pct_start=0.2)
    started = time.monotonic()
    for epoch in range(epochs):
        order, total = torch.randperm(len(x), generator=random), 0.0
        for i in range(steps):
            rows = order[i * BATCH : (i + 1) * BATCH]
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(augment(x[rows], random))["logits"]
            loss = F.cross_entropy(logits.float(), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}  loss {total / steps:.4f}  {time.monotonic() - started:.0f} s", flush=True)
    return model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right answers, float32."""
    answers = torch.cat([model(part)["logits"].argmax(1) for part in x.split(500)])
    return (answers == y).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the four .gz files, e.g. /usr/share/datasets/fashion-mnist")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights.safetensors")
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    x = normalize(read_idx(options.data / "train-images-idx3-ubyte.gz")[TRAIN])
    y = torch.from_numpy(read_idx(options.data / "train-labels-idx1-ubyte.gz")[TRAIN].astype(np.int64))
    model = train(x, y, options.epochs, options.seed)
    x = normalize(read_idx(options.data / "t10k-images-idx3-ubyte.gz")[TEST])
    y = torch.from_numpy(read_idx(options.data / "t10k-labels-idx1-ubyte.gz")[TEST].astype(np.int64))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, options.out)
    print(json.dumps({"test_accuracy": accuracy(model, x, y), "weights": str(options.out)}))


if __name__ == "__main__":
    main()
