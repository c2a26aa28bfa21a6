"""Make the program of one network of the zoo, as an answer in a store: python -m benchmarks.zoo.making NAME STORE

What `Export` does for classifiers is done here for any number of outputs of any shape. The program and its samples are
in an entry of the store like others, and described in STORE/zoo/NAME.json beside the digest of what they were made of.
"""

import ast
import hashlib
import importlib
import json
import sys
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from benchmarks.zoo.entries import Entry, entries
from benchmarks.zoo.samples import Array, samples
from edgekd import files
from edgekd.nets import inference, networks, programs, sizes
from edgekd.results import PartFiles, Program, Signature, Splits, TensorSpec
from edgekd.spec import Part, Value
from edgekd.workspace import Workspace

Batch = dict[str, Array]

PROGRAM = "student.pt2"
CALIBRATION, VALIDATION = 48, 8
COUNTS: dict[Part, int] = {"calibration": CALIBRATION, "validation": VALIDATION}
SETTLED = 20
# Least share of an output's size that depends on the sample. Below it, "right" would say little.
VARIED = 0.05


class Specimen(Value):
    """A network's program, its samples, what both were made of, and the least share of an output that varies."""

    source: str
    program: Program
    splits: Splits
    varied: float


def source(entry: Entry) -> str:
    """The digest of all that decides a program: its line in the list, the zoo's own code for it, and versions."""
    modules = (f"{entry.module}.py", "blocks.py", "samples.py", "making.py")
    # as the interpreter sees it: lines and comments make no other network
    code = [ast.dump(ast.parse(Path(__file__).with_name(name).read_text(encoding="utf-8"))) for name in modules]
    known = [_installed(package) for package in ("torch", "transformers", *(one.split("==")[0] for one in entry.needs))]
    return hashlib.sha256(json.dumps([entry.model_dump(mode="json"), code, known]).encode()).hexdigest()


def missing(entry: Entry) -> tuple[str, ...]:
    """Packages with its weights that are not installed in that version."""
    return tuple(one for one in entry.needs if _installed(one.split("==")[0]) != one.split("==")[1])


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def network(entry: Entry) -> nn.Module:
    """The network in evaluation mode. Random weights keep the size of what goes through; batch norms have seen data."""
    torch.manual_seed(0)
    net: nn.Module = getattr(importlib.import_module(f"benchmarks.zoo.{entry.module}"), entry.name)()
    if not entry.needs:
        net.apply(_filled)
        _settle(net, entry)
    return net.eval().requires_grad_(False)


def _filled(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.normal_(module.bias, std=0.05)


def _settle(net: nn.Module, entry: Entry) -> None:
    """Show the batch norms data in training mode; untrained ones would let signals die out, or make them all alike."""
    if not any(isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d) for one in net.modules()):
        return
    net.train()
    with torch.no_grad():
        for seed in range(SETTLED):
            net(*_tensors(samples(entry, 32, 100 + seed)))


def _tensors(batch: Batch) -> list[Tensor]:
    return [torch.from_numpy(values) for values in batch.values()]


def signature(net: nn.Module, entry: Entry, batch: Batch) -> Signature:
    """Inputs as listed; outputs as the network gives them for one sample."""
    inputs = [TensorSpec(name=k, shape=(-1, *v.shape[1:]), dtype=str(v.dtype)) for k, v in batch.items()]
    with torch.no_grad():
        found = net(*_tensors({name: values[:1] for name, values in batch.items()}))
    outputs = found if isinstance(found, dict) else {"logits": found}
    given = [TensorSpec(name=name, shape=(-1, *value.shape[1:])) for name, value in outputs.items()]
    return Signature(inputs=tuple(inputs), outputs=tuple(given))


def varied(outputs: Batch) -> float:
    """The least share of an output's size, over the outputs, that is not the same for every sample."""
    shares = []
    for values in (np.asarray(one, np.float64) for one in outputs.values()):
        shares.append(float(np.linalg.norm(values - values.mean(0)) / max(np.linalg.norm(values), 1e-30)))
    return min(shares)


def answers(net: nn.Module, batch: Batch, given: Signature, limit: int) -> Batch:
    """Torch's own outputs by name."""
    with torch.inference_mode():
        parts = [networks.forward(net, piece, given) for piece in inference.pieces(batch, limit)]
    return {one.name: torch.cat([part[one.name] for part in parts]).float().numpy() for one in given.outputs}


def make(entry: Entry, store: Path) -> Specimen:
    """Trace a network and keep all that conversions ask for. Raises ValueError where an output hardly varies."""
    torch.set_num_threads(1)
    net, batch = network(entry), samples(entry, VALIDATION, 1)
    given = signature(net, entry, batch)
    size = sizes.size(net, {name: torch.from_numpy(values[:1]) for name, values in batch.items()}, given)
    program, given = programs.trace(net, given, batch, entry.name)
    outputs = answers(net, batch, given, inference.CHUNK if programs.dynamic(given) else 1)
    if not varied(outputs) >= VARIED:
        raise ValueError(f"{entry.name}: only {varied(outputs):.1%} of an output depends on the sample")
    out = _kept(
        store.absolute(), program, {"validation": batch, "calibration": samples(entry, CALIBRATION, 0)}, outputs
    )
    made = Program(
        file=out.file(PROGRAM),
        signature=given,
        golden=out.file("golden.npz"),
        reference=out.file("reference.npy"),
        size=size,
        digest=programs.digest(program),
        trained=bool(entry.needs),
    )
    return Specimen(source=source(entry), program=made, splits=_splits(out, entry), varied=varied(outputs))


def _kept(store: Path, program: ExportedProgram, parts: dict[Part, Batch], outputs: Batch) -> Workspace:
    """Write a program and its samples as an entry of the store, which is called after what is in it."""
    with tempfile.TemporaryDirectory(dir=store) as name:
        work = Path(name, "entry")
        work.mkdir()
        programs.write(program, work / PROGRAM)
        arrays = {f"{side}:{key}": values for side in ("raw", "input") for key, values in parts["validation"].items()}
        arrays |= {f"output:{key}": values for key, values in outputs.items()}
        np.savez(work / "golden.npz", allow_pickle=False, **arrays)
        np.save(work / "reference.npy", next(iter(outputs.values())).reshape(VALIDATION, -1))
        for part, batch in parts.items():
            np.save(work / f"{part}-labels.npy", np.full(COUNTS[part], -1))
            for key, values in batch.items():
                np.save(work / f"{part}-{key}.npy", values)
        key = files.digest(work)
        entry = store / "entries" / key[:2] / key
        entry.parent.mkdir(parents=True, exist_ok=True)
        if not entry.is_dir():
            work.replace(entry)
    return Workspace(entry, store / "entries", key)


def _splits(out: Workspace, entry: Entry) -> Splits:
    """The samples as a split of two parts, without labels."""
    parts: dict[Part, PartFiles] = {}
    for part, count in COUNTS.items():
        inputs = {name: out.file(f"{part}-{name}.npy") for name in entry.inputs}
        digest = hashlib.sha256("".join(file.sha256 for file in inputs.values()).encode()).hexdigest()
        labels = out.file(f"{part}-labels.npy")
        parts[part] = PartFiles(inputs=inputs, labels=labels, count=count, labelled=0, digest=digest)
    return Splits(parts=parts, classes=())


def main(name: str, store: Path) -> None:
    """Make one program."""
    warnings.simplefilter("ignore")
    entry = next(one for one in entries() if one.name == name)
    (store / "zoo").mkdir(parents=True, exist_ok=True)
    files.write(store / "zoo" / f"{name}.json", make(entry, store).model_dump_json())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
