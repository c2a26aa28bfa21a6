"""Trainings by torchdistill: python torchdistill_trainings.py REQUEST.json, in an environment of its own.

The request names arrays of prepared samples, a teacher and a student as edgekd describes networks, and one training
after another: its torchdistill criterion, rates, epochs and seed. Each answer is a line of JSON: accuracy on
validation, seconds of the training loop alone, samples; test outputs lie beside the request as NAME.npy. The loop is
that of torchdistill's own example for image classification; samples are fetched by the batch, and drawn from the same
views as edgekd's.
"""

import json
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, RandomSampler
from torchdistill.core.distillation import get_distillation_box

from edgekd.nets import networks
from edgekd.results import Signature
from edgekd.spec import Architecture, Teacher


class Views(Dataset[tuple[Tensor, int]]):
    """Labelled samples, each drawn as one of its views; (views, N, ...) float32."""

    def __init__(self, samples: Tensor, labels: Tensor, seed: int) -> None:
        self.samples, self.labels = samples, labels
        self.random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, rows: list[int]) -> list[tuple[Tensor, Tensor]]:
        views = torch.randint(len(self.samples), (len(rows),), generator=self.random)
        return list(zip(self.samples[views, rows], self.labels[rows], strict=True))

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([row])[0]


class Logits(nn.Module):
    """A network of edgekd's as one that gives its logits alone, with its features where a hook finds them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.features = network, nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        outputs = self.network(image)
        self.features(outputs["features"])
        logits: Tensor = outputs["logits"]
        return logits


def teacher(described: dict[str, Any], signature: Signature) -> nn.Module:
    """The teacher as a module in eval mode."""
    who = Teacher.model_validate(described)
    kind, settings = networks.configured("teachers", who.source)
    loaded: nn.Module = kind.load(settings, networks.paths(who.source), signature, who.trust).module.network
    return Logits(loaded).eval().requires_grad_(False).to(memory_format=torch.channels_last)


def configuration(run: dict[str, Any], steps: int) -> dict[str, Any]:
    """A torchdistill training of one stage; the rate warms up for a tenth of the steps, then follows half a cosine."""
    warm = math.ceil(0.1 * steps)

    def rate(step: int) -> float:
        return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))

    hooks = {"input": [], "output": run.get("student_modules", [])}
    theirs = {"input": [], "output": run.get("teacher_modules", [])}
    labels = {
        "criterion": {"key": "CrossEntropyLoss", "kwargs": {}},
        "criterion_wrapper": {
            "key": "SimpleLossWrapper",
            "kwargs": {
                "input": {"is_from_teacher": False, "module_path": ".", "io": "output"},
                "target": {"uses_label": True},
            },
        },
        "weight": run["label_weight"],
    }
    terms = {"labels": labels} if run["label_weight"] else {}
    loader = {"dataset_id": "train", "sampler": {"class_or_func": RandomSampler, "kwargs": {}}}
    return {
        "num_epochs": run["epochs"],
        "train_data_loader": loader | {"kwargs": {"batch_size": run["batch"], "num_workers": 0, "drop_last": False}},
        "val_data_loader": {},
        "teacher": {"forward_proc": "forward_batch_only", "forward_hook": theirs, "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "forward_hook": hooks, "requires_grad": True},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms | run["terms"]}},
        "optimizer": {"key": "AdamW", "kwargs": {"lr": run["learning_rate"], "weight_decay": run["weight_decay"]}},
        "scheduler": {"key": "LambdaLR", "kwargs": {"lr_lambda": rate}, "scheduling_step": 1},
    }


def train(run: dict[str, Any], arrays: dict[str, Tensor], who: nn.Module, student: nn.Module) -> float:
    """Train the student in place; returns the seconds of the loop."""
    data = Views(arrays["train"], arrays["labels"], run["seed"])
    steps = math.ceil(len(data) / run["batch"]) * run["epochs"]
    box = get_distillation_box(
        who, student, {"train": data}, configuration(run, steps), torch.device("cpu"), None, False, 1
    )
    started = time.perf_counter()
    for epoch in range(box.num_epochs):
        box.pre_epoch_process(epoch=epoch)
        for batch, targets, supplement in box.train_data_loader:
            box.pre_forward_process()
            box.post_forward_process(loss=box.forward_process(batch, targets, supplement))
        box.post_epoch_process()
    taken = time.perf_counter() - started
    box.clean_modules()
    return taken


def outputs(network: nn.Module, samples: Tensor) -> np.ndarray:
    """Logits of prepared samples."""
    network.eval()
    with torch.inference_mode():
        return np.concatenate([network(some).numpy() for some in samples.split(512)])


def main() -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    path = Path(sys.argv[1])
    request = json.loads(path.read_text())
    with np.load(path.with_name(request["arrays"])) as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored.files}
    signature = Signature.model_validate(request["signature"])
    who = teacher(request["teacher"], Signature.model_validate(request["teacher_signature"]))
    for run in request["runs"]:
        torch.manual_seed(run["seed"])
        student = Logits(networks.build(Architecture.model_validate(request["student"]), signature))
        student = student.to(memory_format=torch.channels_last)
        seconds = train(run, arrays, who, student)
        found = outputs(student, arrays["validation"])
        np.save(path.with_name(f"{run['name']}.npy"), outputs(student, arrays["test"]))
        right = float((found.argmax(1) == arrays["validation_labels"].numpy()).mean())
        told = {"name": run["name"], "validation": right, "seconds": seconds}
        print(json.dumps(told | {"samples": run["epochs"] * len(arrays["labels"])}), flush=True)


if __name__ == "__main__":
    main()
